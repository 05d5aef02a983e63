"""CUDA programs in virtual machines without a GPU, with vgpu-stub and with ivshmem-doorbell: what they compute, what is
counted for whom, and what is left when a process, a VM, an executor or the daemon dies.
"""

import os
import re
import signal
import unittest
from pathlib import Path

from vms import CHANNELS, VmTest, flavours, wait_until

DIRECTIONS = ("host_to_device", "device_to_host", "device_to_device")


class OneGuest(VmTest):
    GUESTS = (111,)

    def setUp(self):
        self.guest = self.guests[0]

        self.addCleanup(self.host.wait_idle)

    def test_programs_of_an_ordinary_user(self):
        for name in ("vector_add", "matrix_tiled", "streams_events", "copies", "host_function"):
            with self.subTest(name):
                self.run_program(self.guest, name)
        self.run_program(self.guest, "vector_add", variant="shared-O3")

    def test_four_processes_at_once(self):
        names = ("vector_add", "matrix_tiled", "streams_events", "reduction")
        running = [self.guest.start(f"/programs/{name}.static-O3", user="tenant") for name in names]
        for name, command in zip(names, running):
            status, output = command.wait(180)
            self.assertEqual(status, 0, f"{name}: {output}")
            self.assertIn(f"{name}: ok", output)

    def test_counters_equal_what_the_guest_did(self):
        def counts():
            return [self.host.counted("vgpu_kernels_launched_total", self.guest)] + [
                self.host.counted("vgpu_copied_bytes_total", self.guest, direction=each) for each in DIRECTIONS]

        self.host.wait_idle()
        before = counts()
        output = self.run_program(self.guest, "counted", 7, 100001)
        self.host.wait_idle()
        did = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", output)}
        self.assertEqual([after - old for after, old in zip(counts(), before)],
                         [did[key] for key in ("kernels_launched", *DIRECTIONS)])
        self.assertGreater(self.host.counted("vgpu_doorbells_total", self.guest), 0)

    def test_vgpu_smi(self):
        def smi(name, *arguments):
            status, output = self.guest.run(" ".join([name, *arguments]), user="tenant")
            self.assertEqual(status, 0, output)
            return output.strip()

        self.host.wait_idle()
        uuid = "GPU-76677075-736f-4674-a767-707500000001"
        self.assertEqual(smi("vgpu-smi", "-L"), f"GPU 0: vgpu software GPU (UUID: {uuid})")
        holder = self.steps(self.guest)
        self.ask(holder, "alloc 67108864")
        pid = self.guest.run("pidof steps.static-O3")[1].strip()
        # By NVIDIA's name for it, too.
        self.assertEqual(smi("nvidia-smi", "--query-gpu=uuid,memory.used", "--format=csv,noheader"), f"{uuid}, 64 MiB")
        self.assertEqual(smi("vgpu-smi", "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader"),
                         f"{pid}, /programs/steps.static-O3, 64 MiB")
        self.assertEqual(self.host.counted("vgpu_memory_used_bytes", self.guest), 64 << 20)
        self.assertEqual(self.host.counted("vgpu_sessions", self.guest), 1)  # asking is none
        holder.kill()

    def test_what_frameworks_ask_first(self):
        status, output = self.guest.run("/programs/discovery.static-O3", user="tenant")
        self.assertEqual(status, 0, output)
        self.assertIn("discovery: ok, 1 of CUDA", output)

    def test_a_stranger_may_not(self):
        status, output = self.guest.run("/programs/vector_add.static-O3", user="stranger")
        self.assertNotEqual(status, 0)
        self.assertIn("add the user to group vgpu", output)

    def test_more_processes_than_channels(self):
        running = [self.steps(self.guest) for _ in range(CHANNELS)]
        for command in running:
            self.ask(command, "work")
        status, output = self.guest.run("/programs/vector_add.static-O3", user="tenant")
        self.assertNotEqual(status, 0)
        self.assertIn("channels of /dev/vgpu0 are in use", output)
        running.pop().kill()
        wait_until(lambda: self.guest.run("/programs/vector_add.static-O3", user="tenant")[0] == 0,
                   "the channel of a dead process is not free again")
        for command in running:
            self.ask(command, "work")

    def test_process_killed_in_mid_kernel(self):
        other = self.steps(self.guest)
        self.ask(other, "work")
        spinning = self.steps(self.guest)
        self.ask(spinning, "spin")
        wait_until(lambda: len(self.host.daemon.executors()) == 2, "there are not two executors")
        self.assertEqual(spinning.kill()[0], 128 + signal.SIGKILL)
        wait_until(lambda: len(self.host.daemon.executors()) == 1, "the dead process's executor is left")
        self.ask(other, "work")
        self.run_program(self.guest, "vector_add")

    def test_executor_killed(self):
        victim = self.steps(self.guest)
        self.ask(victim, "work")
        executor = self.host.daemon.executors()
        other = self.steps(self.guest)
        self.ask(other, "work")
        os.kill(executor[0], signal.SIGKILL)
        self.ask(victim, "work", "error")
        self.ask(other, "work")
        self.run_program(self.guest, "vector_add")

    def test_memory_is_zeroed_between_processes(self):
        first = self.steps(self.guest)
        self.ask(first, "fill between-processes")
        first.kill()
        second = self.steps(self.guest)
        self.assertEqual(self.ask(second, "search between-processes"), "ok 0")


class DaemonKilled(VmTest):
    GUESTS = (111,)

    def test_new_sessions_work_without_a_reboot(self):
        guest = self.guests[0]
        running = self.steps(guest)
        self.ask(running, "work")
        waiting = self.steps(guest)
        self.ask(waiting, "spin")
        executors = self.host.daemon.executors()
        self.assertEqual(len(executors), 2)
        self.host.kill_daemon()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in executors), "executors outlive the daemon")
        self.assertTrue(self.answer(waiting).startswith("error"))
        status, output = guest.run("/programs/vector_add.static-O3", user="tenant", timeout=30)
        self.assertNotEqual(status, 0)
        self.assertIn("vgpu: no GPU", output)
        self.host.start_daemon()
        self.run_program(guest, "vector_add")
        # A session does not come back from the dead.
        self.ask(running, "work", "error")
        self.run_program(guest, "matrix_tiled")


class TwoGuests(VmTest):
    GUESTS = (111, 112)
    WORDS = ("iomem=relaxed",)

    def setUp(self):
        self.first, self.second = self.guests

    def bar(self, guest, *words):
        devices = guest.check("grep -l -e 0x7670 -e 0x1110 /sys/bus/pci/devices/*/device").split("/")
        return guest.check(f"/run/vgpu/bar {devices[-2]} {' '.join(words)}", timeout=300)

    def test_each_is_counted_in_its_own_pool(self):
        before = [self.host.counted("vgpu_kernels_launched_total", guest) for guest in self.guests]
        running = [guest.start(f"/programs/counted.static-O3 {launches} 5003", user="tenant")
                   for guest, launches in ((self.first, 3), (self.second, 5))]
        for command in running:
            status, output = command.wait(120)
            self.assertEqual(status, 0, output)
        self.host.wait_idle()
        after = [self.host.counted("vgpu_kernels_launched_total", guest) for guest in self.guests]
        self.assertEqual([new - old for new, old in zip(after, before)], [3, 5])
        metrics = self.host.daemon.metrics()
        for vm, pool in ((111, "B"), (112, "A")):
            self.assertEqual(metrics.select("vgpu_kernels_launched_total", vm=vm, pool=pool), [])

    def test_neither_sees_the_others_memory(self):
        secret = "secret-of-the-first"
        holder = self.steps(self.first)
        self.ask(holder, f"fill {secret}")
        own = int(self.bar(self.first, "scan", secret).split()[1])
        self.assertGreater(own, 1000, "the search finds nothing where the secret is")
        searcher = self.steps(self.second)
        self.assertEqual(self.ask(searcher, f"search {secret}"), "ok 0")
        for guest in (self.first, self.second):
            status, output = guest.run("vgpu-smi --query-compute-apps=pid --format=csv,noheader", user="tenant")
            self.assertEqual(output.strip(), guest.run("pidof steps.static-O3")[1].strip())
        self.assertEqual(self.bar(self.second, "scan", secret).strip(), "ok 0")

    def test_garbage_hurts_its_own_sessions_only(self):
        victim = self.steps(self.first)
        self.ask(victim, "work")
        other = self.steps(self.second)
        self.ask(other, "spin")
        self.bar(self.first, "garbage", "20301")
        victim.tell("work")
        self.run_program(self.second, "vector_add")
        self.run_program(self.second, "matrix_tiled")
        self.assertIsNone(self.second.process.poll())
        self.assertTrue(self.host.daemon.healthy())
        self.assertFalse(other.ended())
        victim.kill()
        # The hostile VM itself is served again once its driver starts anew: when it is unbound it tells the daemon, which
        # writes the device page anew; without that page an ivshmem device is not known as ours.
        self.first.check("cd /sys/bus/pci/drivers/vgpu; device=$(ls -d 0*); echo $device >unbind; "
                         "until echo $device >bind 2>/dev/null; do sleep 0.1; done; chgrp vgpu /dev/vgpu0")
        wait_until(lambda: len(self.host.daemon.executors()) == 1, "the hostile VM's session goes on")
        self.run_program(self.first, "vector_add")
        self.assertFalse(other.ended())

    def test_qemu_killed(self):
        doomed = self.host.boot(111) if self.first.process.poll() is not None else self.first
        commands = [self.steps(doomed) for _ in range(2)]
        for command in commands:
            self.ask(command, "work")
        other = self.steps(self.second)
        self.ask(other, "spin")
        wait_until(lambda: len(self.host.daemon.executors()) == 3, "there are not three executors")
        doomed.kill()
        wait_until(lambda: len(self.host.daemon.executors()) == 1, "executors outlive their VM")
        wait_until(lambda: self.host.counted("vgpu_vm_connected", doomed) == 0, "the dead VM counts as connected")
        self.run_program(self.second, "vector_add")
        self.assertFalse(other.ended())
        self.guests[0] = self.host.boot(111, self.WORDS)
        self.run_program(self.guests[0], "vector_add")


flavours(globals(), OneGuest, DaemonKilled, TwoGuests)

if __name__ == "__main__":
    unittest.main()
