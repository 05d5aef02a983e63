"""Runs QEMU without a guest and drives its devices over the qtest protocol; QMP beside it.

Everything waits for a condition with a deadline (wait_until); nothing sleeps and hopes. Python's standard library only.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from waiting import WAIT_SECONDS, wait_until  # noqa: E402

QEMU = Path(os.environ.get("VGPU_QEMU", Path(__file__).resolve().parents[2] / "build/qemu/qemu-system-x86_64"))


def why_no_qemu():
    """The reason for which nothing here can run, or None."""
    if not os.access(QEMU, os.X_OK):
        return f"there is no QEMU with vgpu-stub at {QEMU}: scripts/build-qemu makes it, VGPU_QEMU names another"
    return None


class Lines:
    """Lines that come over a stream socket."""

    def __init__(self, connection):
        self.connection = connection
        self.connection.settimeout(WAIT_SECONDS)
        self.buffer = b""

    def read(self):
        while b"\n" not in self.buffer:
            data = self.connection.recv(65536)
            if not data:
                raise EOFError("QEMU closed the connection")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def write(self, line):
        self.connection.sendall(line.encode() + b"\n")


class QmpError(Exception):
    """What QEMU answers to a command that it refuses."""


class Qemu:
    """A QEMU whose guest never runs: memory, ports and devices are driven by this object.

    RAM is 64 MiB at 0. `arguments` follow the machine's own; -machine is pc, whose PCI hotplug needs no guest.
    """

    def __init__(self, *arguments, accel="qtest"):
        self.folder = Path(tempfile.mkdtemp(prefix="vgpu-qtest-"))
        self.log_path = self.folder / "log"
        listeners = {name: self._listen(name) for name in ("qtest", "qmp")}
        command = [str(QEMU), "-machine", "pc", "-accel", accel, "-m", "64", "-display", "none", "-nodefaults",
                   "-name", "test-vm", "-qtest-log", "none", "-S"]
        for name in listeners:
            command += [f"-{name}", f"unix:{self.folder / name}"]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command + [str(part) for part in arguments], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        try:
            self.qtest, self.qmp = (Lines(self._accept(listener)) for listener in listeners.values())
            self.events = []
            json.loads(self.qmp.read())
            self.command("qmp_capabilities")
        except BaseException:
            self.close()
            raise
        finally:
            for listener in listeners.values():
                listener.close()

    def _listen(self, name):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.folder / name))
        listener.listen()
        listener.settimeout(0.05)
        return listener

    def _accept(self, listener):
        def attempt():
            if self.process.poll() is not None:
                raise AssertionError(f"QEMU ended with {self.process.returncode}: {self.log()}")
            try:
                return listener.accept()[0]
            except TimeoutError:
                return None
        return wait_until(attempt, lambda: f"QEMU does not connect: {self.log()}")

    def log(self):
        return self.log_path.read_text(errors="replace")

    # ---- QMP ----

    def command(self, name, **arguments):
        self.qmp.write(json.dumps({"execute": name, "arguments": arguments}))
        while True:
            answer = json.loads(self.qmp.read())
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QmpError(answer["error"]["desc"])
            else:
                return answer["return"]

    def event(self, name):
        """Takes the first event of that name, waiting for it."""
        while True:
            for index, event in enumerate(self.events):
                if event["event"] == name:
                    return self.events.pop(index)
            answer = json.loads(self.qmp.read())
            self.events.append(answer)

    def reset(self):
        self.command("system_reset")
        self.event("RESET")

    # ---- qtest ----

    def ask(self, *words):
        self.qtest.write(" ".join(word if isinstance(word, str) else hex(word) for word in words))
        while True:
            answer = self.qtest.read().split()
            if answer[0] == "OK":
                return answer[1] if len(answer) > 1 else None
            if answer[0] != "IRQ":
                raise AssertionError(f"qtest answers {answer} to {words}")

    LETTER = {1: "b", 2: "w", 4: "l", 8: "q"}

    def read(self, address, size=4):
        return int(self.ask("read" + self.LETTER[size], address), 16)

    def write(self, address, value, size=4):
        self.ask("write" + self.LETTER[size], address, value)

    def port_read(self, port, size=4):
        return int(self.ask("in" + self.LETTER[size], port), 16)

    def port_write(self, port, value, size=4):
        self.ask("out" + self.LETTER[size], port, value)

    def eject(self, slot):
        """Does what a guest does on ACPI's request to let a device of the root bus go."""
        self.port_write(0xae10, 0)
        self.port_write(0xae08, 1 << slot)

    # ---- its end ----

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for lines in (getattr(self, "qtest", None), getattr(self, "qmp", None)):
            if lines:
                lines.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def run_to_the_end(*arguments):
    """Starts QEMU with arguments that it should refuse; returns exit code and what it says."""
    command = [str(QEMU), "-machine", "pc", "-accel", "qtest", "-display", "none", "-nodefaults", "-S"]
    result = subprocess.run(command + [str(part) for part in arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=WAIT_SECONDS)
    return result.returncode, result.stdout


class PciDevice:
    """A device of bus 0, through the ports of configuration space."""

    MSIX = 0x11

    def __init__(self, qemu, slot):
        self.qemu = qemu
        self.slot = slot

    def config_read(self, offset, size=4):
        self.qemu.port_write(0xcf8, 0x80000000 | self.slot << 11 | offset & 0xfc)
        return self.qemu.port_read(0xcfc + (offset & 3), size)

    def config_write(self, offset, value, size=4):
        self.qemu.port_write(0xcf8, 0x80000000 | self.slot << 11 | offset & 0xfc)
        self.qemu.port_write(0xcfc + (offset & 3), value, size)

    def bar_size(self, number, wide=False):
        """What a BAR decodes. Leaves it unset."""
        offset = 0x10 + 4 * number
        self.config_write(offset, 0xffffffff)
        mask = self.config_read(offset) & 0xfffffff0
        if wide:
            self.config_write(offset + 4, 0xffffffff)
            mask |= self.config_read(offset + 4) << 32
            return (~mask & (1 << 64) - 1) + 1
        return (~mask & 0xffffffff) + 1

    def capability(self, wanted):
        offset = self.config_read(0x34, 1)
        while offset:
            if self.config_read(offset, 1) == wanted:
                return offset
            offset = self.config_read(offset + 1, 1)
        raise AssertionError(f"there is no capability {wanted:#x}")
