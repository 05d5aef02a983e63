"""A QEMU with vgpu-stub devices in it, their BARs mapped, and a fake daemon for each."""

import struct
import tempfile
import unittest
from pathlib import Path

from fake_daemon import FakeDaemon
from qtest import PciDevice, Qemu, wait_until, why_no_qemu

MAGIC, VERSION, FEATURES, VM_ID, CHANNELS, SHM_LOW, SHM_HIGH, STATUS, CONNECTS = range(0, 0x24, 4)
CONNECTED, READY, REFUSED = 1, 2, 4
MIB = 1 << 20
PENDING_BITS = 0x800  # in BAR1
MEMORY_BAR_HIGH = 0x40  # high half of the first device's BAR2


class Stub(PciDevice):
    """One vgpu-stub: its BARs where no memory of the machine is, its MSI-X messages stored into RAM."""

    FIRST_SLOT = 4

    def __init__(self, qemu, number=0):
        super().__init__(qemu, self.FIRST_SLOT + number)
        self.registers = 0xe0000000 + number * 0x1000000
        self.msix = self.registers + 0x800000
        self.memory = MEMORY_BAR_HIGH + number << 32
        self.cells = 0x100000 + number * 0x10000
        self.map()

    def map(self):
        """Programs the BARs and switches memory and bus mastering on, as a reset undoes it."""
        self.config_write(0x10, self.registers)
        self.config_write(0x14, self.msix)
        self.config_write(0x18, self.memory & 0xffffffff)
        self.config_write(0x1c, self.memory >> 32)
        self.config_write(4, 6, 2)

    def register(self, offset):
        return self.qemu.read(self.registers + offset)

    def ring(self, channel, value=1):
        self.qemu.write(self.registers + (channel + 1) * 4096, value)

    # ---- MSI-X: vector n stores 0x5600 + n into the RAM cell n ----

    def enable_msix(self, channels, masked=()):
        for vector in range(channels):
            self.set_message(vector, self.cells + 4 * vector, 0x5600 + vector)
            self.mask(vector, vector in masked)
        self.switch_msix(True)

    def switch_msix(self, on):
        """Enables or disables it and touches no vector."""
        offset = self.capability(self.MSIX) + 2
        self.config_write(offset, self.config_read(offset, 2) & 0x7fff | 0x8000 * on, 2)

    def set_message(self, vector, address, data):
        self.qemu.write(self.msix + 16 * vector, address)
        self.qemu.write(self.msix + 16 * vector + 8, data)

    def mask(self, vector, masked):
        self.qemu.write(self.msix + 16 * vector + 12, int(masked))

    def pending(self):
        return self.qemu.read(self.msix + PENDING_BITS, 8)

    def take_interrupts(self, channels):
        """The vectors that came since the last look."""
        came = set()
        for vector in range(channels):
            value = self.qemu.read(self.cells + 4 * vector)
            if value:
                if value != 0x5600 + vector:
                    raise AssertionError(f"vector {vector} stored {value:#x}")
                self.qemu.write(self.cells + 4 * vector, 0)
                came.add(vector)
        return came

    def wait_interrupts(self, channels, wanted):
        came = set()

        def complete():
            came.update(self.take_interrupts(channels))
            return came >= set(wanted)
        wait_until(complete, lambda: f"of the vectors {sorted(wanted)} only {sorted(came)} came")
        return came


class StubTest(unittest.TestCase):
    """A test of one device with a daemon that listens before QEMU starts."""

    CHANNELS = 4
    MEMORY = 512 * MIB
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        if why_no_qemu():
            raise unittest.SkipTest(why_no_qemu())

    def start(self, *more, listen=True, accel="qtest", before_map=lambda: None, **properties):
        """Starts QEMU with one device; sets self.qemu, self.daemon and self.stub. before_map: what must be over before
        the test touches the device."""
        self.daemon = self.new_daemon()
        if listen:
            self.daemon.listen()
        self.qemu = Qemu(*self.chardev("daemon", self.daemon), *self.device(**properties), *more, accel=accel)
        self.addCleanup(self.qemu.close)
        before_map()
        self.stub = Stub(self.qemu)
        return self.stub

    def new_daemon(self):
        folder = tempfile.TemporaryDirectory(prefix="vgpu-daemon-")
        self.addCleanup(folder.cleanup)
        daemon = FakeDaemon(Path(folder.name) / "vm.sock")
        self.addCleanup(daemon.close)
        return daemon

    def chardev(self, name, daemon):
        return "-chardev", f"socket,id={name},path={daemon.path},reconnect=1"

    def device(self, number=0, **properties):
        settings = {"id": f"gpu{number}", "chardev": "daemon", "vm-id": 111 + number, "channels": self.CHANNELS,
                    "shm-size": self.MEMORY, "addr": Stub.FIRST_SLOT + number}
        settings.update({name.replace("_", "-"): value for name, value in properties.items()})
        return "-device", ",".join(["vgpu-stub", *(f"{name}={value}" for name, value in settings.items())])

    def wait_status(self, wanted, stub=None):
        stub = stub or self.stub
        wait_until(lambda: stub.register(STATUS) == wanted,
                   lambda: f"STATUS is {stub.register(STATUS):#x}, not {wanted:#x}; QEMU says:\n{self.qemu.log()}")

    def memory_write(self, offset, data):
        """The guest writes into BAR2."""
        for position in range(0, len(data), 4):
            self.qemu.write(self.stub.memory + offset + position, struct.unpack_from("<I", data, position)[0])

    def rings(self, link):
        """What each doorbell's eventfd counted since the last look."""
        return [channel.rung() for channel in link.channels]
