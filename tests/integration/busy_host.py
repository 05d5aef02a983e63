"""A host with two pools, three VMs and two GPUs whose sensors read what we say: what monitoring is tried on."""

import json
import tempfile
from pathlib import Path

from harness import Daemon, program, wait_until

# 111 has every limit that there is; none is met but by those who try.
CONFIG = """
[daemon]
state = "@FOLDER@/state"
[[pool]]
name = "A"
gpu = "software"
[[pool]]
name = "B"
gpu = "software"
policy = "concurrent"
[[vm]]
id = 111
name = "build-server"
uuid = "8f6d6d1e-0c2b-4a57-9d3e-6f1f0f9a2b11"
pool = "A"
weight = 200
memory = "256MiB"
sessions = 8
streams = 64
events = 1000
modules = 64
graphs = 64
arena = "256MiB"
calls_per_second = 1000000
[[vm]]
id = 112
name = "training"
pool = "A"
[[vm]]
id = 113
name = "inference"
pool = "B"
priority = "high"
memory = "128MiB"
[quarantine]
faults = 0
[software_gpu]
memory = "1GiB"
"""
POOL_OF = {111: "A", 112: "A", 113: "B"}


class Sensors:
    """What the software GPU's NVML says."""

    def __init__(self, folder):
        self.path = Path(folder) / "sensors.json"
        self.readings = {"temperature": 61, "power": 412000, "power_limit": 700000, "sm_clock": 1755, "sm_clock_max": 1980,
                         "memory_clock": 2619, "memory_clock_max": 2619, "utilization": 87, "memory_utilization": 23,
                         "memory_used": 300 << 20, "ecc_corrected": 2, "ecc_uncorrected": 0}
        self.xids = [{"device": 0, "xid": 31}]
        self.say()

    def say(self, **changed):
        self.readings.update(changed)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"devices": {"0": self.readings}, "xids": self.xids}))
        fresh.rename(self.path)


class BusyHost:
    """The daemon, and guests that keep it busy from start_load() to stop_load()."""

    def __init__(self, log_level="info"):
        self.folder = tempfile.TemporaryDirectory(prefix="vgpu-busy-")
        self.sensors = Sensors(self.folder.name)
        self.daemon = Daemon(CONFIG, gpu=None, log_level=log_level,
                             variables={"VGPU_SOFTGPU_NVML_STATE": str(self.sensors.path)})
        self.address = f"127.0.0.1:{self.daemon.port}"
        self.load = []

    def start_load(self, vms=tuple(POOL_OF)):
        for vm in vms:
            guest = self.daemon.guest(program("steps"), vm=vm)
            self.load.append(guest)
            for command in ("alloc 67108864", "hold 4194304", "work"):
                assert guest.ask(command).startswith("ok"), command
            # Not `saturate`: on a slow machine a thousand kernels in flight take longer than anybody may hold others up.
            assert guest.ask("spin").startswith("ok")

    def make_trouble(self):
        """What is refused, and what faults."""
        with self.daemon.guest(program("steps"), vm=111) as guest:
            assert guest.ask("unsupported").startswith("error")
            assert guest.ask("alloc 1073741824").startswith("error")
        self.daemon.run(program("illegal_address"), vm=112)

    def stop_load(self):
        for guest in self.load:
            guest.__exit__()
        self.load.clear()
        self.daemon.wait_idle()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            for guest in self.load:
                guest.__exit__()
            self.daemon.stop()
        finally:
            self.daemon.kill()
            self.folder.cleanup()


def wait_for_reading(host, temperature):
    """Until vgpud has looked at the sensors."""
    wait_until(lambda: host.daemon.metrics().value("vgpu_gpu_temperature_celsius") == temperature, "no sensor is read")
