"""The host's side of one VM behind vgpu-stub, played in Python: the daemon at the end of the device's link."""

import os
import selectors
import threading

from fake_daemon import FakeDaemon, Link
from fake_host import ABSENT, EPOCH, STATE, FakeHost
from guest import wait_until


class StubHost(FakeHost):
    """As FakeHost; memory and eventfds come from QEMU when it connects."""

    doorbell_pages = True

    def __init__(self, channels=16, granules=8, start=True):
        self.accepting = threading.Event()
        self.linked = threading.Event()
        super().__init__(vectors=channels, channels=channels, granules=granules, start=start)

    def _open(self, start):
        self.daemon = FakeDaemon(self.path)
        if start:
            self.accepting.set()

    def options(self, name="vgpu"):
        return ["-chardev", f"socket,id={name},path={self.path},reconnect=1",
                "-device", f"vgpu-stub,id={name}-device,chardev={name},vm-id=111,pool=A,shm-size={self.bytes},"
                           f"channels={self.channels}"]

    def ready(self):
        if self.linked.is_set():
            super().ready()
            return
        self.accepting.set()
        wait_until(self.linked.is_set, "the device does not connect again")

    def absent(self):
        """Breaks the connection: the device does the rest."""
        self.running = False
        self.accepting.clear()
        os.write(self.wake_write, b"x")
        wait_until(lambda: not self.linked.is_set(), "the link does not end")
        wait_until(lambda: self.read32(STATE) == ABSENT, "the device does not say that the daemon is gone")

    def _serve(self):
        while not self.stopped:
            if not self.accepting.wait(0.05):
                continue
            if self.daemon.listener is None:
                self.daemon.listen()
            try:
                connection = self.daemon.listener.accept()[0]
            except TimeoutError:
                continue
            self._serve_link(connection)

    def _serve_link(self, connection):
        link = Link(connection)
        self.daemon.links.append(link)
        link.introduce()
        self.memory = link.memory
        self.doorbells = [channel.doorbell for channel in link.channels]
        self.interrupts = [channel.interrupt for channel in link.channels]
        self.publish()
        self.epoch += 1
        self.write32(EPOCH, self.epoch)
        link.ready()
        self.running = True
        self.linked.set()
        self.look()
        with selectors.DefaultSelector() as selector:
            selector.register(self.wake_read, selectors.EVENT_READ, None)
            for channel, doorbell in enumerate(self.doorbells):
                selector.register(doorbell, selectors.EVENT_READ, channel)
            while self.accepting.is_set() and not self.stopped:
                rung = False
                for key, _ in selector.select():
                    if key.data is None:
                        os.read(self.wake_read, 1)
                    else:
                        self.take_ring(key)
                        rung = True
                if rung:
                    self.look()
        self.daemon.stop_listening()
        link.disconnect()
        self.linked.clear()

    def _close(self):
        self.daemon.close()
