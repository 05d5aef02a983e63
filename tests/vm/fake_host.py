"""The host's side of one VM, played in Python: the ivshmem server that stock QEMU talks to, and the daemon behind it.

The memory is a memfd that QEMU maps as BAR2; numbers of its layout are those of src/protocol/device.h and layout.h.
What the daemon does with requests is up to the test: `policy`, or the events that were seen. Standard library only.
"""

import array
import mmap
import os
import selectors
import shutil
import socket
import struct
import tempfile
import threading
from pathlib import Path

MAGIC = 0x55504756
VERSION = 0x00010000
MIB = 1 << 20
STRIDE = 64 * MIB
GRANULE = 2 * MIB
MAILBOXES = 4096
MAILBOX_BYTES = 256
GRANULES = 64 << 10
SLOTS = 4096
SLOT_BYTES = 256
CHANNEL_BYTES = 34 * MIB

EPOCH, STATE, RESET_DONE, GUEST_RESET = 128, 132, 136, 256
CONTROL_STATE, CONTROL_REASON, CONTROL_RESULT = 512, 516, 520
ABSENT, READY = 0, 1
OPEN, CLOSE = 1, 2
STATE_OPEN, STATE_ENDED = 1, 2
END_DAEMON_STOPPED = 2
DEVICE_UNAVAILABLE = 46


class Request:
    """What a guest's driver put into a mailbox."""

    def __init__(self, channel, fields):
        self.channel = channel
        self.number, self.type, self.features, self.pid, self.uid, self.version, _, name = fields
        self.process = name.split(b"\0")[0].decode()

    def __repr__(self):
        return f"request {self.number} type {self.type} of channel {self.channel} by {self.process}"


class FakeHost:
    """An ivshmem server and a daemon. `vectors`: of the device; `channels`: what the device page says; `granules`: of
    the arena."""

    doorbell_pages = False

    def __init__(self, vectors=16, channels=16, granules=8, memory=None, start=True):
        self.folder = Path(tempfile.mkdtemp(prefix="vgpu-host-"))
        self.path = self.folder / "ivshmem.sock"
        self.vectors, self.channels, self.granules = vectors, channels, granules
        least = (channels + 1) * STRIDE + granules * GRANULE
        self.bytes = memory or 1 << (least - 1).bit_length()
        self.memory = None
        self.doorbells, self.interrupts = [], []
        self.epoch = 0x1000
        self.session = 0
        self.policy = None  # called with a Request; returns the answer's fields, or None for no answer yet
        self.requests = []
        self.handled = {}  # channel: number of the request that was last looked at
        self.resets = 0
        self.rings = {}  # channel: how often its doorbell woke the daemon
        self.running = False
        self.stopped = False
        self.lock = threading.Lock()
        self.wake_read, self.wake_write = os.pipe()
        self._open(start)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _open(self, start):
        self.memfd = os.memfd_create("vgpu-fake-host")
        os.ftruncate(self.memfd, self.bytes)
        self.memory = mmap.mmap(self.memfd, self.bytes)
        self.doorbells = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(self.vectors)]
        self.interrupts = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(self.vectors)]
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.links = []
        if start:
            self.publish()
            self.ready()

    def options(self, name="vgpu"):
        """For QEMU."""
        return ["-chardev", f"socket,id={name},path={self.path}",
                "-device", f"ivshmem-doorbell,id={name}-device,vectors={self.vectors},chardev={name}"]

    # Memory.

    def read32(self, offset):
        return struct.unpack_from("<I", self.memory, offset)[0]

    def write32(self, offset, value):
        struct.pack_into("<I", self.memory, offset, value & 0xffffffff)

    def area(self, channel):
        return (channel + 1) * STRIDE

    def arena(self):
        return (self.channels + 1) * STRIDE

    def granule(self, offset):
        """(owner, held) of the granule at this offset of the memory."""
        return struct.unpack_from("<HH", self.memory, GRANULES + 4 * ((offset - self.arena()) // GRANULE))

    def owners(self):
        return [self.granule(self.arena() + n * GRANULE)[0] for n in range(self.granules)]

    def hold(self, offset, held):
        struct.pack_into("<H", self.memory, GRANULES + 4 * ((offset - self.arena()) // GRANULE) + 2, held)

    # The daemon's life.

    def publish(self, **wrong):
        """Fills the device page; `wrong` fields are as given."""
        page = {"magic": MAGIC, "version": VERSION, "vm": 111, "channels": self.channels, "memory": self.bytes,
                "arena_offset": self.arena(), "arena_bytes": self.granules * GRANULE, **wrong}
        struct.pack_into("<IIIIQQQ", self.memory, 0, *page.values())

    def ready(self):
        """A daemon is there: no session is left of another."""
        self.epoch += 1
        self.running = True
        self.write32(EPOCH, self.epoch)
        self.write32(STATE, READY)
        self.look()

    def absent(self):
        """The daemon's connection broke: what QEMU or the ivshmem server does then."""
        self.running = False
        self.write32(STATE, ABSENT)
        for channel in range(self.vectors):
            self.interrupt(channel)

    def interrupt(self, channel):
        os.eventfd_write(self.interrupts[channel], 1)

    def complete(self, channel, slot, ticket, interrupt=True):
        """Answers in a completion slot, as an executor does."""
        self.write32(self.area(channel) + SLOTS + slot * SLOT_BYTES, ticket)
        if interrupt:
            self.interrupt(channel)

    def end(self, channel, reason):
        self.write32(self.area(channel) + CONTROL_REASON, reason)
        self.write32(self.area(channel) + CONTROL_RESULT, DEVICE_UNAVAILABLE)
        self.write32(self.area(channel) + CONTROL_STATE, STATE_ENDED)
        self.interrupt(channel)

    def look(self):
        """What a doorbell makes the daemon do: resets first, then each mailbox."""
        with self.lock:
            if not self.running:
                return
            reset = self.read32(GUEST_RESET)
            if reset != self.read32(RESET_DONE):
                self.resets += 1
                self.handled = {n: self.mailbox(n).number for n in range(self.channels)}
                self.epoch += 1
                self.write32(EPOCH, self.epoch)
                self.write32(RESET_DONE, reset)
            for channel in range(self.channels):
                request = self.mailbox(channel)
                if request.number != self.handled.get(channel, 0):
                    self.handled[channel] = request.number
                    self.requests.append(request)
                    answer = self.policy(request) if self.policy else {}
                    if answer is not None:
                        self.answer(request, **answer)

    def mailbox(self, channel):
        return Request(channel, struct.unpack_from("<IIQiIII32s", self.memory, MAILBOXES + channel * MAILBOX_BYTES))

    def answer(self, request, result=0, reason=0, text="", number=None, region=None):
        if request.type == OPEN and result == 0:
            self.session += 1
            area = self.area(request.channel)
            self.memory[area:area + SLOTS + 1024 * SLOT_BYTES] = bytes(SLOTS + 1024 * SLOT_BYTES)
            struct.pack_into("<II", self.memory, area, MAGIC, VERSION)
            self.write32(area + CONTROL_STATE, STATE_OPEN)
        at = MAILBOXES + request.channel * MAILBOX_BYTES + 128
        region = STRIDE + self.granules * GRANULE if region is None else region
        struct.pack_into("<iIIQ104s", self.memory, at + 4, result, reason, self.session, region, text.encode())
        self.write32(at, request.number if number is None else number)
        self.interrupt(request.channel)

    def seen(self, kind, channel=None):
        with self.lock:
            return [r for r in self.requests if r.type == kind and channel in (None, r.channel)]

    def take_ring(self, key):
        os.eventfd_read(key.fileobj)
        self.rings[key.data] = self.rings.get(key.data, 0) + 1

    # The ivshmem server.

    def _serve(self):
        selector = selectors.DefaultSelector()
        selector.register(self.listener, selectors.EVENT_READ, None)
        selector.register(self.wake_read, selectors.EVENT_READ, None)
        for channel, doorbell in enumerate(self.doorbells):
            selector.register(doorbell, selectors.EVENT_READ, channel)
        while not self.stopped:
            rung = False
            for key, _ in selector.select():
                if key.fileobj is self.listener:
                    self._greet(self.listener.accept()[0])
                elif key.data is not None:
                    self.take_ring(key)
                    rung = True
            if rung:
                self.look()
        selector.close()

    def _greet(self, link):
        def send(number, descriptor=None):
            rights = [] if descriptor is None else [
                (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes())]
            link.sendmsg([struct.pack("<q", number)], rights)

        send(0)
        send(0)
        send(-1, self.memfd)
        for descriptor in self.doorbells:
            send(1, descriptor)
        for descriptor in self.interrupts:
            send(0, descriptor)
        self.links.append(link)

    def _close(self):
        for link in self.links:
            link.close()
        self.listener.close()
        for descriptor in (*self.doorbells, *self.interrupts, self.memfd):
            os.close(descriptor)
        self.memory.close()

    def close(self):
        self.stopped = True
        os.write(self.wake_write, b"x")
        self.thread.join()
        self._close()
        os.close(self.wake_read)
        os.close(self.wake_write)
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
