"""A VM whose sessions fault again and again gets none, until the operator lifts that."""

import json
import tempfile
import unittest
from pathlib import Path

from harness import Daemon, program, wait_until

CONFIG = """
[daemon]
state = "{state}"
[[pool]]
name = "A"
[[vm]]
id = 1
pool = "A"
[[vm]]
id = 2
pool = "A"
[quarantine]
faults = 2
"""


class Quarantine(unittest.TestCase):
    def refused(self, daemon):
        result = daemon.run(program("vector_add"), vm=1)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("this VM is quarantined", result.stdout)

    def passes(self, daemon, vm, name="vector_add"):
        result = daemon.run(program(name), vm=vm)
        self.assertEqual(result.returncode, 0, f"{result.stdout}\n{daemon.log()[-4000:]}")

    def test_it_begins_lasts_over_a_restart_and_is_lifted(self):
        with tempfile.TemporaryDirectory(prefix="vgpu-state-") as folder:
            config = CONFIG.format(state=folder)
            file = Path(folder) / "quarantine" / "1"
            with Daemon(config) as daemon:
                for faults in (1, 2):
                    self.passes(daemon, 1)
                    self.passes(daemon, 1, "illegal_address")
                    wait_until(lambda: daemon.metrics().value("vgpu_faults_total", vm=1) == faults,
                               lambda: str(daemon.metrics().select("vgpu_faults_total")))
                self.refused(daemon)
                self.passes(daemon, 2)
                self.assertEqual(daemon.metrics().value("vgpu_vm_quarantined", vm=1), 1)
                self.assertEqual(daemon.metrics().value("vgpu_vm_quarantined", vm=2), 0)
                self.assertEqual(len(daemon.log_lines("a VM is quarantined", "vm=1")), 1)
                self.assertEqual(json.loads(file.read_text())["last_fault"], "gpu_fault")
            with Daemon(config) as daemon:
                self.refused(daemon)
                file.unlink()
                self.refused(daemon)
                self.assertIn("was reloaded", daemon.reload(config))
                self.passes(daemon, 1)
                self.assertEqual(daemon.metrics().value("vgpu_vm_quarantined", vm=1), 0)


if __name__ == "__main__":
    unittest.main()
