"""The device and a daemon that is absent, late, gone, back, refusing, or no daemon at all."""

import os
import socket
import unittest

from fake_daemon import HELLO, READY as SAY_READY, RESET, message
from qtest import Qemu, run_to_the_end, wait_until
from stub_machine import CONNECTED, CONNECTS, MAGIC, MIB, READY, REFUSED, STATUS, VM_ID, Stub, StubTest


class Absence(StubTest):
    def test_absent_then_late(self):
        self.start(listen=False)
        self.assertEqual((self.stub.register(STATUS), self.stub.register(CONNECTS)), (0, 0))
        self.stub.ring(0)
        self.stub.ring(0)
        self.assertEqual(self.qemu.read(self.stub.memory + 132), 0)
        self.daemon.listen()
        link = self.daemon.meet()
        self.wait_status(CONNECTED)
        self.assertEqual(self.stub.register(CONNECTS), 1)
        self.assertEqual(self.rings(link), [2, 0, 0, 0], "rings without a daemon are lost")

    def test_connected_is_not_yet_ready(self):
        self.start()
        link = self.daemon.meet()
        self.wait_status(CONNECTED)
        link.ready()
        self.wait_status(CONNECTED | READY)

    def test_gone(self):
        self.start()
        link = self.daemon.meet().ready()
        self.wait_status(CONNECTED | READY)
        self.stub.enable_msix(4)
        self.daemon.stop_listening()
        link.disconnect()
        self.assertEqual(self.stub.wait_interrupts(4, range(4)), {0, 1, 2, 3})
        self.assertEqual(link.host_state(), 0)
        self.assertEqual(self.qemu.read(self.stub.memory + 132), 0)
        self.wait_status(0)

    def test_back(self):
        self.start()
        first = self.daemon.meet().ready()
        self.wait_status(CONNECTED | READY)
        self.stub.enable_msix(4)
        self.memory_write(8192, b"kept")
        for connects in (2, 3):
            first.disconnect()
            second = self.daemon.meet()
            self.assertEqual(second.hello, first.hello)
            self.assertEqual(second.memory[8192:8196], b"kept")
            self.stub.wait_interrupts(4, range(4))
            second.ready()
            self.wait_status(CONNECTED | READY)
            self.assertEqual(self.stub.register(CONNECTS), connects)
            self.assertEqual(second.host_state(), 1)
            # The same memory and eventfds as before: the guest noticed nothing of them.
            second.memory[12288:12292] = b"same"
            self.assertEqual(first.memory[12288:12292], b"same")
            self.stub.ring(2)
            self.assertEqual(self.rings(first), [0, 0, 1, 0])
            self.stub.ring(3)
            self.assertEqual(self.rings(second), [0, 0, 0, 1])
            second.channels[1].raise_interrupt()
            self.assertEqual(self.stub.wait_interrupts(4, [1]), {1})
            first = second

    def test_host_state_goes_only_with_the_connection(self):
        self.start()
        link = self.daemon.meet().ready()
        self.wait_status(CONNECTED | READY)
        self.qemu.reset()
        self.assertEqual(link.receive()[0], RESET)
        self.assertEqual(link.host_state(), 1)

    def test_a_daemon_that_reads_nothing(self):
        self.start()
        link = self.daemon.meet()
        self.wait_status(CONNECTED)
        self.daemon.stop_listening()

        def given_up():
            self.qemu.reset()
            return "the daemon does not read: connection closed" in self.qemu.log()
        wait_until(given_up, "the device fills the socket for ever")
        link.wait_closed()
        self.stub.map()
        self.assertEqual(self.stub.register(STATUS), 0)


class Answers(StubTest):
    def setUp(self):
        self.start()
        self.link = self.daemon.meet()

    def said(self, text):
        return self.qemu.log().count(text)

    def test_refused(self):
        self.stub.enable_msix(4)
        text = "vgpu-stub: VM 111: the daemon refuses it: no such VM: see [vm.111]"
        self.link.refuse("no such VM: see [vm.111]")
        self.link.wait_closed()
        self.stub.wait_interrupts(4, range(4))
        self.wait_status(REFUSED)
        for _ in range(2):
            link = self.daemon.meet()
            link.refuse("no such VM: see [vm.111]")
            link.wait_closed()
        self.assertEqual(self.said(text), 1, self.qemu.log())
        link = self.daemon.meet()
        self.wait_status(CONNECTED | REFUSED)
        link.ready()
        self.wait_status(CONNECTED | READY)
        link.disconnect()
        link = self.daemon.meet()
        link.refuse("no such VM: see [vm.111]")
        link.wait_closed()
        self.assertEqual(self.said(text), 2, "a refusal after a time of service is news")

    def test_refused_and_closed_at_once(self):
        self.link.refuse("in haste")
        self.link.disconnect()
        link = self.daemon.accept()  # closed before it has read all that the device sends
        link.receive()
        link.refuse("before all was said")
        link.disconnect()
        self.daemon.meet()
        self.assertEqual(self.said("the daemon refuses it: in haste"), 1, self.qemu.log())
        self.assertEqual(self.said("the daemon refuses it: before all was said"), 1, self.qemu.log())
        self.assertEqual(self.stub.register(STATUS), CONNECTED | REFUSED)

    def test_refusal_without_an_end_of_text(self):
        self.link.send(message(17, b"x" * 240))
        self.link.wait_closed()
        self.assertEqual(self.said("x" * 191), 1)
        self.assertEqual(self.said("x" * 192), 0)

    def test_garbage(self):
        for garbage in (b"\xff" * 256, message(SAY_READY, magic=0), message(SAY_READY, size=255), bytes(256)):
            self.link.send(garbage)
            self.link.wait_closed()
            self.link = self.daemon.meet()
            self.assertEqual(self.stub.register(STATUS) & READY, 0)
        self.assertEqual(self.said("what answers on the chardev is no vgpud"), 1, self.qemu.log())
        self.link.ready()
        self.wait_status(CONNECTED | READY)

    def test_other_versions(self):
        self.link.send(message(SAY_READY, version=0x00020001))
        self.link.wait_closed()
        self.assertEqual(self.said("the daemon speaks version 2.1, the device 1.0"), 1, self.qemu.log())
        self.link = self.daemon.meet()
        self.link.send(message(SAY_READY, version=0x00010009))
        self.wait_status(CONNECTED | READY)

    def test_unknown_messages_are_passed_over(self):
        for kind in (0, HELLO, 18, 0xffffffff):
            self.link.send(message(kind, b"?" * 240))
        self.link.send(message(SAY_READY))
        self.wait_status(CONNECTED | READY)

    def test_in_pieces(self):
        data = message(SAY_READY)
        for position in range(len(data)):
            self.assertEqual(self.stub.register(STATUS), CONNECTED)
            self.link.send(data[position:position + 1])
        self.wait_status(CONNECTED | READY)

    def test_half_a_message_is_forgotten(self):
        self.link.send(message(17, b"stale")[:100])
        self.link.disconnect()
        self.link = self.daemon.meet()
        self.link.send(message(SAY_READY))
        self.wait_status(CONNECTED | READY)

    def test_two_messages_at_once(self):
        self.link.send(message(SAY_READY) + message(17, b"changed its mind"))
        self.link.wait_closed()
        self.assertEqual(self.said("changed its mind"), 1)
        self.assertEqual(self.stub.register(STATUS) & READY, 0)

    def test_descriptors_from_the_daemon_are_closed(self):
        folder = f"/proc/{self.qemu.process.pid}/fd"
        before = len(os.listdir(folder))
        reader, writer = os.pipe()
        for _ in range(20):
            socket.send_fds(self.link.connection, [message(18)], [reader])
        os.close(reader)
        self.link.send(message(SAY_READY))
        self.wait_status(CONNECTED | READY)
        self.assertLessEqual(len(os.listdir(folder)), before + 1)
        self.link.disconnect()
        self.link = self.daemon.meet()
        with self.assertRaises(BrokenPipeError):
            os.write(writer, b"?")
        os.close(writer)


class TwoDevices(StubTest):
    def test_both_work(self):
        daemons = [self.new_daemon().listen() for _ in range(2)]
        self.qemu = Qemu(*self.chardev("one", daemons[0]), *self.device(0, chardev="one", pool="A"),
                         *self.chardev("two", daemons[1]), *self.device(1, chardev="two", pool="B", channels=2))
        self.addCleanup(self.qemu.close)
        stubs = [Stub(self.qemu, number) for number in range(2)]
        links = [daemon.meet() for daemon in daemons]
        self.assertEqual([(link.hello["vm"], link.hello["pool"], link.hello["channels"]) for link in links],
                         [(111, "A", 4), (112, "B", 2)])
        for stub, channels in zip(stubs, (4, 2)):
            stub.enable_msix(channels)
        links[0].ready()
        self.wait_status(CONNECTED | READY, stubs[0])
        self.wait_status(CONNECTED, stubs[1])

        stubs[1].ring(1)
        self.assertEqual([self.rings(link) for link in links], [[0, 0, 0, 0], [0, 1]])
        stubs[0].ring(1)
        self.assertEqual([self.rings(link) for link in links], [[0, 1, 0, 0], [0, 0]])
        links[0].channels[1].raise_interrupt()
        self.assertEqual(stubs[0].wait_interrupts(4, [1]), {1})
        self.assertEqual(stubs[1].take_interrupts(2), set())
        self.qemu.write(stubs[0].memory + MIB, 0xaaaaaaaa)
        self.qemu.write(stubs[1].memory + MIB, 0xbbbbbbbb)
        self.assertEqual([link.memory[MIB:MIB + 4] for link in links], [b"\xaa" * 4, b"\xbb" * 4])

        # One daemon's end is nothing to the other device.
        links[1].ready()
        self.wait_status(CONNECTED | READY, stubs[1])
        daemons[0].stop_listening()
        links[0].disconnect()
        stubs[0].wait_interrupts(4, range(4))
        self.assertEqual([link.host_state() for link in links], [0, 1])
        self.assertEqual(stubs[1].take_interrupts(2), set())
        self.assertEqual(stubs[1].register(STATUS), CONNECTED | READY)
        self.assertEqual([stub.register(VM_ID) for stub in stubs], [111, 112])

        # Nor is its removal.
        self.qemu.command("device_del", id="gpu0")
        self.qemu.eject(Stub.FIRST_SLOT)
        self.qemu.event("DEVICE_DELETED")
        self.assertEqual(stubs[1].register(MAGIC), 0x55504756)
        stubs[1].ring(0)
        self.assertEqual(self.rings(links[1]), [1, 0])

    def test_a_chardev_serves_one(self):
        code, said = run_to_the_end(*self.chardev("daemon", self.new_daemon()), *self.device(0), *self.device(1))
        self.assertEqual(code, 1)
        self.assertIn("'daemon' is in use", said)


if __name__ == "__main__":
    unittest.main()
