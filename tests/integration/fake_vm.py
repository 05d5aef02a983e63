"""A virtual machine without a machine: what QEMU and the guest's driver do, done by a test (src/protocol/vm_link.h and
device.h). StubVm plays vgpu-stub, IvshmemVm plays QEMU's ivshmem-doorbell at a vgpu-ivshmem's socket.
"""

import array
import fcntl
import mmap
import os
import select
import socket
import struct

from harness import WAIT_SECONDS, wait_until

MAGIC = 0x55504756
LINK_MAGIC = 0x4D555056
LINK_VERSION = 0x10000
MESSAGE_BYTES = 256
HELLO, CHANNEL, RESET, READY, REFUSED = 1, 2, 3, 16, 17

VERSION = 1 << 16
MAILBOXES, GRANULES = 4096, 64 << 10
STRIDE, GRANULE = 64 << 20, 2 << 20
OPEN, CLOSE = 1, 2
HOST_EPOCH, HOST_STATE, RESET_DONE, GUEST_RESET = 128, 132, 136, 256
STATE_OPEN, STATE_ENDED = 1, 2

MEMORY = 256 << 20


def sealed_memory(size):
    fd = os.memfd_create("fake-vm", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


def message(kind, payload=b"", magic=LINK_MAGIC, version=LINK_VERSION):
    return struct.pack("<IIII", magic, version, kind, MESSAGE_BYTES) + payload.ljust(MESSAGE_BYTES - 16, b"\0")


class Vm:
    """The guest's side of the shared memory: `memory`, `doorbells` and `interrupts` are set by a subclass."""

    def guest(self, memory_fd, doorbells, interrupts):
        self.memory = mmap.mmap(memory_fd, MEMORY)
        self.doorbells, self.interrupts = doorbells, interrupts

    def u32(self, offset):
        return struct.unpack_from("<I", self.memory, offset)[0]

    def set_u32(self, offset, value):
        struct.pack_into("<I", self.memory, offset, value)

    def ring(self, channel=0):
        os.eventfd_write(self.doorbells[channel], 1)

    def interrupted(self, channel=0, seconds=0):
        """True if the channel's interrupt was raised since the last call."""
        if not select.select([self.interrupts[channel]], [], [], seconds)[0]:
            return False
        os.eventfd_read(self.interrupts[channel])
        return True

    def wait_ready(self, epoch=None):
        wait_until(lambda: self.u32(HOST_STATE) == 1 and self.u32(HOST_EPOCH) != epoch, "the daemon never became ready")
        assert self.u32(0) == MAGIC

    def request(self, channel, kind, process=b"test", pid=4711, uid=1000, version=VERSION):
        """Fills the channel's mailbox and rings; returns the request's number."""
        at = MAILBOXES + 256 * channel
        number = self.u32(at) + 1
        struct.pack_into("<IQiII", self.memory, at + 4, kind, 3, pid, uid, version)
        self.memory[at + 32:at + 64] = process.ljust(32, b"\0")
        self.set_u32(at, number)
        self.ring(channel)
        return number

    def answered(self, channel):
        return self.u32(MAILBOXES + 256 * channel + 128)

    def answer(self, channel, number, seconds=WAIT_SECONDS):
        """(result, reason, session, region_bytes, text) of the answer to that request."""
        wait_until(lambda: self.answered(channel) == number, f"request {number} was not answered", seconds)
        at = MAILBOXES + 256 * channel + 132
        result, reason, session, region = struct.unpack_from("<iIIQ", self.memory, at)
        return result, reason, session, region, bytes(self.memory[at + 20:at + 124]).split(b"\0")[0].decode()

    def open(self, channel=0, **what):
        return self.answer(channel, self.request(channel, OPEN, **what))

    def close_channel(self, channel=0):
        return self.answer(channel, self.request(channel, CLOSE))

    def base(self, channel):
        return (channel + 1) * STRIDE

    def state(self, channel):
        """(state, end_reason) of the channel's control page."""
        return struct.unpack_from("<II", self.memory, self.base(channel) + 512)

    def reset_by_driver(self):
        wanted = self.u32(GUEST_RESET) + 1
        self.set_u32(GUEST_RESET, wanted)
        self.ring(0)
        wait_until(lambda: self.u32(RESET_DONE) == wanted, "the driver's reset was not carried out")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.disconnect()


class StubVm(Vm):
    def __init__(self, path, vm=111, pool=b"", channels=2, memory_fd=None):
        fd = sealed_memory(MEMORY) if memory_fd is None else memory_fd
        self.fd = fd
        self.vm, self.pool, self.channels, self.path = vm, pool, channels, path
        make = lambda: [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(channels)]
        self.guest(fd, make(), make())
        self.connect()

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(WAIT_SECONDS)
        self.socket.connect(str(self.path))
        payload = struct.pack("<IIQII", self.vm, self.channels, MEMORY, 1, 0) + self.pool.ljust(32, b"\0") + b"test-vm"
        socket.send_fds(self.socket, [message(HELLO, payload)], [self.fd])
        for channel in range(self.channels):
            self.send_channel(channel)

    def send_channel(self, index):
        socket.send_fds(self.socket, [message(CHANNEL, struct.pack("<I", index))],
                        [self.doorbells[index], self.interrupts[index]])

    def receive(self):
        """(type, text) of the daemon's next message, or None at its end."""
        data = b""
        while len(data) < MESSAGE_BYTES:
            part = self.socket.recv(MESSAGE_BYTES - len(data))
            if not part:
                return None
            data += part
        magic, _, kind, size = struct.unpack_from("<IIII", data)
        assert (magic, size) == (LINK_MAGIC, MESSAGE_BYTES)
        return kind, data[16:208].split(b"\0")[0].decode()

    def reset(self):
        self.socket.sendall(message(RESET))

    def disconnect(self):
        self.socket.close()


class IvshmemVm(Vm):
    def __init__(self, path, channels=2):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(WAIT_SECONDS)
        wait_until(lambda: self.try_connect(path), f"nobody listens at {path}")
        assert self.number() == (0, None)
        own, _ = self.number()
        none, memory = self.number()
        assert none == -1
        vectors = {own: [], 1 - own: []}
        for _ in range(2 * channels):
            peer, fd = self.number()
            vectors[peer].append(fd)
        self.guest(memory, vectors[1 - own], vectors[own])

    def try_connect(self, path):
        try:
            self.socket.connect(str(path))
            return True
        except OSError:
            return False

    def number(self):
        fds = array.array("i")
        data, control, _, _ = self.socket.recvmsg(8, socket.CMSG_SPACE(fds.itemsize))
        for _, _, content in control:
            fds.frombytes(content)
        return struct.unpack("<q", data)[0], fds[0] if fds else None

    def disconnect(self):
        self.socket.close()
