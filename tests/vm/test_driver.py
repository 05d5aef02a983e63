"""The guest's kernel module in a real kernel, against a host played in Python: fake_host.py behind ivshmem-doorbell,
stub_host.py behind vgpu-stub."""

import random
import re
import signal
import unittest

from driver_case import DriverCase, numbers
from fake_host import (CHANNEL_BYTES, CLOSE, CONTROL_REASON, CONTROL_STATE, DEVICE_UNAVAILABLE, END_DAEMON_STOPPED,
                       GRANULE, OPEN, SLOT_BYTES, SLOTS, STATE_ENDED, STRIDE)
from guest import wait_until
from stub_host import StubHost

SLOT_3 = SLOTS + 3 * SLOT_BYTES
GUEST_REASON = 32
SECOND = 1_000_000_000


class TestChannels(DriverCase):
    HOST = {"granules": 8}
    MORE_DEVICES = (0x12345678,)

    def test_unprivileged_process_in_the_group_has_a_session(self):
        probe, channel = self.connected()
        request = self.host.seen(OPEN, channel)[0]
        self.assertEqual((request.process, request.uid, request.version, request.features),
                         ("driver_probe", 1000, 0x10000, 3))
        self.assertGreater(request.pid, 1)
        self.ok(probe, f"map area channel 0 {CHANNEL_BYTES}")
        self.assertEqual(numbers(self.ok(probe, f"peek area {CONTROL_STATE}")), [1])
        for offset in (128, SLOT_3, CHANNEL_BYTES - 4):
            self.ok(probe, f"poke area {offset} 77")
            self.assertEqual(self.host.read32(self.host.area(channel) + offset), 77)
        self.ok(probe, "ring")
        self.refused(probe, "connect", "EISCONN")
        self.refused(probe, "ioctl 0x5605", "ENOTTY")
        if not self.host.doorbell_pages:
            self.refused(probe, "map bell doorbell 0 4096", "ENXIO")
            return
        self.refused(probe, "map bell doorbell 4096 4096", "EINVAL")
        self.refused(probe, "map bell doorbell 0 8192", "EINVAL")
        self.ok(probe, "map bell doorbell 0 4096")
        rings = self.host.rings[channel]
        self.ok(probe, "poke bell 0 1")
        wait_until(lambda: self.host.rings[channel] > rings, "a write to the doorbell's page rang nothing")

    def test_others_may_not_open(self):
        probe = self.probe(user="stranger")
        self.refused(probe, "open", "EACCES")

    def test_nothing_is_mapped_before_a_session_or_outside_of_it(self):
        probe = self.probe("open")
        self.refused(probe, "map area channel 0 4096", "ENOTCONN")
        self.refused(probe, f"take {GRANULE}", "ENOTCONN")
        self.refused(probe, "wait 0 1 0", "ENOTCONN")
        self.refused(probe, "ring", "ENOTCONN")
        self.ok(probe, "connect")
        for step in (f"map a channel 0 {CHANNEL_BYTES + 4096}", f"map a channel {CHANNEL_BYTES} 4096",
                     f"map a channel {STRIDE} 4096", "map a channel 0 4096 private",
                     f"map a extent {self.host.arena()} 4096", "map a extent 0 4096",
                     f"map a extent {self.host.area(1)} 4096", f"map a extent {self.host.bytes} 4096",
                     "wait 1024 1 0", "take 0", f"give {self.host.arena()} 4096", "give 1 1"):
            self.refused(probe, step, "EINVAL")

    def test_children_inherit_no_mapping(self):
        probe, _ = self.connected()
        self.ok(probe, "map area channel 0 4096")
        self.assertEqual(self.ok(probe, "fork area"), "ok absent")

    def test_a_refusal_brings_its_text(self):
        self.host.policy = lambda request: {"result": 100, "reason": 33, "text": "x" * 104, "region": 1 << 60}
        probe = self.probe("open")
        answer = self.ok(probe, "connect")
        self.assertIn("result=100 reason=33", answer)
        self.assertTrue(answer.endswith("text=" + "x" * 103), answer)
        region = int(re.search(r"region=(\d+)", answer).group(1))
        self.assertEqual(region, STRIDE + self.host.granules * GRANULE)
        self.refused(probe, "map area channel 0 4096", "ENOTCONN")
        self.host.policy = None
        self.assertIn("result=0", self.ok(probe, "connect"))

    def test_more_opens_than_channels(self):
        probe = self.probe(*["open"] * 16)
        self.refused(probe, "open", "EBUSY")
        self.ok(probe, "close")
        self.ok(probe, "open")

    def test_a_closed_channel_is_taken_until_the_host_answers(self):
        probe, channel = self.connected()
        held = []
        self.host.policy = lambda request: held.append(request) if request.type == CLOSE else {}
        probe.kill()
        wait_until(lambda: held, "no CLOSE came")
        other = self.probe(*["open"] * 15)
        self.refused(other, "open", "EBUSY")
        self.host.answer(held[0], number=held[0].number - 1)  # of an older request
        self.refused(other, "open", "EBUSY")
        self.host.answer(held[0])
        wait_until(lambda: other.ask("open") == "ok", "the channel is not free after the answer")

    def test_killed_while_it_connects(self):
        self.host.policy = lambda request: None if request.type == OPEN else {}
        probe = self.probe("open")
        probe.tell("connect")
        wait_until(lambda: self.host.seen(OPEN), "no OPEN came")
        probe.kill()
        self.wait_closed(self.host.seen(OPEN)[0].channel)
        self.host.policy = None
        self.probe(*["open"] * 16)

    def test_a_signal_interrupts_and_connect_can_be_repeated(self):
        self.host.policy = lambda request: None
        probe = self.probe("open", "alarm 300")
        self.refused(probe, "connect", "EINTR")
        self.ok(probe, "alarm 0")
        self.host.policy = None
        self.assertIn("result=0", self.ok(probe, "connect"))
        self.ok(probe, "alarm 300")
        self.refused(probe, f"wait 3 9 {60 * SECOND}", "EINTR")

    def test_wait_and_its_ends(self):
        probe, channel = self.connected()
        self.assertGreaterEqual(int(self.ok(probe, "wait 3 5 300000000").split("=")[1]), 299)
        probe.tell(f"wait 3 5 {60 * SECOND}")
        self.host.complete(channel, 3, 5)
        self.assertLess(int(probe.answer().split("=")[1]), 30_000)
        self.host.complete(channel, 3, 6, interrupt=False)
        self.ok(probe, f"wait 3 6 {60 * SECOND}")
        probe.tell(f"wait 3 7 {2 ** 64 - 1}")
        self.host.end(channel, GUEST_REASON)
        self.assertTrue(probe.answer().startswith("ok"))

    def test_killed_while_it_waits(self):
        probe, channel = self.connected()
        probe.tell(f"wait 3 5 {60 * SECOND}")
        self.assertEqual(probe.kill()[0], 128 + signal.SIGKILL)
        self.wait_closed(channel)

    def test_read_and_poll_count_interrupts(self):
        probe, channel = self.connected()
        self.ok(probe, "read")  # of the answer to CONNECT
        self.assertEqual(self.ok(probe, "poll 0"), "ok")
        self.host.interrupt(channel)
        self.assertEqual(self.ok(probe, "poll 10000"), "ok in")
        self.assertEqual(self.ok(probe, "read"), "ok bytes=4 count=1")
        probe.tell("read")
        self.host.interrupt(channel)
        self.assertEqual(probe.answer(), "ok bytes=4 count=1")
        other = self.probe("open nonblock")
        self.refused(other, "read", "EAGAIN")

    def test_a_daemon_that_goes_and_comes_back(self):
        probe, channel = self.connected()
        self.ok(probe, "map area channel 0 8192")
        probe.tell(f"wait 3 5 {60 * SECOND}")
        self.host.absent()
        self.assertTrue(probe.answer().startswith("ok"))
        self.assertEqual(numbers(self.ok(probe, f"peek area {CONTROL_STATE}")), [STATE_ENDED])
        self.assertEqual(numbers(self.ok(probe, f"peek area {CONTROL_REASON}")), [END_DAEMON_STOPPED])
        self.assertEqual(numbers(self.ok(probe, f"peek area {CONTROL_REASON + 4}")), [DEVICE_UNAVAILABLE])
        self.assertIn("hup", self.ok(probe, "poll 0"))
        # Its executor may still be dying: the channel is no one's until another daemon has said so.
        probe.kill()
        other = self.probe(*["open"] * 15)
        self.refused(other, "open", "EBUSY")
        other.tell("connect")
        self.host.ready()
        self.assertIn("result=0", other.answer())
        self.ok(other, "open")

    def test_a_new_daemon_without_a_word_from_the_old_one(self):
        probe, channel = self.connected()
        self.ok(probe, "map area channel 0 8192")
        held = []
        self.host.policy = lambda request: held.append(request)
        pending = self.probe("open")
        pending.tell("connect")
        wait_until(lambda: held, "no OPEN came")
        self.host.policy = None
        self.host.ready()
        self.host.interrupt(channel)
        self.assertIn("result=0", pending.answer())
        self.assertEqual(numbers(self.ok(probe, f"peek area {CONTROL_STATE}")), [STATE_ENDED])
        self.assertIn("hup", self.ok(probe, "poll 0"))

    def test_a_session_of_another_epoch_is_closed_too(self):
        probe, channel = self.connected()
        self.host.ready()
        probe.kill()
        self.wait_closed(channel)

    def test_no_daemon_is_said_in_words(self):
        self.host.absent()
        self.addCleanup(self.host.ready)
        probe = self.probe("open")
        self.assertIn("is it running", self.refused(probe, "connect", "ENOTCONN"))

    def test_an_ivshmem_device_of_others_is_left_alone(self):
        other = self.others[0]
        self.assertIn("holds something else", self.guest.dmesg())
        self.assertEqual(other.memory[4:1 << 20], bytes((1 << 20) - 4))
        self.shell("! test -e /dev/vgpu1")


class TestExtents(DriverCase):
    HOST = {"granules": 8}

    def take(self, probe, granules):
        got, offset = numbers(self.ok(probe, f"take {granules * GRANULE}"))
        return got // GRANULE, offset

    def test_contents_of_a_dead_process_are_gone(self):
        victim, channel = self.connected()
        count, offset = self.take(victim, 8)
        self.assertEqual((count, offset), (8, self.host.arena()))
        self.ok(victim, f"map secret extent {offset} {8 * GRANULE}")
        self.ok(victim, "fill secret 171")
        self.assertEqual(self.host.memory[offset + 5 * GRANULE], 171)
        self.assertEqual(self.host.granule(offset), (channel + 1, 0))
        thief, _ = self.connected()
        self.refused(thief, "take 1", "ENOMEM")
        self.refused(thief, f"map secret extent {offset} 4096", "EINVAL")
        for granule in range(8):
            self.host.hold(offset + granule * GRANULE, channel + 1)  # the executor is killed as well
        victim.kill()
        wait_until(lambda: self.host.granule(offset)[0] == 0, "the extents did not come back")
        count, offset = self.take(thief, 100)
        self.assertEqual(count, 8)
        self.ok(thief, f"map secret extent {offset} {8 * GRANULE}")
        self.assertEqual(numbers(self.ok(thief, "differ secret 0")), [0])
        self.assertEqual(self.host.granule(offset)[1], 0)

    def test_extents_wait_for_the_host_as_the_channel_does(self):
        probe, _ = self.connected()
        self.take(probe, 8)
        held = []
        self.host.policy = lambda request: held.append(request) if request.type == CLOSE else {}
        probe.kill()
        wait_until(lambda: held, "no CLOSE came")
        other, _ = self.connected()
        self.refused(other, "take 1", "ENOMEM")
        self.host.answer(held[0])
        wait_until(lambda: other.ask("take 1").startswith("ok"), "the extents are not free after the answer")

    def test_give_takes_the_mapping_away_unless_the_host_holds_it(self):
        probe, channel = self.connected()
        _, first = self.take(probe, 1)
        _, offset = self.take(probe, 2)
        self.ok(probe, f"map memory extent {offset} {2 * GRANULE}")
        self.ok(probe, "fill memory 1")
        self.host.hold(offset + GRANULE, 1)
        self.refused(probe, f"give {offset} {2 * GRANULE}", "EBUSY")
        self.assertEqual(self.host.granule(offset), (channel + 1, 0))
        self.assertEqual(self.host.granule(offset + GRANULE), (channel + 1, 1))
        self.assertEqual(numbers(self.ok(probe, "differ memory 1")), [0])
        self.host.hold(offset + GRANULE, 0)
        self.ok(probe, f"give {offset} {2 * GRANULE}")
        self.assertEqual(self.host.granule(offset + GRANULE), (0, 0))
        self.refused(probe, f"give {offset} {2 * GRANULE}", "EINVAL")
        # The lowest run that is long enough, else the longest there is.
        other, _ = self.connected()
        self.assertEqual(self.take(other, 7), (7, offset))
        self.ok(probe, f"give {first} {GRANULE}")
        self.assertEqual(self.take(other, 4), (1, first))
        # A process that goes on using what it gave back has only itself to blame.
        probe.tell("peek memory 0")
        self.assertEqual(probe.wait()[0], 128 + signal.SIGBUS)


    def test_a_granule_that_went_and_came_back_keeps_its_executors_mark(self):
        probe, channel = self.connected()
        _, offset = self.take(probe, 1)
        self.ok(probe, f"give {offset} {GRANULE}")
        # An executor that saw its owner before that has yet to look once more.
        self.host.hold(offset, channel + 1)
        self.assertEqual(self.take(probe, 1), (1, offset))
        self.assertEqual(self.host.granule(offset), (channel + 1, channel + 1))
        self.refused(probe, f"give {offset} {GRANULE}", "EBUSY")


class TestDevice(DriverCase):
    """Late hosts, wrong hosts, unbinding, unloading."""

    HOST = {"vectors": 3, "channels": 16, "granules": 4, "start": False}

    def setUp(self):
        super().setUp()
        if self._testMethodName != "test_0_a_host_that_comes_late":
            self.host.publish()
            self.host.ready()

    def test_0_a_host_that_comes_late(self):
        """First: no other test's host may have been there before."""
        probe = self.probe()
        self.refused(probe, "open", "ENODEV")
        self.assertEqual(self.host.memory[:1 << 20], bytes(1 << 20))
        self.host.publish()
        self.ok(probe, "open")
        self.assertIn("is it running", self.refused(probe, "connect", "ENOTCONN"))
        probe.tell("connect")
        self.host.ready()
        self.assertIn("result=0", probe.answer())
        self.assertEqual(self.host.resets, 1)
        # One vector for each channel: three of them, whatever the host has.
        self.ok(probe, "open")
        self.ok(probe, "open")
        self.refused(probe, "open", "EBUSY")

    def test_unbinding_while_a_process_uses_it(self):
        probe, channel = self.connected()
        resets = self.host.resets
        self.ok(probe, f"map area channel 0 {CHANNEL_BYTES}")
        _, offset = numbers(self.ok(probe, f"take {GRANULE}"))
        self.ok(probe, f"map memory extent {offset} {GRANULE}")
        self.ok(probe, "fill memory 9")
        waiter, _ = self.connected()
        waiter.tell(f"wait 3 5 {60 * SECOND}")
        device = self.device()
        self.unbind(device)
        self.assertIn("ENODEV", waiter.answer())
        wait_until(lambda: self.host.resets == resets + 1, "the host was not told")
        for step in ("connect", "wait 3 5 0", f"take {GRANULE}", f"give {offset} {GRANULE}", "ring", "read"):
            self.refused(probe, step, "ENODEV")
        self.refused(probe, "map more channel 0 4096", "ENODEV")
        self.assertIn("hup", self.ok(probe, "poll 0"))
        self.assertEqual(numbers(self.ok(probe, f"peek area {CONTROL_STATE}")), [STATE_ENDED])
        self.assertEqual(numbers(self.ok(probe, f"peek area {CONTROL_STATE + 8}")), [DEVICE_UNAVAILABLE])
        self.assertEqual(numbers(self.ok(probe, "differ memory 0")), [0])
        self.ok(probe, "fill memory 5")
        self.ok(probe, f"poke area {SLOT_3} 5")
        self.assertEqual(self.host.memory[offset], 9)
        self.bind(device)
        again, again_channel = self.connected()
        self.assertEqual(again_channel, 0)
        self.ok(again, "map area channel 0 4096")
        self.refused(probe, "connect", "ENODEV")
        probe.kill()
        self.assertEqual(self.host.seen(CLOSE, 0), [])

    def test_unloading_and_loading(self):
        probe, _ = self.connected()
        self.assertNotEqual(self.guest.run("rmmod vgpu")[0], 0)
        probe.kill()
        self.shell("rmmod vgpu && ! test -e /dev/vgpu0")
        for _ in range(3):
            self.shell("insmod /run/vgpu/vgpu.ko && rmmod vgpu")
        self.shell("insmod /run/vgpu/vgpu.ko && chgrp vgpu /dev/vgpu0")
        self.connected()

    def test_a_layout_that_makes_no_sense_is_not_used(self):
        device = self.device()
        arena = self.host.arena()
        for wrong in ({"channels": 0}, {"channels": 65}, {"channels": 15}, {"memory": self.host.bytes * 2},
                      {"memory": arena}, {"memory": 0}, {"arena_offset": 0}, {"arena_offset": arena + 4096},
                      {"arena_bytes": 0}, {"arena_bytes": GRANULE + 1}, {"arena_bytes": 1 << 40},
                      {"arena_bytes": (1 << 64) - GRANULE}, {"version": 0x20000}):
            with self.subTest(**wrong):
                self.unbind(device)
                self.host.publish(**wrong)
                self.bind(device)
                self.refused(self.probe(), "open", "ENODEV")
        self.unbind(device)
        self.host.publish(magic=7)
        self.assertNotEqual(self.guest.run(f"echo {device} >/sys/bus/pci/drivers/vgpu/bind")[0], 0)
        self.host.publish()
        self.bind(device)
        self.connected()

    def test_garbage_from_the_host_does_the_kernel_no_harm(self):
        device = self.device()
        noise = random.Random(7)
        probe, _ = self.connected()
        self.ok(probe, "map area channel 0 8192")
        _, offset = numbers(self.ok(probe, f"take {GRANULE}"))
        self.ok(probe, f"map memory extent {offset} {GRANULE}")
        self.host.running = False
        for _ in range(20):
            self.host.memory[:2 << 20] = noise.randbytes(2 << 20)
            for channel in range(3):
                self.host.interrupt(channel)
            probe.ask("poll 0")
            probe.ask("read")
            probe.ask("take 1")
            self.ok(probe, "fill memory 1")
        other = self.probe("open", "alarm 500")
        self.refused(other, "connect", "E")
        probe.kill()
        other.kill()
        # A new start of the driver puts right what the host's garbage has left.
        self.host.memory[:2 << 20] = bytes(2 << 20)
        self.host.publish()
        self.host.ready()
        self.unbind(device)
        self.bind(device)
        self.connected()

    def test_hot_unplug(self):
        probe, _ = self.connected()
        self.ok(probe, "map area channel 0 8192")
        self.shell("d=$(readlink -f /sys/class/misc/vgpu0/device) && echo 1 >$d/remove && ! test -e /dev/vgpu0")
        self.assertEqual(numbers(self.ok(probe, f"peek area {CONTROL_STATE}")), [STATE_ENDED])
        self.refused(probe, "ring", "ENODEV")
        self.shell("echo 1 >/sys/bus/pci/rescan && test -e /dev/vgpu0 && chgrp vgpu /dev/vgpu0")
        self.connected()


class TestChannelsOfStub(TestChannels):
    KIND = StubHost
    MORE_DEVICES = ()
    test_an_ivshmem_device_of_others_is_left_alone = None


class TestExtentsOfStub(TestExtents):
    KIND = StubHost


class TestDeviceOfStub(DriverCase):
    KIND = StubHost
    HOST = {"granules": 4}

    test_unbinding_while_a_process_uses_it = TestDevice.test_unbinding_while_a_process_uses_it
    test_unloading_and_loading = TestDevice.test_unloading_and_loading
    test_garbage_from_the_host_does_the_kernel_no_harm = TestDevice.test_garbage_from_the_host_does_the_kernel_no_harm
    test_hot_unplug = TestDevice.test_hot_unplug


if __name__ == "__main__":
    unittest.main()
