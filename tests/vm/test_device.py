"""The PCI device itself: identity, registers, doorbells, interrupts, memory, reset, unplug, migration, properties."""

import errno
import fcntl
import os
import struct
import unittest

from fake_daemon import RESET, STUB
from qtest import PciDevice, Qemu, QmpError, run_to_the_end, wait_until
from stub_machine import (CHANNELS, CONNECTED, CONNECTS, FEATURES, MAGIC, MIB, READY, SHM_HIGH, SHM_LOW, STATUS, VERSION,
                          VM_ID, Stub, StubTest)

F_ADD_SEALS, F_GET_SEALS = 1033, 1034
F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1, 2, 4, 8


class Identity(StubTest):
    def test_configuration_space(self):
        stub = self.start()
        self.assertEqual(stub.config_read(0), 0x76701234)
        self.assertEqual(stub.config_read(8) >> 8, 0x120000)
        self.assertEqual(stub.config_read(0x3d, 1), 0, "it has an interrupt pin")

    def test_bars(self):
        stub = self.start(channels=16, shm_size=2048 * MIB)
        for bar in (0, 1):
            self.assertEqual(stub.config_read(0x10 + 4 * bar) & 0xf, 0, f"BAR{bar} is not 32-bit memory")
        self.assertEqual(stub.config_read(0x18) & 0xf, 0xc, "BAR2 is not 64-bit prefetchable memory")
        self.assertEqual(stub.bar_size(0), 32 * 4096)
        self.assertEqual(stub.bar_size(1), 4096)
        self.assertEqual(stub.bar_size(2, wide=True), 2048 * MIB)
        self.assertEqual((stub.config_read(0x20), stub.config_read(0x24)), (0, 0))

    def test_one_vector_for_each_channel(self):
        for channels in (1, 16, 64):
            with self.subTest(channels=channels):
                stub = self.start(channels=channels, shm_size=8192 * MIB)
                offset = stub.capability(PciDevice.MSIX)
                self.assertEqual(stub.config_read(offset + 2, 2) & 0x7ff, channels - 1)
                self.assertEqual(stub.config_read(offset + 4), 1, "the table is not at BAR1's start")
                self.assertEqual(stub.config_read(offset + 8), 0x801, "the pending bits are elsewhere")
                self.qemu.close()

    def test_defaults(self):
        self.daemon = self.new_daemon().listen()
        self.qemu_with("-device", "vgpu-stub,chardev=daemon,addr=4")
        self.assertEqual(self.stub.register(CHANNELS), 16)
        self.assertEqual(self.stub.register(SHM_LOW) | self.stub.register(SHM_HIGH) << 32, 16384 * MIB)
        self.assertEqual(self.stub.register(VM_ID), 0)
        link = self.daemon.meet()
        self.assertEqual(link.hello["pool"], "")
        # It is sparse: the page cache holds what was touched.
        self.assertLess(os.fstat(link.memory_fd).st_blocks * 512, 2 * MIB)

    def qemu_with(self, *arguments):
        self.qemu = Qemu(*self.chardev("daemon", self.daemon), *arguments)
        self.addCleanup(self.qemu.close)
        self.stub = Stub(self.qemu)


class Registers(StubTest):
    def values(self):
        return {offset: self.stub.register(offset) for offset in range(0, 0x24, 4)}

    def test_reset_values(self):
        self.start(listen=False)
        self.assertEqual(self.values(), {MAGIC: 0x55504756, VERSION: 0x10000, FEATURES: 1, VM_ID: 111, CHANNELS: 4,
                                         SHM_LOW: 512 * MIB, SHM_HIGH: 0, STATUS: 0, CONNECTS: 0})

    def test_both_halves_of_the_size(self):
        self.start(shm_size=8192 * MIB, listen=False)
        self.assertEqual((self.stub.register(SHM_LOW), self.stub.register(SHM_HIGH)), (0, 2))

    def test_writes_change_nothing(self):
        self.start()
        link = self.daemon.meet()
        self.wait_status(CONNECTED)
        before = self.values()
        for value in (0, 0xffffffff):
            for offset in range(0, 4096, 4):
                self.qemu.write(self.stub.registers + offset, value)
        self.assertEqual(self.values(), before)
        self.assertEqual(self.rings(link), [0] * 4)

    def test_other_offsets_read_zero(self):
        self.start()
        bytes_of_bar = 8 * 4096
        for offset in [*range(0x24, 4096, 4), *range(4096, bytes_of_bar, 2048), bytes_of_bar - 4]:
            self.assertEqual(self.stub.register(offset), 0, f"offset {offset:#x}")

    def test_other_access_sizes_are_harmless(self):
        self.start()
        link = self.daemon.meet()
        before = self.values()
        for size in (1, 2, 8):
            for offset in (MAGIC, VERSION, STATUS, CONNECTS, 0xff8, 5 * 4096):
                self.qemu.write(self.stub.registers + offset, 0xff, size)
                self.qemu.read(self.stub.registers + offset, size)
        for size in (1, 2):
            self.qemu.write(self.stub.registers + 4096, 0xff, size)
            self.assertEqual(self.qemu.read(self.stub.registers, size), 0)
        self.qemu.write(self.stub.registers + 4096 + 2, 0xffffffff)  # across two registers
        self.assertEqual(self.values(), before)
        self.assertEqual(self.rings(link), [0] * 4)


class Doorbells(StubTest):
    def test_each_reaches_its_own_eventfd(self):
        self.start()
        link = self.daemon.meet()
        for channel, value in ((0, 0), (1, 1), (2, 0xffffffff), (3, 0x80000000)):
            self.stub.ring(channel, value)
            self.assertEqual(self.rings(link), [int(other == channel) for other in range(4)])

    def test_all_64(self):
        self.start(channels=64, shm_size=8192 * MIB)
        link = self.daemon.meet()
        for channel in range(64):
            for _ in range(channel + 1):
                self.stub.ring(channel)
        self.assertEqual(self.rings(link), list(range(1, 65)))

    def test_elsewhere_rings_nobody(self):
        self.start()
        link = self.daemon.meet()
        for page in range(1, 8):
            for offset in (4, 8, 2048, 4092):
                self.qemu.write(self.stub.registers + page * 4096 + offset, 1)
        for page in range(5, 8):  # pages of channels that there are not
            self.qemu.write(self.stub.registers + page * 4096, 1)
        self.assertEqual(self.rings(link), [0] * 4)

    def test_eight_bytes_ring_once(self):
        self.start()
        link = self.daemon.meet()
        self.qemu.write(self.stub.registers + 2 * 4096, 1, 8)
        self.assertEqual(self.rings(link), [0, 1, 0, 0])


class Interrupts(StubTest):
    def setUp(self):
        self.start()
        self.link = self.daemon.meet()

    def test_each_raises_its_own_vector(self):
        self.stub.enable_msix(4)
        for channel in (2, 0, 3, 1):
            self.link.channels[channel].raise_interrupt()
            self.assertEqual(self.stub.wait_interrupts(4, [channel]), {channel})
        self.assertEqual(self.stub.take_interrupts(4), set())

    def test_masked_stays_pending(self):
        self.stub.enable_msix(4, masked=[1])
        self.link.channels[1].raise_interrupt()
        self.link.channels[2].raise_interrupt()
        self.assertEqual(self.stub.wait_interrupts(4, [2]), {2})
        self.assertEqual(self.stub.pending(), 1 << 1)
        self.assertEqual(self.stub.take_interrupts(4), set())
        self.stub.mask(1, False)
        self.assertEqual(self.stub.wait_interrupts(4, [1]), {1})
        self.assertEqual(self.stub.pending(), 0)

    def test_pending_bits_know_what_was_just_written(self):
        self.stub.enable_msix(4, masked=range(4))
        for channel in range(4):
            self.link.channels[channel].raise_interrupt()
            self.assertEqual(self.stub.pending(), (2 << channel) - 1)

    def test_masked_again(self):
        self.stub.enable_msix(4)
        for _ in range(3):
            self.stub.mask(3, True)
            self.link.channels[3].raise_interrupt()
            wait_until(lambda: self.stub.pending() == 1 << 3, "vector 3 is not pending")
            self.assertEqual(self.stub.take_interrupts(4), set())
            self.stub.mask(3, False)
            self.assertEqual(self.stub.wait_interrupts(4, [3]), {3})

    def test_before_msix_is_enabled(self):
        self.link.channels[0].raise_interrupt()
        wait_until(lambda: self.stub.pending() == 1, "vector 0 is not pending")
        self.stub.enable_msix(4)
        self.assertEqual(self.stub.wait_interrupts(4, [0]), {0})

    def test_after_reset(self):
        self.stub.enable_msix(4)
        self.link.channels[0].raise_interrupt()
        self.stub.wait_interrupts(4, [0])
        self.qemu.reset()
        self.stub.map()
        self.assertEqual(self.stub.pending(), 0)
        # Disabled as before its first use: no vector is unmasked yet, whatever the table says.
        self.stub.mask(0, False)
        self.link.channels[0].raise_interrupt()
        wait_until(lambda: self.stub.pending() == 1, "vector 0 is not pending")
        self.stub.enable_msix(4)
        self.assertEqual(self.stub.wait_interrupts(4, [0]), {0})
        self.link.channels[1].raise_interrupt()
        self.assertEqual(self.stub.wait_interrupts(4, [1]), {1})


class Memory(StubTest):
    def setUp(self):
        self.start()
        self.link = self.daemon.meet()

    def test_shared_both_ways(self):
        for offset in (0, 4096, 64 * MIB, self.MEMORY - 8):
            self.qemu.write(self.stub.memory + offset, 0x1122334455667788, 8)
            self.assertEqual(struct.unpack_from("<Q", self.link.memory, offset)[0], 0x1122334455667788)
            struct.pack_into("<Q", self.link.memory, offset, 0x99aabbccddeeff00)
            self.assertEqual(self.qemu.read(self.stub.memory + offset, 8), 0x99aabbccddeeff00)

    def test_starts_zeroed(self):
        self.assertEqual(self.link.memory[:2 * MIB], bytes(2 * MIB))

    def test_sealed(self):
        fd = self.link.memory_fd
        self.assertEqual(os.fstat(fd).st_size, self.MEMORY)
        self.assertEqual(fcntl.fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)
        for size in (0, self.MEMORY // 2, self.MEMORY * 2):
            with self.assertRaises(OSError) as refused:
                os.ftruncate(fd, size)
            self.assertEqual(refused.exception.errno, errno.EPERM)
        with self.assertRaises(OSError) as refused:
            fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)
        self.assertEqual(refused.exception.errno, errno.EPERM)


class Reset(StubTest):
    def test_reset_is_told_and_leaves_the_memory(self):
        self.start()
        link = self.daemon.meet().ready()
        self.wait_status(CONNECTED | READY)
        self.memory_write(4096, b"kept")
        self.qemu.reset()
        self.assertEqual(link.receive(), (RESET, bytes(240), []))
        self.assertEqual(link.memory[4096:4100], b"kept")
        self.assertEqual(link.host_state(), 1)
        self.stub.map()
        self.assertEqual(self.stub.register(STATUS), CONNECTED | READY)
        self.stub.ring(1)
        self.assertEqual(self.rings(link), [0, 1, 0, 0])

    def test_reset_without_a_daemon(self):
        self.start(listen=False)
        self.qemu.reset()
        self.stub.map()
        self.assertEqual(self.stub.register(MAGIC), 0x55504756)


class Unplug(StubTest):
    def unplug(self, number=0):
        self.qemu.command("device_del", id=f"gpu{number}")
        self.qemu.eject(Stub.FIRST_SLOT + number)
        self.qemu.event("DEVICE_DELETED")

    def test_everything_is_closed(self):
        self.start()
        link = self.daemon.meet().ready()
        self.wait_status(CONNECTED | READY)
        self.stub.enable_msix(4)
        held = self.descriptors()
        self.assertEqual(held, {"eventfd": 8, "memory": 1})
        self.daemon.stop_listening()
        self.unplug()
        link.wait_closed()
        self.assertEqual(self.stub.config_read(0), 0xffffffff)
        wait_until(lambda: self.descriptors() == {"eventfd": 0, "memory": 0},
                   lambda: f"QEMU keeps {self.descriptors()}")

    def descriptors(self):
        """What QEMU has open beyond what it had without the device."""
        folder = f"/proc/{self.qemu.process.pid}/fd"
        targets = []
        for fd in os.listdir(folder):
            try:
                targets.append(os.readlink(f"{folder}/{fd}"))
            except FileNotFoundError:
                pass
        return {"eventfd": targets.count("anon_inode:[eventfd]") - self.eventfds_without_device,
                "memory": sum("memfd:vgpu-stub" in target for target in targets)}

    def setUp(self):
        self.eventfds_without_device = 0
        with Qemu() as self.qemu:
            self.eventfds_without_device = self.descriptors()["eventfd"]

    def test_while_the_chardev_connects(self):
        self.daemon = self.new_daemon().listen_without_room()
        self.qemu = Qemu(*self.chardev("daemon", self.daemon), *self.device())
        self.addCleanup(self.qemu.close)
        self.unplug()
        self.daemon.stop_listening()
        self.daemon.listen()
        self.qemu.command("device_add", driver="vgpu-stub", id="gpu0", chardev="daemon", addr="4", **{"vm-id": 9})
        self.assertEqual(link_after(self.daemon, 9).hello["channels"], 16)

    def test_plugged_again(self):
        self.start()
        self.daemon.meet()
        for vm in (7, 8):
            self.unplug()
            self.qemu.command("device_add", driver="vgpu-stub", id="gpu0", chardev="daemon", channels=2, addr="4",
                              **{"vm-id": vm, "shm-size": 256 * MIB})
            link = self.daemon.meet() if vm == 7 else link_after(self.daemon, vm)
            self.assertEqual((link.hello["vm"], link.hello["channels"]), (vm, 2))
            self.stub.map()
            self.stub.ring(1)
            self.assertEqual(self.rings(link), [0, 1])


def link_after(daemon, vm):
    """The connection on which that VM introduces itself."""
    return wait_until(lambda: next((link for link in [daemon.meet()] if link.hello["vm"] == vm), None),
                      f"VM {vm} never comes")


class Migration(StubTest):
    TEXT = "vgpu-stub: VM 111 can't be migrated or saved: what it has on the GPU stays on this host"

    def test_refused(self):
        self.start()
        with self.assertRaisesRegex(QmpError, self.TEXT):
            self.qemu.command("migrate", uri="exec:cat >/dev/null")

    def test_possible_again_without_the_device(self):
        self.start()
        self.qemu.command("device_del", id="gpu0")
        self.qemu.eject(Stub.FIRST_SLOT)
        self.qemu.event("DEVICE_DELETED")
        self.qemu.command("migrate", uri="exec:cat >/dev/null")

    def test_only_migratable(self):
        code, said = run_to_the_end("-only-migratable", *self.chardev("daemon", self.new_daemon()), *self.device())
        self.assertEqual(code, 1)
        self.assertIn(self.TEXT, said)


class Properties(StubTest):
    def refused(self, text, chardev=None, **properties):
        chardev = chardev or self.chardev("daemon", self.new_daemon())
        code, said = run_to_the_end(*chardev, *self.device(**properties))
        self.assertEqual(code, 1, said)
        self.assertIn(text, said)

    def test_channels(self):
        for channels in (0, 65, 4294967295):
            self.refused(f"property 'channels' is {channels} and must be 1 to 64", channels=channels)

    def test_memory(self):
        self.refused(f"property 'shm-size' is {768 * MIB} and must be a power of two", shm_size=768 * MIB)
        self.refused("property 'shm-size' is 0 and must be a power of two", shm_size=0)
        self.refused("property 'shm-size' is 1024 MiB and 16 channels need at least 2048 MiB", channels=16,
                     shm_size=1024 * MIB)
        self.refused("property 'shm-size' is 4096 MiB and 64 channels need at least 8192 MiB", channels=64,
                     shm_size=4096 * MIB)

    def test_pool(self):
        self.refused("property 'pool' is longer than 31 characters", pool="p" * 32)

    def test_chardev(self):
        code, said = run_to_the_end("-device", "vgpu-stub")
        self.assertEqual(code, 1)
        self.assertIn("property 'chardev' is missing", said)
        self.refused("chardev 'daemon' can't pass descriptors", chardev=("-chardev", "null,id=daemon"))
        self.refused("chardev 'daemon' can't pass descriptors",
                     chardev=("-chardev", "socket,id=daemon,host=127.0.0.1,port=9,reconnect=1"))

    def test_names_reach_the_daemon(self):
        self.start(pool="A", vm_id=4294967295)
        self.assertEqual(self.daemon.meet().hello,
                         {"vm": 4294967295, "channels": 4, "memory_bytes": self.MEMORY, "device": STUB, "pool": "A",
                          "name": "test-vm"})


if __name__ == "__main__":
    unittest.main()
