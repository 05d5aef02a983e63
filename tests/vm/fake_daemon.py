"""The daemon's end of the link that src/protocol/vm_link.h describes, for tests of the device."""

import mmap
import os
import socket
import struct

from qtest import WAIT_SECONDS, wait_until

MAGIC = 0x4d555056
VERSION = 0x00010000
BYTES = 256
HELLO, CHANNEL, RESET, READY, REFUSED = 1, 2, 3, 16, 17
STUB = 1


def message(kind, payload=b"", magic=MAGIC, version=VERSION, size=BYTES):
    return struct.pack("<IIII", magic, version, kind, size) + payload.ljust(BYTES - 16, b"\0")


class Channel:
    """A channel's two eventfds."""

    def __init__(self, doorbell, interrupt):
        self.doorbell = doorbell
        self.interrupt = interrupt

    def rung(self):
        """Rings since the last look."""
        try:
            return struct.unpack("<Q", os.read(self.doorbell, 8))[0]
        except BlockingIOError:
            return 0

    def raise_interrupt(self):
        os.write(self.interrupt, struct.pack("<Q", 1))

    def close(self):
        os.close(self.doorbell)
        os.close(self.interrupt)


class Link:
    """One connection of a device."""

    def __init__(self, connection):
        self.connection = connection
        self.connection.settimeout(WAIT_SECONDS)
        self.channels = []
        self.hello = None
        self.memory_fd = -1
        self.memory = None

    def receive(self):
        """The next message: its type, its payload and the descriptors that came with it."""
        data, fds, _, _ = socket.recv_fds(self.connection, BYTES, 8)
        while 0 < len(data) < BYTES:
            more, more_fds, _, _ = socket.recv_fds(self.connection, BYTES - len(data), 8)
            if not more:
                break
            data += more
            fds += more_fds
        if not data:
            raise EOFError("the device closed the connection")
        magic, version, kind, size = struct.unpack_from("<IIII", data)
        assert (len(data), magic, version, size) == (BYTES, MAGIC, VERSION, BYTES), data[:16].hex()
        return kind, data[16:], fds

    def introduce(self):
        """Receives HELLO and all CHANNELs."""
        kind, payload, fds = self.receive()
        assert kind == HELLO and len(fds) == 1, (kind, fds)
        vm, channels, memory_bytes, device, zero = struct.unpack_from("<IIQII", payload)
        pool, name = (payload[start:start + size].split(b"\0")[0].decode() for start, size in ((24, 32), (56, 64)))
        assert not any(payload[120:]) and zero == 0, payload.hex()
        self.hello = {"vm": vm, "channels": channels, "memory_bytes": memory_bytes, "device": device, "pool": pool,
                      "name": name}
        self.memory_fd, = fds
        self.memory = mmap.mmap(self.memory_fd, memory_bytes)
        for index in range(channels):
            kind, payload, fds = self.receive()
            assert kind == CHANNEL and len(fds) == 2, (kind, fds)
            assert struct.unpack_from("<I", payload)[0] == index and not any(payload[4:]), payload.hex()
            self.channels.append(Channel(*fds))
        return self

    def send(self, data):
        self.connection.sendall(data)

    def ready(self):
        """Takes the VM as the daemon does: the memory says so too."""
        self.set_host_state(1)
        self.send(message(READY))
        return self

    def host_state(self):
        return struct.unpack_from("<I", self.memory, 132)[0]

    def set_host_state(self, state):
        struct.pack_into("<I", self.memory, 132, state)

    def refuse(self, text):
        self.send(message(REFUSED, text.encode()))

    def wait_closed(self):
        """Until the device closes; what comes before that is dropped."""
        try:
            while self.connection.recv(65536):
                pass
        except ConnectionResetError:
            pass

    def disconnect(self):
        """Only the socket: descriptors and memory can still be looked at."""
        self.connection.close()

    def close(self):
        self.connection.close()
        for channel in self.channels:
            channel.close()
        self.channels = []
        if self.memory is not None:
            self.memory.close()
            self.memory = None
            os.close(self.memory_fd)


class FakeDaemon:
    """Listens where a device's chardev looks for the daemon."""

    def __init__(self, path):
        self.path = path
        self.links = []
        self.listener = None

    def listen(self):
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.listener.settimeout(0.05)
        return self

    def listen_without_room(self):
        """Whoever connects waits until listening stops: the queue is full."""
        self.listen()
        self.listener.listen(0)
        while True:
            other = socket.socket(socket.AF_UNIX)
            other.setblocking(False)
            try:
                other.connect(str(self.path))
            except BlockingIOError:
                other.close()
                return self
            self.links.append(Link(other))

    def accept(self):
        """The next connection, without a word read from it."""
        def attempt():
            try:
                return self.listener.accept()[0]
            except TimeoutError:
                return None
        link = Link(wait_until(attempt, "no device connects"))
        self.links.append(link)
        return link

    def meet(self):
        """The next connection, introduced."""
        return self.accept().introduce()

    def stop_listening(self):
        if self.listener:
            self.listener.close()
            self.listener = None
        self.path.unlink(missing_ok=True)

    def close(self):
        self.stop_listening()
        for link in self.links:
            link.close()
