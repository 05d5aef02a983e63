"""A pool of several software GPUs: its sessions see them all, each with its own memory."""

import unittest

from harness import PROGRAMS, DaemonTest


class TwoDevices(DaemonTest):
    CONFIG = """
[[pool]]
name = "A"
gpu = "software:2"
[[pool]]
name = "B"
gpu = "software"
[software_gpu]
memory = "256MiB"
"""
    GPU = None  # the pools' own

    def test_a_program_sees_both_and_uses_both(self):
        result = self.daemon.run(PROGRAMS / "devices.static-O3", pool="A", vm=1)
        self.assert_passes(result, "devices")
        self.assertIn("2 devices", result.stdout)

    def test_each_has_the_memory_that_was_configured(self):
        result = self.daemon.run(PROGRAMS / "device_query.static-O3", pool="A", vm=2)
        self.assert_passes(result, "device_query")
        self.assertEqual(result.stdout.count("memory 256 MiB"), 2, result.stdout)

    def test_another_pool_has_one(self):
        result = self.daemon.run(PROGRAMS / "devices.static-O3", pool="B", vm=3)
        self.assert_passes(result, "devices")
        self.assertIn("1 device\n", result.stdout)


if __name__ == "__main__":
    unittest.main()
