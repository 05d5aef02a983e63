"""What /metrics counts, against programs of which it is known what they do."""

import re
import unittest

from harness import DaemonTest, program, wait_until


class Counters(DaemonTest):
    LOG_LEVEL = "info"

    def count(self, name, **labels):
        return self.daemon.metrics().value(name, **labels)

    def run_counted(self, vm, pool, launches=7, size=100001):
        result = self.daemon.run(program("counted"), launches, size, vm=vm, pool=pool)
        self.assert_passes(result, "counted")
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", result.stdout)}

    def test_kernels_and_bytes_are_exact(self):
        did = self.run_counted(111, "A")
        self.daemon.wait_idle()
        metrics = self.daemon.metrics()
        mine = {"vm": 111, "pool": "A"}
        self.assertEqual(metrics.value("vgpu_kernels_launched_total", **mine), did["kernels_launched"])
        for direction in ("host_to_device", "device_to_host", "device_to_device"):
            self.assertEqual(metrics.value("vgpu_copied_bytes_total", direction=direction, **mine), did[direction],
                             direction)
        self.assertGreater(metrics.value("vgpu_calls_processed_total", **mine), did["kernels_launched"])

    def test_vms_and_pools_are_kept_apart(self):
        did_a = self.run_counted(211, "A", launches=3)
        did_b = self.run_counted(212, "B", launches=5, size=4097)
        self.daemon.wait_idle()
        metrics = self.daemon.metrics()
        self.assertEqual(metrics.value("vgpu_kernels_launched_total", vm=211, pool="A"), did_a["kernels_launched"])
        self.assertEqual(metrics.value("vgpu_kernels_launched_total", vm=212, pool="B"), did_b["kernels_launched"])
        self.assertEqual(metrics.select("vgpu_kernels_launched_total", vm=211, pool="B"), [])
        self.assertEqual(metrics.select("vgpu_kernels_launched_total", vm=212, pool="A"), [])
        self.assertEqual(metrics.value("vgpu_copied_bytes_total", vm=212, direction="host_to_device"),
                         did_b["host_to_device"])

    def test_calls_by_name(self):
        before = self.daemon.metrics().by("vgpu_calls_by_name_total", "call", pool="B")
        processed = self.count("vgpu_calls_processed_total", pool="B")
        did = self.run_counted(311, "B", launches=9)
        self.daemon.wait_idle()
        after = self.daemon.metrics().by("vgpu_calls_by_name_total", "call", pool="B")
        grown = {name: value - before.get(name, 0) for name, value in after.items() if value > before.get(name, 0)}
        self.assertEqual(grown.get("cuLaunchKernel"), did["kernels_launched"], grown)
        self.assertEqual(grown.get("cuMemAlloc"), 2, grown)
        self.assertEqual(grown.get("cuMemFree"), 2, grown)
        self.assertEqual(sum(grown.values()), self.count("vgpu_calls_processed_total", pool="B") - processed, grown)

    def test_gauges_rise_and_fall(self):
        mine = {"vm": 411, "pool": "A"}
        with self.daemon.guest(program("steps"), vm=411, pool="A") as guest:
            self.assertEqual(guest.ask("work")[:2], "ok")
            wait_until(lambda: self.count("vgpu_sessions", **mine) == 1, "the session never appeared")
            base = self.count("vgpu_memory_used_bytes", **mine)
            self.assertEqual(guest.ask("alloc 12582912")[:2], "ok")
            wait_until(lambda: self.count("vgpu_memory_used_bytes", **mine) == base + 12582912,
                       lambda: f"{self.count('vgpu_memory_used_bytes', **mine)} bytes are counted after {base}")
            self.assertEqual(guest.finish(), 0)
        wait_until(lambda: self.count("vgpu_sessions", **mine) == 0, "the session never went")
        wait_until(lambda: self.count("vgpu_memory_used_bytes", **mine) == 0, "its memory never went")

    def test_gpu_time_shows_while_a_call_waits(self):
        mine = {"vm": 711, "pool": "A"}
        with self.daemon.guest(program("steps"), vm=711, pool="A") as guest:
            self.assertEqual(guest.ask("work")[:2], "ok")
            guest.tell("hang")
            wait_until(lambda: self.count("vgpu_leases", state="held", **mine) == 1, "it never holds the GPU")
            before = self.count("vgpu_gpu_seconds_total", **mine)
            wait_until(lambda: self.count("vgpu_gpu_seconds_total", **mine) > before + 0.1, "no GPU time shows")
            before = self.count("vgpu_gpu_seconds_total", **mine)
            wait_until(lambda: self.count("vgpu_gpu_seconds_total", **mine) > before + 0.1, "GPU time stands still")

    def test_totals_never_go_back(self):
        names = ("vgpu_calls_processed_total", "vgpu_kernels_launched_total", "vgpu_copied_bytes_total",
                 "vgpu_calls_by_name_total", "vgpu_doorbells_total", "vgpu_unsupported_calls_total")

        def totals():
            return {(name, *sorted(labels.items())): value
                    for name, labels, value in self.daemon.metrics().series if name in names}

        last = totals()
        for _ in range(3):
            with self.daemon.guest(program("steps"), vm=511, pool="A") as guest:
                for command in ("work", "unsupported", "work"):
                    guest.ask(command)
                    now = totals()
                    for key, value in last.items():
                        self.assertGreaterEqual(now.get(key, -1), value, key)
                    last = now
                self.assertEqual(guest.finish(), 0)
            self.daemon.wait_idle()
            now = totals()
            for key, value in last.items():
                self.assertGreaterEqual(now.get(key, -1), value, f"{key} after the session's end")
            last = now

    def test_unsupported_calls_by_name(self):
        with self.daemon.guest(program("steps"), vm=611, pool="B") as guest:
            before = self.count("vgpu_unsupported_calls_total", call="cuImportExternalMemory")
            self.assertEqual(guest.ask("unsupported"), "error cudaErrorNotSupported")
            self.assertEqual(guest.ask("unsupported"), "error cudaErrorNotSupported")
            self.assertEqual(guest.ask("work")[:2], "ok")
            wait_until(lambda: self.count("vgpu_unsupported_calls_total", call="cuImportExternalMemory") == before + 2,
                       lambda: str(self.daemon.metrics().by("vgpu_unsupported_calls_total", "call")))

    def test_build_info_and_help(self):
        metrics = self.daemon.metrics()
        self.assertEqual(metrics.value("vgpu_build_info"), 1)
        (labels, _), = metrics.select("vgpu_build_info")
        self.assertTrue(labels.get("version"), labels)


GIVEN = """
[[pool]]
name = "A"
[[vm]]
id = 1
name = "build"
uuid = "8f6d6d1e-0c2b-4a57-9d3e-6f1f0f9a2b11"
pool = "A"
weight = {weight}
memory = "{memory}"
"""


class Given(DaemonTest):
    CONFIG = GIVEN.format(weight=200, memory="64MiB")

    def assert_given(self, weight, memory):
        metrics = self.daemon.metrics()
        self.assertEqual(metrics.value("vgpu_vm_info", vm=1, name="build", domain="build", pool="A", priority="medium",
                                       uuid="8f6d6d1e-0c2b-4a57-9d3e-6f1f0f9a2b11", weight=weight), 1)
        self.assertEqual(len(metrics.select("vgpu_vm_info", vm=1)), 1)
        self.assertEqual(metrics.value("vgpu_vm_weight", vm=1), weight)
        self.assertEqual(metrics.value("vgpu_vm_memory_limit_bytes", vm=1), memory)

    def test_what_vms_are_given_is_there_before_they_come_and_follows_a_reload(self):
        self.assert_given(200, 64 << 20)
        metrics = self.daemon.metrics()
        for name in ("vgpu_calls_processed_total", "vgpu_faults_total", "vgpu_sessions", "vgpu_lease_wait_seconds_count"):
            self.assertTrue(metrics.select(name, vm=1, pool="A"), name)
        applied = metrics.value("vgpu_config_last_reload_success_timestamp_seconds")
        self.daemon.reload(GIVEN.format(weight=10, memory="128MiB"))
        wait_until(lambda: self.daemon.metrics().value("vgpu_config_last_reload_success_timestamp_seconds") > applied,
                   "no reload is seen")
        self.assert_given(10, 128 << 20)

    def test_a_refused_reload_is_shown(self):
        self.daemon.reload(GIVEN.format(weight=0, memory="64MiB"))
        wait_until(lambda: self.daemon.metrics().value("vgpu_config_last_reload_successful") == 0, "it counts as applied")
        self.assertNotEqual(self.daemon.metrics().value("vgpu_vm_weight", vm=1), 0)
        self.daemon.reload(self.CONFIG)
        wait_until(lambda: self.daemon.metrics().value("vgpu_config_last_reload_successful") == 1, "it counts as refused")
        self.assert_given(200, 64 << 20)


if __name__ == "__main__":
    unittest.main()
