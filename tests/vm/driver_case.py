"""One guest with the kernel module and one host played in Python, for the tests of a class."""

import subprocess
import unittest

from fake_host import CLOSE, OPEN, FakeHost
from guest import Guest, qemu_program, wait_until
from stub_host import StubHost

PROBE = "/run/vgpu/driver_probe"


def numbers(answer):
    return [int(word) for word in answer.split()[1:]]


class DriverCase(unittest.TestCase):
    """One guest and one host for the tests of a class; each test leaves no process behind."""

    KIND = FakeHost
    HOST = {}
    MORE_DEVICES = ()

    @classmethod
    def setUpClass(cls):
        stub = cls.KIND is StubHost
        qemu = qemu_program(built=stub)
        if qemu is None:
            raise unittest.SkipTest("there is no qemu-system-x86_64: install the package qemu-system-x86")
        if stub and "vgpu-stub" not in subprocess.run([qemu, "-device", "help"], capture_output=True, text=True).stdout:
            raise unittest.SkipTest(f"{qemu} has no device vgpu-stub: run scripts/build-qemu")
        cls.host = cls.KIND(**cls.HOST)
        cls.addClassCleanup(cls.host.close)
        cls.others = [FakeHost(vectors=1, channels=1, granules=1, start=False) for _ in cls.MORE_DEVICES]
        options = cls.host.options()
        for number, (other, magic) in enumerate(zip(cls.others, cls.MORE_DEVICES)):
            cls.addClassCleanup(other.close)
            other.write32(0, magic)
            options += other.options(f"other{number}")
        cls.guest = Guest(devices=options, qemu=qemu)
        cls.addClassCleanup(cls.guest.kill)

    def setUp(self):
        self.probes = []
        self.host.policy = None
        self.host.requests.clear()

    def tearDown(self):
        self.host.policy = None
        for probe in self.probes:
            if not probe.ended():
                probe.kill()
        # The next test finds all extents free.
        wait_until(lambda: not any(self.host.owners()), "a dead process's extents did not come back")
        self.assertEqual(self.guest.kernel_trouble(), [])

    def probe(self, *steps, user="tenant"):
        """A process that answers steps; those given must succeed."""
        probe = self.guest.start(f"exec {PROBE}", user)
        self.probes.append(probe)
        for step in steps:
            self.ok(probe, step)
        return probe

    def connected(self):
        """A process with a session; and the session's channel."""
        before = len(self.host.seen(OPEN))
        probe = self.probe("open", "connect")
        return probe, self.host.seen(OPEN)[before].channel

    def ok(self, probe, step):
        answer = probe.ask(step)
        self.assertTrue(answer.startswith("ok"), f"{step}: {answer}")
        return answer

    def refused(self, probe, step, error):
        answer = probe.ask(step)
        self.assertTrue(answer.startswith(f"error {error}"), f"{step}: {answer}")
        return answer

    def shell(self, command):
        return self.guest.check(command)

    def device(self):
        """The PCI device's name."""
        return self.shell("basename $(readlink -f /sys/class/misc/vgpu0/device)").strip()

    def bind(self, device):
        self.shell(f"echo {device} >/sys/bus/pci/drivers/vgpu/bind && chgrp vgpu /dev/vgpu0")

    def unbind(self, device):
        self.shell(f"echo {device} >/sys/bus/pci/drivers/vgpu/unbind")

    def wait_closed(self, channel):
        wait_until(lambda: self.host.seen(CLOSE, channel), "no CLOSE came")
