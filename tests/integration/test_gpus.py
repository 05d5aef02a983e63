"""Pools of several GPUs: where sessions go, and what happens when a GPU fails. The software GPU's sensors say what a
file says (VGPU_SOFTGPU_NVML_STATE), so that one can fail."""

import json
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from harness import Daemon, DaemonTest, program, wait_until

FIRST = "GPU-76677075-736f-4674-a767-707500000001"
SECOND = "GPU-76677075-736f-4674-a767-707500000002"

POOLS = """
[[pool]]
name = "A"
gpu = ["software", "software"]
[[vm]]
id = 1
pool = "A"
weight = 300
[[vm]]
id = 2
pool = "A"
[[vm]]
id = 3
pool = "A"
[software_gpu]
memory = "256MiB"
"""


class Sensors:
    """The file from which the software GPU's NVML takes what it says."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="vgpu-sensors-")
        self.path = Path(self.folder.name) / "state.json"
        self.say({}, [])

    def say(self, devices, xids):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"devices": devices, "xids": xids}))
        fresh.rename(self.path)


def health(daemon):
    """Status and text of /healthz."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}/healthz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class WatchedGpus(unittest.TestCase):
    def setUp(self):
        self.sensors = Sensors()
        self.addCleanup(self.sensors.folder.cleanup)

    def daemon(self):
        return Daemon(POOLS, gpu=None, variables={"VGPU_SOFTGPU_NVML_STATE": str(self.sensors.path)})

    def test_sensors_are_metrics(self):
        self.sensors.say({"0": {"temperature": 61, "power": 250500, "sm_clock": 1980, "utilization": 87,
                                "memory_utilization": 12, "memory_used": 1 << 20, "ecc_corrected": 3,
                                "ecc_uncorrected": 0}}, [])
        with self.daemon() as daemon:
            metrics = daemon.metrics()
            self.assertEqual(len(metrics.select("vgpu_gpu_info")), 2)
            self.assertEqual(metrics.value("vgpu_gpu_info", uuid=FIRST, name="vgpu software GPU"), 1)
            self.assertEqual(metrics.value("vgpu_pool_gpu_info", pool="A", uuid=SECOND), 1)
            for name, value in (("temperature_celsius", 61), ("power_watts", 250.5), ("sm_clock_hertz", 1.98e9),
                                ("utilization_ratio", 0.87), ("memory_utilization_ratio", 0.12), ("healthy", 1),
                                ("memory_used_bytes", 1 << 20), ("memory_total_bytes", 256 << 20)):
                self.assertAlmostEqual(metrics.value(f"vgpu_gpu_{name}", uuid=FIRST), value, msg=name)
            self.assertEqual(metrics.value("vgpu_gpu_ecc_errors_total", uuid=FIRST, kind="corrected"), 3)
            self.assertEqual(metrics.select("vgpu_gpu_temperature_celsius", uuid=SECOND), [])  # it has no such sensor
            self.sensors.say({"0": {"temperature": 62}}, [])
            wait_until(lambda: daemon.metrics().value("vgpu_gpu_temperature_celsius", uuid=FIRST) == 62,
                       "the new temperature is never seen")

    def fail_a_gpu(self, devices, xids, reason):
        with self.daemon() as daemon, daemon.guest(program("steps"), vm=1) as victim, \
                daemon.guest(program("steps"), vm=2) as other:
            self.assertRegex(victim.ask("work"), "^ok")
            self.assertRegex(other.ask("work"), "^ok")
            self.assertEqual(health(daemon), (200, "ok\n"))
            self.sensors.say(devices, xids)
            wait_until(lambda: health(daemon)[0] == 503, "/healthz never tells")
            self.assertEqual(health(daemon)[1], f"gpu {FIRST} is unhealthy: {reason}\n")
            # What was on it ends with its own error; the neighbour on the other GPU goes on.
            wait_until(lambda: daemon.log_lines("session ended by a fault", "reason=gpu_lost", "vm=1"), daemon.log)
            self.assertRegex(victim.ask("work"), "^error cudaErrorDevicesUnavailable$")
            self.assertRegex(other.ask("work"), "^ok")
            metrics = daemon.metrics()
            self.assertEqual(metrics.value("vgpu_gpu_healthy", uuid=FIRST), 0)
            self.assertEqual(metrics.value("vgpu_gpu_healthy", uuid=SECOND), 1)
            self.assertEqual(metrics.value("vgpu_faults_total", vm=1, reason="gpu_lost"), 1)
            # New sessions of the same VM go to the other one.
            result = daemon.run(program("device_query"), vm=1)
            self.assertEqual(result.returncode, 0, result.stdout)
            yield daemon

    def test_a_lost_gpu_is_drained(self):
        for daemon in self.fail_a_gpu({"0": {"temperature": 50, "lost": True}}, [],
                                      "The GPU has fallen off the bus or has otherwise become inaccessible"):
            # Somebody says that it was mended, and it was not.
            daemon.reload(POOLS)
            wait_until(lambda: health(daemon)[0] == 503, "a GPU that is lost still is taken for healthy")
            self.sensors.say({"0": {"temperature": 50}}, [])
            daemon.reload(POOLS)
            wait_until(lambda: health(daemon)[0] == 200, "a GPU that was mended is not taken back")

    def test_a_fatal_xid_is_drained_until_the_operator_reloads(self):
        for daemon in self.fail_a_gpu({}, [{"device": 0, "xid": 79}], "Xid 79: the GPU has fallen off the bus"):
            self.assertEqual(daemon.metrics().value("vgpu_gpu_xid_errors_total", uuid=FIRST, xid=79), 1)
            daemon.reload(POOLS)
            self.assertEqual(health(daemon), (200, "ok\n"))

    def test_an_xid_of_one_program_is_counted_only(self):
        with self.daemon() as daemon:
            self.sensors.say({}, [{"device": 1, "xid": 31}])
            wait_until(lambda: daemon.metrics().select("vgpu_gpu_xid_errors_total", uuid=SECOND, xid=31),
                       "the Xid is never counted")
            self.assertEqual(health(daemon), (200, "ok\n"))

    def test_without_a_healthy_gpu_a_program_is_told_why(self):
        with self.daemon() as daemon:
            self.sensors.say({}, [{"device": 0, "xid": 119}, {"device": 1, "xid": 48}])
            wait_until(lambda: health(daemon)[1].count("unhealthy") == 2, "/healthz never tells of both")
            result = daemon.run(program("device_query"), vm=1)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("the GPUs of this VM's pool are unhealthy", result.stdout)


class Places(DaemonTest):
    CONFIG = POOLS
    GPU = None  # the pool's own

    def test_vms_are_spread_by_weight_and_their_processes_stay_together(self):
        with self.daemon.guest(program("steps"), vm=1) as heavy, self.daemon.guest(program("steps"), vm=2) as light, \
                self.daemon.guest(program("steps"), vm=3) as third, self.daemon.guest(program("steps"), vm=1) as again:
            self.assertEqual([guest.ask("gpu") for guest in (heavy, light, third, again)],
                             ["ok 01", "ok 02", "ok 02", "ok 01"])


if __name__ == "__main__":
    unittest.main()
