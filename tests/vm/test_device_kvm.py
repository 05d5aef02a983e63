"""The device under KVM: interrupts by irqfd reach a real vCPU, and doorbells that no ioeventfd caught still ring.

The guest is QEMU's BIOS, halted after it found nothing to boot; interrupt handlers are written into its memory.
"""

import os
import unittest

from qtest import wait_until
from stub_machine import StubTest

HANDLERS, COUNTS = 0x7000, 0x7080
# The BIOS clears 0x7000 to 0x8ffff at its end, before it looks for something to boot.
MARK = 0x60000
SEGMENT = HANDLERS >> 4


class Kvm(StubTest):
    def setUp(self):
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            self.skipTest("/dev/kvm can't be opened")
        self.start(accel="kvm", before_map=self.boot)
        self.link = self.daemon.meet()
        self.stub.enable_msix(4, masked=range(4))
        self.write_handlers()

    def write_handlers(self):
        """Messages that lead to handlers, which count."""
        for channel in range(4):
            # Without an end-of-interrupt a vector blocks those of its class and below: each gets a higher class.
            vector = 0x40 + 0x10 * channel
            self.stub.set_message(channel, 0xfee00000, vector)
            handler = 0x20 * channel
            self.qemu.write(4 * vector, SEGMENT << 16 | handler)
            # inc byte cs:[0x80 + channel]; iret
            for position, byte in enumerate((0x2e, 0xfe, 0x06, 0x80 + channel, 0x00, 0xcf)):
                self.qemu.write(HANDLERS + handler + position, byte, 1)
            self.qemu.write(COUNTS + channel, 0, 1)

    def boot(self):
        self.qemu.write(MARK, 1)
        self.qemu.command("cont")
        try:
            self.wait_halted()
        except AssertionError:
            self.skipTest("KVM does not run QEMU's BIOS here")

    def wait_halted(self):
        def halted():
            registers = self.qemu.command("human-monitor-command", **{"command-line": "info registers"})
            return self.qemu.read(MARK) == 0 and "HLT=1" in registers
        wait_until(halted, "the BIOS does not come to its end")

    def counts(self):
        return [self.qemu.read(COUNTS + channel, 1) for channel in range(4)]

    def wait_counts(self, *wanted):
        wait_until(lambda: self.counts() == list(wanted), lambda: f"the handlers ran {self.counts()} times, not {wanted}")

    def test_interrupts(self):
        self.stub.mask(0, False)
        self.link.channels[0].raise_interrupt()
        self.wait_counts(1, 0, 0, 0)

        # Written while masked, nobody looked at it since.
        self.link.channels[1].raise_interrupt()
        self.stub.mask(1, False)
        self.wait_counts(1, 1, 0, 0)

        # Masked again after KVM had it.
        self.stub.mask(2, False)
        self.stub.mask(2, True)
        self.link.channels[2].raise_interrupt()
        self.assertEqual(self.stub.pending(), 1 << 2)
        self.assertEqual(self.counts(), [1, 1, 0, 0])
        self.stub.mask(2, False)
        self.wait_counts(1, 1, 1, 0)

        # Another message than the one that KVM knows.
        self.stub.mask(3, False)
        self.stub.mask(3, True)
        self.stub.set_message(3, 0xfee00000, 0x80)
        self.qemu.write(4 * 0x80, SEGMENT << 16 | 0x60)
        self.stub.mask(3, False)
        self.link.channels[3].raise_interrupt()
        self.wait_counts(1, 1, 1, 1)

    def test_reset_with_irqfds_in_use(self):
        for channel in range(4):
            self.stub.mask(channel, False)
        self.qemu.write(MARK, 1)
        self.qemu.reset()
        self.wait_halted()
        self.stub.map()
        self.link.channels[1].raise_interrupt()
        wait_until(lambda: self.stub.pending() == 1 << 1, "vector 1 is not pending")

    def test_unmasked_before_msix_is_enabled(self):
        # Enabled until the reset, not since; KVM has no route for any vector yet.
        self.qemu.write(MARK, 1)
        self.qemu.reset()
        self.wait_halted()
        self.stub.map()
        self.write_handlers()
        for channel in range(4):
            self.stub.mask(channel, False)
        self.stub.switch_msix(True)
        for channel in range(4):
            self.link.channels[channel].raise_interrupt()
            self.wait_counts(*(int(other <= channel) for other in range(4)))

    def test_disabled_msix_keeps_interrupts_and_forgets_messages(self):
        for channel in range(4):
            self.stub.mask(channel, False)
        self.stub.switch_msix(False)
        self.link.channels[0].raise_interrupt()
        self.assertEqual(self.stub.pending(), 1)
        self.assertEqual(self.counts(), [0] * 4)
        # Channels 0 and 2 get the handlers of 1 and 3.
        self.stub.set_message(0, 0xfee00000, 0x50)
        self.stub.set_message(2, 0xfee00000, 0x70)
        self.stub.switch_msix(True)
        self.wait_counts(0, 1, 0, 0)
        self.link.channels[2].raise_interrupt()
        self.wait_counts(0, 1, 0, 1)

    def test_unplug_with_irqfds_in_use(self):
        for channel in range(4):
            self.stub.mask(channel, False)
        self.daemon.stop_listening()
        self.qemu.command("device_del", id="gpu0")
        self.qemu.eject(self.stub.slot)
        self.qemu.event("DEVICE_DELETED")
        self.link.channels[0].raise_interrupt()
        self.assertEqual(self.counts(), [0] * 4)
        self.assertEqual(self.stub.config_read(0), 0xffffffff)

    def test_doorbells_that_no_ioeventfd_caught(self):
        for channel in range(4):
            self.stub.ring(channel)
            self.assertEqual(self.rings(self.link), [int(other == channel) for other in range(4)])


if __name__ == "__main__":
    unittest.main()
