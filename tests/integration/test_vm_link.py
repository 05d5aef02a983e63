"""The daemon's side of virtual machines, without one: fake_vm.py plays QEMU and the guest's driver."""

import os
import signal
import struct
import tempfile
import unittest
from pathlib import Path

import fake_vm
from fake_vm import IvshmemVm, StubVm
from harness import Daemon, wait_until

CONFIG = """
[[pool]]
name = "A"
[[pool]]
name = "B"
[[vm]]
id = 111
name = "build-server"
pool = "A"
[[vm]]
id = 112
pool = "B"
"""


def qemu_socket(daemon):
    return daemon.folder / "vgpud-qemu.sock"


class StubTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(config=CONFIG)

    @classmethod
    def tearDownClass(cls):
        try:
            cls.daemon.wait_idle()
            assert cls.daemon.stop() == 0, cls.daemon.log()
        finally:
            cls.daemon.kill()

    def vm(self, *args, **kwargs):
        vm = StubVm(qemu_socket(self.daemon), *args, **kwargs)
        self.addCleanup(vm.disconnect)
        return vm

    def ready_vm(self, *args, **kwargs):
        """A VM that the daemon has taken."""
        def taken():
            # Until the daemon has seen that the connection before is closed, the VM's id is that one's.
            vm = self.vm(*args, **kwargs)
            if vm.receive()[0] == fake_vm.READY:
                return vm
            vm.disconnect()
            return None

        vm = wait_until(taken, "the daemon does not take the VM")
        vm.wait_ready()
        return vm

    def test_vm_is_taken_and_described(self):
        vm = self.ready_vm(111)
        self.assertEqual(vm.u32(8), 111)
        self.assertEqual(vm.u32(12), 2)
        size, arena, arena_bytes = struct.unpack_from("<QQQ", vm.memory, 16)
        self.assertEqual((size, arena), (fake_vm.MEMORY, 3 * fake_vm.STRIDE))
        self.assertEqual(arena_bytes, fake_vm.MEMORY - arena)
        self.assertTrue(vm.interrupted(0) and vm.interrupted(1))
        metrics = self.daemon.metrics
        wait_until(lambda: metrics().value("vgpu_vm_connected", vm="111", pool="A") == 1, "not counted")
        vm.disconnect()
        wait_until(lambda: metrics().value("vgpu_vm_connected", vm="111", pool="A") == 0, "still counted")
        self.assertTrue(self.daemon.log_lines('msg="VM connected"', "vm=111", "pool=A", "device=vgpu-stub"))

    def test_open_and_close_a_channel(self):
        with self.ready_vm(111) as vm:
            vm.memory[vm.base(0) + fake_vm.GRANULE:vm.base(0) + fake_vm.GRANULE + 6] = b"secret"
            result, _, session, region, device = vm.open(0, process=b"train", pid=77, uid=1001)
            self.assertEqual(result, 0, device)
            self.assertTrue(device)
            self.assertEqual(region, fake_vm.STRIDE + fake_vm.MEMORY - 3 * fake_vm.STRIDE)
            self.assertEqual(bytes(vm.memory[vm.base(0) + fake_vm.GRANULE:][:6]), bytes(6), "the channel was not zeroed")
            self.assertEqual(vm.state(0)[0], fake_vm.STATE_OPEN)
            self.assertTrue(self.daemon.log_lines('msg="session opened"', "vm=111", f"session={session}", "pid=77",
                                                  "process=train"))
            self.assertEqual(len(self.daemon.executors()), 1)
            vm.close_channel(0)
            self.assertEqual(self.daemon.executors(), [], "a close was answered before the executor was gone")
            self.assertEqual(vm.open(0)[0], 0, "the channel can't be used again")

    def test_a_second_qemu_of_the_same_vm_is_refused(self):
        with self.ready_vm(111):
            second = self.vm(111)
            kind, text = second.receive()
            self.assertEqual(kind, fake_vm.REFUSED)
            self.assertIn("another QEMU is connected as this VM", text)
            self.assertIsNone(second.receive())
        self.ready_vm(111)

    def test_pool_of_the_configuration_wins(self):
        with self.ready_vm(112, pool=b"A") as vm:
            self.assertEqual(vm.open()[0], 0)
            self.assertEqual(self.daemon.metrics().value("vgpu_sessions", vm="112", pool="B"), 1)

    def test_unknown_pool_is_refused(self):
        kind, text = self.vm(5, pool=b"nowhere").receive()
        self.assertEqual(kind, fake_vm.REFUSED)
        self.assertIn("nowhere", text)

    def test_wrong_version_of_the_guest_library(self):
        with self.ready_vm(111) as vm:
            result, reason, _, _, text = vm.open(0, version=9 << 16)
            self.assertEqual((result, reason), (803, 22))
            self.assertIn("different versions", text)

    def test_qemu_killed_ends_sessions(self):
        vm = self.ready_vm(111)
        self.assertEqual(vm.open(0)[0], 0)
        self.assertEqual(vm.open(1)[0], 0)
        vm.disconnect()
        wait_until(lambda: not self.daemon.executors(), "executors outlive the VM")

    def test_executor_killed_ends_its_session_only(self):
        with self.ready_vm(111) as vm:
            vm.open(0)
            first = self.daemon.executors()
            vm.open(1)
            vm.interrupted(0)
            os.kill(first[0], signal.SIGKILL)
            wait_until(lambda: vm.state(0) == (fake_vm.STATE_ENDED, 32), lambda: f"the state is {vm.state(0)}")
            self.assertTrue(vm.interrupted(0, 5), "nobody woke the guest")
            self.assertEqual(vm.state(1)[0], fake_vm.STATE_OPEN)
            vm.close_channel(0)
            self.assertEqual(vm.open(0)[0], 0)

    def test_reset_by_the_driver_forgets_all(self):
        with self.ready_vm(111) as vm:
            vm.open(0)
            epoch = vm.u32(fake_vm.HOST_EPOCH)
            arena = 3 * fake_vm.STRIDE
            vm.memory[arena:arena + 6] = b"secret"
            vm.reset_by_driver()
            self.assertNotEqual(vm.u32(fake_vm.HOST_EPOCH), epoch)
            self.assertEqual(self.daemon.executors(), [])
            self.assertEqual(bytes(vm.memory[arena:arena + 6]), bytes(6), "memory was not given back")
            self.assertEqual(vm.open(0)[0], 0)

    def test_reset_of_the_vm_ends_sessions(self):
        with self.ready_vm(111) as vm:
            vm.open(0)
            epoch = vm.u32(fake_vm.HOST_EPOCH)
            vm.reset()
            vm.wait_ready(epoch)
            self.assertEqual(self.daemon.executors(), [])

    def test_close_overtakes_an_open_under_way(self):
        with self.ready_vm(111) as vm:
            vm.request(0, fake_vm.OPEN)
            vm.close_channel(0)
            self.assertEqual(self.daemon.executors(), [])
            self.assertEqual(vm.open(0)[0], 0)

    def test_garbage_in_all_of_the_memory(self):
        with self.ready_vm(111) as hostile, self.ready_vm(112) as other:
            self.assertEqual(hostile.open(0)[0], 0)
            self.assertEqual(other.open(0)[0], 0)
            noise = os.urandom(1 << 20)
            for offset in range(0, fake_vm.MEMORY, len(noise)):
                hostile.memory[offset:offset + len(noise)] = noise
            for channel in (0, 1):
                hostile.ring(channel)
            wait_until(lambda: len(self.daemon.executors()) == 1, "the hostile VM's session goes on")
            self.assertEqual(other.state(0)[0], fake_vm.STATE_OPEN)
            self.assertEqual(other.open(1)[0], 0)
            hostile.reset_by_driver()
            self.assertEqual(hostile.open(0)[0], 0, "a driver that starts anew is not served")

    def test_nonsense_on_the_link(self):
        def connected(*parts, fds=()):
            vm = StubVm.__new__(StubVm)
            vm.socket = fake_vm.socket.socket(fake_vm.socket.AF_UNIX, fake_vm.socket.SOCK_STREAM)
            vm.socket.settimeout(10)
            vm.socket.connect(str(qemu_socket(self.daemon)))
            self.addCleanup(vm.socket.close)
            for part in parts:
                fake_vm.socket.send_fds(vm.socket, [part], list(fds))
            return vm

        hello = struct.pack("<IIQII", 111, 2, fake_vm.MEMORY, 1, 0)
        memory = fake_vm.sealed_memory(fake_vm.MEMORY)
        self.addCleanup(os.close, memory)
        cases = {
            "no message": connected(b"GET / HTTP/1.1\r\n".ljust(256, b"\0")),
            "other version": connected(fake_vm.message(fake_vm.HELLO, hello, version=2 << 16), fds=[memory]),
            "no memory": connected(fake_vm.message(fake_vm.HELLO, hello)),
            "no channels": connected(fake_vm.message(fake_vm.HELLO, struct.pack("<IIQII", 111, 0, 1, 1, 0)), fds=[memory]),
            "channel first": connected(fake_vm.message(fake_vm.CHANNEL)),
            "unknown": connected(fake_vm.message(99)),
        }
        for name, vm in cases.items():
            with self.subTest(name):
                self.assertIsNone(vm.receive())
        self.assertGreaterEqual(len(self.daemon.log_lines("VM's device is dropped")), len(cases))

    def test_descriptors_that_are_not_what_they_should_be(self):
        unsealed = os.memfd_create("unsealed")
        os.ftruncate(unsealed, fake_vm.MEMORY)
        self.addCleanup(os.close, unsealed)
        kind, text = self.vm(113, memory_fd=unsealed).receive()
        self.assertEqual(kind, fake_vm.REFUSED)
        self.assertIn("not sealed", text)


class DaemonRestartTest(unittest.TestCase):
    def test_vm_survives_the_daemon(self):
        first = Daemon(config=CONFIG)
        self.addCleanup(first.kill)
        vm = StubVm(qemu_socket(first))
        self.addCleanup(vm.disconnect)
        vm.wait_ready()
        epoch = vm.u32(fake_vm.HOST_EPOCH)
        self.assertEqual(vm.open(0)[0], 0)
        executors = first.executors()
        first.process.kill()
        first.process.wait()
        self.assertIsNone(vm.receive() and vm.receive())
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in executors), "an executor outlives the daemon")
        with Daemon(config=CONFIG) as second:
            vm.disconnect()
            vm.path = qemu_socket(second)
            vm.connect()
            vm.wait_ready(epoch)
            self.assertEqual(vm.open(1)[0], 0)


class IvshmemTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vgpu-ivshmem-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "vm111.sock"
        # Both daemons of a test use the same sockets, as a restarted one does.
        self.config = f"""
[qemu]
socket = "{self.folder}/qemu.sock"
[[pool]]
name = "A"
[[vm]]
id = 111
pool = "A"
ivshmem_socket = "{self.path}"
ivshmem_memory = "256MiB"
ivshmem_channels = 2
"""

    def test_session_through_the_ivshmem_server(self):
        with Daemon(config=self.config) as daemon:
            with IvshmemVm(self.path) as vm:
                vm.wait_ready()
                self.assertEqual(vm.open(0)[0], 0)
                self.assertEqual(len(daemon.executors()), 1)
                self.assertTrue(daemon.log_lines('msg="VM connected"', "vm=111", "device=ivshmem-doorbell"))
            wait_until(lambda: not daemon.executors(), "the session outlives QEMU")
            with IvshmemVm(self.path) as vm:
                vm.wait_ready()
                self.assertEqual(vm.open(1)[0], 0)

    def test_vm_survives_the_daemon(self):
        first = Daemon(config=self.config)
        self.addCleanup(first.kill)
        with IvshmemVm(self.path) as vm:
            vm.wait_ready()
            epoch = vm.u32(fake_vm.HOST_EPOCH)
            self.assertEqual(vm.open(0)[0], 0)
            first.process.kill()
            first.process.wait()
            wait_until(lambda: vm.u32(fake_vm.HOST_STATE) == 0, "the guest is not told that the daemon is gone")
            with Daemon(config=self.config):
                vm.wait_ready(epoch)
                self.assertEqual(vm.open(1)[0], 0)
        wait_until(lambda: not self.path.exists(), "a server is left")

    def test_nothing_is_left_of_an_idle_server(self):
        with Daemon(config=self.config):
            wait_until(self.path.exists, "the server does not listen")
        wait_until(lambda: not self.path.exists(), "a server is left")


if __name__ == "__main__":
    unittest.main()
