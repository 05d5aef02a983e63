"""Limits of a VM over all its processes: what its programs are told, what is refused, and what /metrics says of both."""

import os
import signal
import unittest

from harness import DaemonTest, program, wait_until

MIB = 1 << 20
OUT_OF_MEMORY = "error cudaErrorMemoryAllocation"


class Limits(DaemonTest):
    LOG_LEVEL = "info"
    CONFIG = """
[[vm]]
id = 7
pool = "A"
memory = "96MiB"
sessions = 2

[[vm]]
id = 8
pool = "A"
calls_per_second = 500

[unregistered]
memory = "128MiB"
arena = "4MiB"
"""

    def value(self, name, **labels):
        return self.daemon.metrics().value(name, pool="A", **labels)

    def info(self, guest):
        answer = guest.ask("info").split()
        self.assertEqual(answer[0], "ok", answer)
        free, total, of_properties = map(int, answer[1:])
        self.assertEqual(total, of_properties)
        return free, total

    def assert_told(self, vm, guests, limit):
        """All of the VM's programs are told the same as /metrics says."""
        used = int(self.value("vgpu_memory_used_bytes", vm=vm))
        for guest in guests:
            self.assertEqual(self.info(guest), (limit - used, limit))
        self.assertEqual(int(self.value("vgpu_memory_used_bytes", vm=vm)), used)
        return used

    def test_two_processes_share_one_limit_and_are_told_the_numbers_that_are_counted(self):
        with self.daemon.guest(program("steps"), vm=7) as first:
            self.assertEqual(first.ask("work")[:2], "ok")
            before = set(self.daemon.executors())
            with self.daemon.guest(program("steps"), vm=7) as second:
                self.assertEqual(second.ask("work")[:2], "ok")
                base = self.assert_told(7, (first, second), 96 * MIB)
                self.assertEqual(first.ask(f"alloc {50 * MIB}")[:2], "ok")
                self.assertEqual(self.assert_told(7, (first, second), 96 * MIB), base + 50 * MIB)
                refused = self.value("vgpu_limit_refusals_total", vm=7, limit="memory")
                self.assertEqual(second.ask(f"alloc {50 * MIB}"), OUT_OF_MEMORY)
                self.assertEqual(self.value("vgpu_limit_refusals_total", vm=7, limit="memory"), refused + 1)
                self.assertEqual(self.assert_told(7, (first, second), 96 * MIB), base + 50 * MIB)
                self.assertEqual(second.ask(f"alloc {30 * MIB}")[:2], "ok")
                self.assertEqual(self.assert_told(7, (first, second), 96 * MIB), base + 80 * MIB)

                # A third process finds no place, and the two go on.
                third = self.daemon.run(program("counted"), 1, 1000, vm=7)
                self.assertNotEqual(third.returncode, 0)
                self.assertIn("as many sessions as it may", third.stdout)
                self.assertEqual(self.value("vgpu_limit_refusals_total", vm=7, limit="sessions"), 1)

                # An executor that is killed leaves nothing behind.
                for executor in before:
                    os.kill(executor, signal.SIGKILL)
                wait_until(lambda: self.info(second)[0] >= 50 * MIB, "the memory of a killed process never came back")
                self.assertEqual(second.ask(f"alloc {50 * MIB}")[:2], "ok")
                self.assert_told(7, (second,), 96 * MIB)
        self.daemon.wait_idle()
        self.assertEqual(self.value("vgpu_memory_used_bytes", vm=7), 0)

    def test_programs_one_after_another_each_find_a_place_and_the_memory_of_those_before(self):
        for _ in range(5):
            with self.daemon.guest(program("steps"), vm=7) as first, self.daemon.guest(program("steps"), vm=7) as second:
                self.assertEqual(first.ask(f"alloc {60 * MIB}")[:2], "ok")
                self.assertEqual(second.ask(f"alloc {20 * MIB}")[:2], "ok")
                first.finish()
                second.finish()
            # Its executors may still be about to go.

    def test_calls_over_the_rate_wait_and_none_fails(self):
        result = self.daemon.run(program("counted"), 300, 1000, vm=8)
        self.assert_passes(result, "counted")
        self.daemon.wait_idle()
        self.assertGreater(self.value("vgpu_calls_delayed_total", vm=8), 0)

    def test_vms_that_are_not_registered_have_limits_of_their_own(self):
        with self.daemon.guest(program("steps"), vm=21, pool="A") as first:
            self.assertEqual(first.ask(f"alloc {100 * MIB}")[:2], "ok")
            self.assertEqual(first.ask(f"alloc {100 * MIB}"), OUT_OF_MEMORY)
            self.assertEqual(first.ask(f"hold {8 * MIB}"), OUT_OF_MEMORY)
            self.assertEqual(self.value("vgpu_limit_refusals_total", vm=21, limit="arena"), 1)
            with self.daemon.guest(program("steps"), vm=22, pool="A") as other:
                self.assertEqual(other.ask(f"alloc {100 * MIB}")[:2], "ok")


if __name__ == "__main__":
    unittest.main()
