"""NVML in the guest, and vgpu-smi: that they say what CUDA says and what the host counts, and nothing of other VMs."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

from harness import GUEST, PROGRAM_SECONDS, Daemon, DaemonTest, program, run_program, wait_until

ASKS = [sys.executable, Path(__file__).with_name("nvml_guest.py")]
SMI = GUEST / "vgpu-smi"
MIB = 1 << 20
UUID = "GPU-76677075-736f-4674-a767-7075000000{:02}"

CONFIG = """
[[pool]]
name = "A"
[[pool]]
name = "B"
gpu = "software:2"
[[pool]]
name = "C"
gpu = ["software", "software"]
[[vm]]
id = 1
pool = "A"
memory = "1GiB"
[[vm]]
id = 2
pool = "A"
[[vm]]
id = 3
pool = "B"
[[vm]]
id = 4
pool = "C"
[[vm]]
id = 5
pool = "C"
[software_gpu]
memory = "2GiB"
"""


class NvmlTest(DaemonTest):
    CONFIG = CONFIG
    GPU = None  # the pools' own

    def setUp(self):
        self.daemon.wait_idle()

    def told(self, sequence, vm):
        result = self.daemon.run(*ASKS, sequence, vm=vm)
        self.assertEqual(result.returncode, 0, f"{result.stdout}\n{self.log_tail()}")
        return json.loads(result.stdout)

    def smi(self, *arguments, vm=1):
        result = self.daemon.run(SMI, *arguments, vm=vm)
        self.assertEqual(result.returncode, 0, f"{result.stdout}\n{self.log_tail()}")
        return result.stdout


class Agreement(NvmlTest):
    """NVML and CUDA, in one process."""

    def assert_agrees(self, told):
        self.assertEqual(len(told["gpus"]), len(told["cuda"]["devices"]))
        for nvml, cuda in zip(told["gpus"], told["cuda"]["devices"]):
            for what in ("uuid", "name", "pci", "capability", "total", "free"):
                self.assertEqual(nvml[what], cuda[what], what)
            self.assertEqual(cuda["total"], cuda["device_total"])
            self.assertEqual(cuda["integrated"], 0)
            self.assertEqual(nvml["used"], 0)

    def test_each_sequence_in_each_kind_of_pool(self):
        for vm, devices, total in ((1, 1, 1024 * MIB), (2, 1, 2048 * MIB), (3, 2, 2048 * MIB), (4, 1, 2048 * MIB)):
            for sequence in ("torch", "llama", "ollama"):
                with self.subTest(vm=vm, sequence=sequence):
                    told = self.told(sequence, vm)
                    self.assert_agrees(told)
                    self.assertEqual([gpu["total"] for gpu in told["gpus"]], [total] * devices)
                    self.assertEqual(told["gpus"][-1]["uuid"], UUID.format(devices))

    def test_versions(self):
        told = self.told("pynvml", 1)
        self.assertEqual(told["version"], self.told("torch", 1)["cuda"]["version"])
        self.assertEqual(told["driver"], "software")

    def test_a_vm_in_a_pool_of_several_gpus_sees_the_one_that_it_is_on(self):
        with self.daemon.guest(program("steps"), vm=4) as first, self.daemon.guest(program("steps"), vm=5) as second:
            uuids = []
            for guest, vm in ((first, 4), (second, 5)):
                self.assertEqual(guest.ask("alloc 1048576")[:2], "ok")
                gpus = self.told("pynvml", vm)["gpus"]
                self.assertEqual([[pid for pid, _ in gpu["processes"]] for gpu in gpus], [[guest.process.pid]])
                uuids.append(gpus[0]["uuid"])
            self.assertEqual(sorted(uuids), [UUID.format(1), UUID.format(2)])


class Use(NvmlTest):
    def test_memory_is_what_the_host_charges_and_cuda_says(self):
        with self.daemon.guest(program("steps"), vm=1) as guest:
            self.assertTrue(guest.ask(f"alloc {64 * MIB}").startswith("ok"))
            gpu, = self.told("pynvml", 1)["gpus"]
            self.assertEqual((gpu["total"], gpu["used"], gpu["used_v2"]), (1024 * MIB, 64 * MIB, 64 * MIB))
            self.assertEqual(gpu["processes"], [[guest.process.pid, 64 * MIB]])
            self.assertEqual(gpu["used"], self.daemon.metrics().value("vgpu_memory_used_bytes", vm=1))
            free, total, _ = map(int, guest.ask("info").split()[1:])
            self.assertEqual((gpu["total"], gpu["free"]), (total, free))
            # Another VM on the same GPU sees nothing of it.
            other, = self.told("pynvml", 2)["gpus"]
            self.assertEqual((other["uuid"], other["used"], other["processes"]), (gpu["uuid"], 0, []))
            guest.finish()
        wait_until(lambda: self.told("pynvml", 1)["gpus"][0]["used"] == 0, "what a dead process had is still in use")

    def test_utilization_is_the_vms_own(self):
        query = ("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
        with self.daemon.guest(program("steps"), vm=1) as busy, self.daemon.guest(program("steps"), vm=2) as idle:
            self.assertTrue(idle.ask("work").startswith("ok"))
            self.assertTrue(busy.ask("saturate").startswith("ok"))
            wait_until(lambda: int(self.smi(*query)) > 0, "a busy VM's utilization stays 0")
            wait_until(lambda: int(self.smi(*query, vm=2)) == 0, "an idle VM is said to use the GPU")

    def test_questions_cost_no_session(self):
        self.told("pynvml", 1)
        self.smi()
        before = len(self.daemon.log_lines('msg="session opened"'))
        told = len(self.daemon.log_lines('msg="status told"', "vm=1"))
        self.told("pynvml", 1)
        self.assertEqual(len(self.daemon.log_lines('msg="session opened"')), before)
        self.assertGreater(len(self.daemon.log_lines('msg="status told"', "vm=1")), told)
        self.assertEqual(self.daemon.executors(), [])
        self.assertEqual(self.daemon.metrics().value("vgpu_sessions"), 0)


class Smi(NvmlTest):
    def test_gpus_are_listed(self):
        self.assertEqual(self.smi("-L", vm=3), "".join(
            f"GPU {index}: vgpu software GPU (UUID: {UUID.format(index + 1)})\n" for index in range(2)))
        self.assertEqual(self.smi("-L", "-i", "1", vm=3).count("\n"), 1)
        self.assertIn("GPU 1:", self.smi("-L", "-i", UUID.format(2), vm=3))

    def test_table_and_details(self):
        with self.daemon.guest(program("steps"), vm=1) as guest:
            self.assertTrue(guest.ask(f"alloc {64 * MIB}").startswith("ok"))
            table, details = self.smi(), self.smi("-q")
            self.assertRegex(table, r"CUDA Version: 1\d\.\d")
            self.assertIn("64MiB /   1024MiB", table)
            self.assertRegex(table, rf" {guest.process.pid} +C +\S*steps\S* +64MiB ")
            self.assertRegex(details, rf"Process ID +: {guest.process.pid}\n")
            self.assertIn("No running processes found", self.smi(vm=2))

    def test_queries(self):
        self.assertEqual(self.smi("--query-gpu=index,name,uuid,memory.total,memory.used,compute_cap,pci.bus_id",
                                  "--format=csv"),
                         "index, name, uuid, memory.total [MiB], memory.used [MiB], compute_cap, pci.bus_id\n"
                         f"0, vgpu software GPU, {UUID.format(1)}, 1024 MiB, 0 MiB, 9.0, 00000000:F0:00.0\n")
        self.assertEqual(self.smi("--query-gpu=memory.total,power.draw", "--format=csv,noheader,nounits"), "1024, [N/A]\n")
        with self.daemon.guest(program("steps"), vm=1) as guest:
            self.assertTrue(guest.ask(f"alloc {64 * MIB}").startswith("ok"))
            self.assertEqual(self.smi("--query-compute-apps=pid,used_memory,gpu_uuid", "--format=csv,noheader"),
                             f"{guest.process.pid}, 64 MiB, {UUID.format(1)}\n")

    def test_again_and_again(self):
        for loop in (("-lms", "10"), ("-l=0.01",), ("--loop-ms=10",)):
            with self.subTest(loop), self.daemon.guest(
                    SMI, "--query-gpu=memory.total", "--format=csv,noheader,nounits", *loop, vm=1) as guest:
                wait_until(lambda: guest.answers.count("1024") >= 3, "it does not go on")

    def test_mistakes(self):
        for arguments, code, said in (
                (("--query-gpu=name,foo", "--format=csv"), 2, 'Field "foo" is not a valid field to query.'),
                (("--query-compute-apps=foo", "--format=csv"), 2, 'Field "foo" is not a valid field to query.'),
                (("--query-gpu=name",), 2, '"--format=" switch is missing.'),
                (("--query-gpu=name", "--format=xml"), 2, "csv"),
                (("-L", "-q"), 2, "Invalid combination of input arguments."),
                (("-q", "-d", "FOO"), 2, "FOO"),
                (("-i", "7"), 6, "No devices were found"),
                (("-i", "GPU-7", "-L"), 6, "No devices were found"),
                (("--frobnicate",), 2, "--frobnicate")):
            with self.subTest(arguments):
                result = self.daemon.run(SMI, *arguments, vm=1)
                self.assertEqual(result.returncode, code, result.stdout)
                self.assertIn(said, result.stdout)


class Absence(unittest.TestCase):
    def test_the_daemon_ends(self):
        with Daemon() as daemon:
            with daemon.guest(*ASKS, "watch") as guest:
                self.assertEqual(guest.ask("?"), "ok 0")
                daemon.stop()
                wait_until(lambda: guest.ask("?") == "error 9", "the daemon is gone, and NVML does not notice")
            environment = daemon.environment(VGPU_SOCKET=daemon.socket, LD_LIBRARY_PATH=GUEST, VGPU_LOG=1)
            result = run_program([str(SMI)], environment, PROGRAM_SECONDS)
            self.assertEqual(result.returncode, 9, result.stdout)
            self.assertIn("couldn't communicate with the host's vgpud", result.stdout)
            self.assertIn(f"no daemon at {daemon.socket}", result.stdout)

    def test_a_vm_that_is_refused(self):
        with Daemon(config="[unregistered]\nallow = false\n") as daemon:
            result = daemon.run(SMI, "-L", vm=7)
            self.assertEqual(result.returncode, 4, result.stdout)
            self.assertEqual(daemon.log_lines("level=warning", "connection refused"), [])


class Sensors(unittest.TestCase):
    def test_readings_are_the_gpus(self):
        with tempfile.TemporaryDirectory(prefix="vgpu-sensors-") as folder:
            state = Path(folder) / "state.json"
            state.write_text(json.dumps({"devices": {"0": {"temperature": 61, "power": 250500, "power_limit": 700000,
                                                           "sm_clock": 1980, "ecc_uncorrected": 2}}}))
            with Daemon(variables={"VGPU_SOFTGPU_NVML_STATE": str(state)}) as daemon:
                fields = "temperature.gpu,power.draw,power.limit,clocks.sm,clocks.mem,ecc.errors.uncorrected.volatile.total"
                result = daemon.run(SMI, f"--query-gpu={fields}", "--format=csv,noheader", vm=1)
                self.assertEqual(result.stdout, "61, 250.50 W, 700.00 W, 1980 MHz, [N/A], 2\n")


if __name__ == "__main__":
    unittest.main()
