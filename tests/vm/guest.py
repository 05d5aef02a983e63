"""Boots a small guest under QEMU and runs commands in it.

    with Guest(devices=["-chardev", f"socket,id=vgpu,path={socket}", "-device", "vgpu-stub,chardev=vgpu"]) as guest:
        status, output = guest.run("id", user="tenant")

The kernel's messages go to the first serial port, commands and their output to the second, so neither disturbs the
other. VGPU_QEMU: the QEMU to boot; VGPU_VM_ACCEL: kvm or tcg instead of what accelerator() finds; VGPU_GUEST_IMAGE: what
scripts/guest-image made. Python's standard library only.
"""

import base64
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from waiting import WAIT_SECONDS, wait_until  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BUILT_QEMU = ROOT / "build/qemu/qemu-system-x86_64"
IMAGE = Path(os.environ.get("VGPU_GUEST_IMAGE", ROOT / "build/guest-image"))

BOOT_SECONDS = 180
# Under KVM a guest is up within two seconds; a nested KVM that can't run a kernel hangs.
KVM_BOOT_SECONDS = 20
COMMAND_SECONDS = 60


def qemu_program(built=True):
    """The QEMU to use: VGPU_QEMU, else the project's own, else (or with built=False) the distribution's; or None."""
    named = os.environ.get("VGPU_QEMU")
    if built and named:
        return named
    if built and BUILT_QEMU.exists():
        return str(BUILT_QEMU)
    return shutil.which("qemu-system-x86_64")


def accelerator(image=IMAGE):
    """kvm where a guest boots under it, else tcg. Tried once for each start of this machine: the image's folder knows."""
    named = os.environ.get("VGPU_VM_ACCEL")
    if named:
        return named
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    known = Path(image) / "accelerator"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    words = known.read_text().split() if known.exists() else []
    if words[:1] == [boot]:
        return words[1]
    try:
        with Guest(image=image, accel="kvm", boot_timeout=KVM_BOOT_SECONDS):
            found = "kvm"
    except AssertionError:
        found = "tcg"
    known.write_text(f"{boot} {found}\n")
    return found


class Command:
    """A command that runs in the guest. Its end is known by itself; its output until then is asked for."""

    def __init__(self, guest, number):
        self.guest = guest
        self.number = number
        self.place = f"/tmp/jobs/{number}"
        self.status = None
        self.output = ""
        self.passed = 0  # lines of the output that answer() has given

    def ended(self):
        return self.status is not None

    def wait(self, timeout=COMMAND_SECONDS):
        """Waits for the end; (exit status, output). 128 + n: ended by signal n."""
        self.guest.wait_for(self.ended, lambda: f"a command in the guest still runs; so far:\n{self.so_far()}", timeout)
        return self.status, self.output

    def so_far(self):
        if self.ended():
            return self.output
        return self.guest.run(f"cat {self.place}.out")[1]

    def tell(self, text):
        """Writes a line to its standard input."""
        status, output = self.guest.run(f"echo {shlex.quote(text)} >{self.place}.in")
        if status:
            raise AssertionError(f"the command does not take its input: {output}")

    def answer(self, timeout=COMMAND_SECONDS):
        """The next whole line of its output."""

        def next_line():
            lines = self.so_far().split("\n")[:-1]
            return lines[self.passed] if len(lines) > self.passed else None if not self.ended() else "(ended)"

        line = wait_until(next_line, lambda: f"no answer; output so far:\n{self.so_far()}", timeout)
        self.passed += 1
        return line

    def ask(self, text, timeout=COMMAND_SECONDS):
        """tell() and answer() with one command of the guest instead of several."""
        place, line = self.place, self.passed + 1
        answer = self.guest.check(
            f"echo {shlex.quote(text)} >{place}.in\n"
            f"while [ $(wc -l <{place}.out) -lt {line} ] && [ -e {place}.pid ]; do /run/vgpu/bin/usleep 2000; done\n"
            f"sed -n {line}p {place}.out", timeout)
        if not answer:
            raise AssertionError(f"the command ended: {self.wait()}")
        self.passed += 1
        return answer.rstrip("\n")

    def signal(self, number=signal.SIGKILL):
        self.guest.run(f"kill -{int(number)} $(cat {self.place}.pid)")

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()


class Guest:
    """A running guest. `devices`: options for QEMU; host_root: the host's root is its root; words: for the kernel."""

    def __init__(self, devices=(), qemu=None, memory="512M", host_root=False, words=(), name="guest", image=IMAGE,
                 boot_timeout=BOOT_SECONDS, accel=None):
        self.folder = Path(tempfile.mkdtemp(prefix="vgpu-guest-"))
        self.qemu = qemu or qemu_program()
        self.console_path = self.folder / "console"
        self.log_path = self.folder / "qemu.log"
        self.monitor_path = self.folder / "monitor"
        self.commands = {}
        self.count = 0
        self.ready = False
        self.changed = threading.Condition()
        self.write_lock = threading.Lock()
        port = self.folder / "port"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(port))
        listener.listen()
        append = ["console=ttyS0", "loglevel=4", "panic=-1", "oops=panic", *words]
        root = []
        if host_root:
            append.append("vgpu.root=9p")
            root = ["-fsdev", "local,id=hostroot,path=/,security_model=none,readonly=on,multidevs=remap",
                    "-device", "virtio-9p-pci,fsdev=hostroot,mount_tag=hostroot"]
        accel = accel or accelerator(image)
        accel = ["-accel", accel, "-cpu", "host" if accel == "kvm" else "max"]
        self.command = [self.qemu, "-name", name, "-M", "pc", *accel, "-smp", "1", "-m", memory, "-nodefaults",
                        "-display", "none", "-no-reboot", "-kernel", str(image / "vmlinuz"), "-initrd",
                        str(image / "initrd"), "-append", " ".join(append), "-serial", f"file:{self.console_path}",
                        "-serial", f"unix:{port}", "-monitor", f"unix:{self.monitor_path},server=on,wait=off", *root,
                        *devices]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            listener.settimeout(1)
            self.port = self._accept(listener)
            self.reader = threading.Thread(target=self._read, daemon=True)
            self.reader.start()
            self.wait_for(lambda: self.ready, "the guest did not boot", boot_timeout)
        except BaseException:
            self.kill()
            raise
        finally:
            listener.close()

    def _accept(self, listener):
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                port, _ = listener.accept()
                port.settimeout(None)
                return port
            except socket.timeout:
                continue
        raise AssertionError(f"QEMU did not start: {self.log()}")

    def _read(self):
        """Takes what the agent says apart; runs until QEMU's end."""
        number = None
        status = 0
        lines = []
        try:
            for raw in self.port.makefile("r", encoding="ascii", errors="replace", newline="\n"):
                line = raw.rstrip("\r\n")
                begin = re.fullmatch(r"@begin (\d+) (\d+)", line)
                if line == "@ready":
                    self.ready = True
                elif begin:
                    number, status, lines = int(begin.group(1)), int(begin.group(2)), []
                elif number is not None and line == f"@end {number}":
                    command = self.commands.pop(number, None)
                    if command:
                        command.output = base64.b64decode("".join(lines)).decode(errors="replace")
                        command.status = status
                    number = None
                else:
                    lines.append(line)
                with self.changed:
                    self.changed.notify_all()
        except OSError:
            pass
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, condition, what, timeout=WAIT_SECONDS):
        """Until condition() is true; fails when the guest ends or hangs, and shows its console."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                dead = self.process.poll() is not None and not self.reader.is_alive()
                if dead or left <= 0:
                    break
                self.changed.wait(min(left, 0.5))
            else:
                return
        how = "the guest ended" if dead else f"waited {timeout} s in vain"
        raise AssertionError(f"{how}: {what if isinstance(what, str) or dead else what()}\n{self.tail()}")

    def start(self, command, user=None):
        """Runs a shell script in the background; a Command."""
        with self.write_lock:
            self.count += 1
            started = Command(self, self.count)
            self.commands[self.count] = started
            data = base64.b64encode((command + "\n").encode()).decode()
            try:
                self.port.sendall(f"start {self.count} {user or 'root'} {data}\n".encode())
            except OSError:
                raise AssertionError(f"the guest is gone\n{self.tail()}") from None
        return started

    def run(self, command, timeout=COMMAND_SECONDS, user=None):
        """Runs a shell script to its end; (exit status, stdout and stderr together)."""
        return self.start(command, user).wait(timeout)

    def check(self, command, timeout=COMMAND_SECONDS, user=None):
        """Runs a shell script that must succeed; its output."""
        status, output = self.run(command, timeout, user)
        if status:
            raise AssertionError(f"'{command}' ended with {status} in the guest:\n{output}\n{self.tail()}")
        return output

    def dmesg(self):
        return self.check("/run/vgpu/busybox dmesg")

    def kernel_trouble(self):
        """Lines of the kernel's log that no test may cause."""
        bad = re.compile(r"BUG|WARNING|Oops|general protection|Call Trace|refcount|soft lockup|blocked for more")
        return [line for line in self.dmesg().splitlines() if bad.search(line)]

    def monitor(self, command):
        """One command to QEMU's monitor; what it answers."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(WAIT_SECONDS)
            link.connect(str(self.monitor_path))
            answers = b""
            for text in (None, command):
                if text is not None:
                    answers = b""
                    link.sendall(text.encode() + b"\n")
                while not answers.endswith(b"(qemu) "):
                    part = link.recv(65536)
                    if not part:
                        break
                    answers += part
        return answers.decode(errors="replace")

    def console(self):
        return self.console_path.read_text(errors="replace") if self.console_path.exists() else ""

    def log(self):
        return self.log_path.read_text(errors="replace")

    def tail(self):
        return (f"--- end of the guest's console ---\n{self.console()[-3000:]}\n"
                f"--- QEMU ---\n{self.log()[-1000:]}")

    def power_off(self, timeout=WAIT_SECONDS):
        """Orderly; QEMU's exit code."""
        try:
            self.port.sendall(b"quit\n")
            return self.process.wait(timeout)
        except (OSError, subprocess.TimeoutExpired):
            raise AssertionError(f"the guest does not power off\n{self.tail()}") from None
        finally:
            self.kill()

    def kill(self):
        """SIGKILL to QEMU. May be called again."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if hasattr(self, "port"):
            self.port.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
