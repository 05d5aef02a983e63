"""A daemon and virtual machines around it, for tests that run CUDA programs in guests. VGPU_BUILD, VGPU_PROGRAMS and so on
as in tests/integration/harness.py, VGPU_QEMU and VGPU_GUEST_IMAGE as in guest.py.
"""

import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "integration"))

from guest import BUILT_QEMU, Guest, qemu_program  # noqa: E402
from harness import Daemon, wait_until  # noqa: E402

CHANNELS = 6
MEMORY_MIB = 1024
POOLS = {111: "A", 112: "B"}
# A program in a guest that QEMU translates is several times slower.
PROGRAM_SECONDS = 180


class Host:
    """What stays when the daemon goes: sockets' places and configuration. `kind`: the device that VMs have."""

    def __init__(self, kind):
        self.kind = kind
        self.qemu = qemu_for(kind)
        self.folder = Path(tempfile.mkdtemp(prefix="vgpu-vm-test-"))
        self.config = f'[qemu]\nsocket = "{self.folder}/qemu.sock"\n[quarantine]\nfaults = 0\n'
        self.config += "".join(f'[[pool]]\nname = "{pool}"\n' for pool in sorted(set(POOLS.values())))
        for vm, pool in POOLS.items():
            self.config += f'[[vm]]\nid = {vm}\npool = "{pool}"\n'
            if kind == "ivshmem-doorbell":
                self.config += (f'ivshmem_socket = "{self.ivshmem_socket(vm)}"\nivshmem_memory = "{MEMORY_MIB}MiB"\n'
                                f'ivshmem_channels = {CHANNELS}\n')
        self.daemon = None
        self.start_daemon()

    def ivshmem_socket(self, vm):
        return self.folder / f"ivshmem-{vm}.sock"

    def start_daemon(self):
        self.daemon = Daemon(config=self.config, log_level=os.environ.get("VGPU_TEST_LOG_LEVEL", "info"))

    def kill_daemon(self):
        """SIGKILL; its log goes with it."""
        self.daemon.kill()

    def devices(self, vm):
        if self.kind == "ivshmem-doorbell":
            wait_until(self.ivshmem_socket(vm).exists, "the ivshmem server does not listen")
            return ["-chardev", f"socket,id=vgpu,path={self.ivshmem_socket(vm)}",
                    "-device", f"ivshmem-doorbell,chardev=vgpu,vectors={CHANNELS}"]
        return ["-chardev", f"socket,id=vgpu,path={self.folder}/qemu.sock,reconnect=1",
                "-device", f"vgpu-stub,chardev=vgpu,vm-id={vm},shm-size={MEMORY_MIB}M,channels={CHANNELS}"]

    def boot(self, vm, words=()):
        guest = Guest(devices=self.devices(vm), name=f"vm{vm}", words=words,
                      qemu=self.qemu)
        guest.vm, guest.pool = vm, POOLS[vm]
        return guest

    def counted(self, name, guest, **labels):
        return int(self.daemon.metrics().value(name, vm=guest.vm, pool=guest.pool, **labels))

    def wait_idle(self):
        self.daemon.wait_idle()

    def close(self):
        try:
            code = self.daemon.stop()
            if code != 0:
                raise AssertionError(f"the daemon ended with {code}; its log:\n{self.daemon.log()[-8000:]}")
        finally:
            self.daemon.kill()
            shutil.rmtree(self.folder, ignore_errors=True)


def qemu_for(kind):
    """The QEMU that has this device; skips the test, with the reason, where there is none."""
    if kind == "ivshmem-doorbell":
        program, advice = qemu_program(built=False), "install qemu-system-x86"
    else:
        program = os.environ.get("VGPU_QEMU") or (str(BUILT_QEMU) if BUILT_QEMU.exists() else None)
        advice = "run scripts/build-qemu"
    if program is None:
        raise unittest.SkipTest(f"no QEMU here has {kind}: {advice}")
    return program


class VmTest:
    """What tests of one kind of device (KIND) have in common; flavours() makes them test cases."""

    KIND = None
    GUESTS = ()
    WORDS = ()
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.guests = []
        cls.host = Host(cls.KIND)
        try:
            for vm in cls.GUESTS:
                cls.guests.append(cls.host.boot(vm, cls.WORDS))
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        trouble = []
        for guest in cls.guests:
            if guest.process.poll() is None:
                trouble += guest.kernel_trouble()
            guest.kill()
        cls.host.close()
        if trouble:
            raise AssertionError("a guest's kernel complains:\n" + "\n".join(trouble))

    def run_program(self, guest, name, *arguments, variant="static-O3", user="tenant"):
        """Runs a test program in the guest, as an ordinary user, and returns what it printed."""
        command = " ".join([f"/programs/{name}.{variant}", *map(str, arguments)])
        status, output = guest.run(command, timeout=PROGRAM_SECONDS, user=user)
        self.assertEqual(status, 0, f"{command}: {output}\n{guest.tail()}\n{self.host.daemon.log()[-4000:]}")
        self.assertIn(f"{name}: ok", output)
        return output

    def steps(self, guest):
        """The program `steps` in the guest, told what to do by ask(); killed with the test at the latest."""
        command = guest.start("exec /programs/steps.static-O3", user="tenant")  # exec: it is what kill() kills
        self.addCleanup(lambda: command.ended() or guest.process.poll() is not None or command.kill())
        return command

    def answer(self, command):
        """The next answer of `steps`; messages of the shim are passed over."""
        while True:
            answer = command.answer()
            if answer.startswith(("ok", "error", "FAILED", "(ended)")):
                return answer

    def ask(self, command, text, expected="ok"):
        command.tell(text)
        answer = self.answer(command)
        self.assertTrue(answer.startswith(expected), f"'{text}' was answered with '{answer}'")
        return answer


def flavours(namespace, *classes):
    """Makes test cases of each class, one for each kind of device, in a module's namespace."""
    for common in classes:
        for kind, suffix in (("vgpu-stub", "Stub"), ("ivshmem-doorbell", "Ivshmem")):
            name = common.__name__ + suffix
            namespace[name] = type(name, (common, unittest.TestCase), {"KIND": kind, "__module__": namespace["__name__"]})
