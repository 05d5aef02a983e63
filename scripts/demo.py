"""What scripts/demo shows once all is built. It starts the daemon and the guests as the tests do, and ends them however it
ends itself. Python's standard library only.
"""

import argparse
import re
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/vm"), str(ROOT / "tests/integration")]

import guest as guests  # noqa: E402
from harness import PROGRAMS, Daemon, wait_until  # noqa: E402
from vms import PROGRAM_SECONDS, Host  # noqa: E402

HELD_MIB = 64
interrupted = threading.Event()


def say(text):
    print(f"==> {text}", flush=True)


def show(text):
    for line in text.splitlines():
        print(f"  {line}", flush=True)


class Guest(guests.Guest):
    """Gives up when the demo is interrupted, even while it boots."""

    def wait_for(self, condition, what, timeout=guests.WAIT_SECONDS):
        super().wait_for(lambda: interrupted.is_set() or condition(), what, timeout)
        if interrupted.is_set():
            raise AssertionError("interrupted")


class VirtualMachines:
    """A daemon for VMs whose QEMU has this device, and guests that are VMs."""

    def __init__(self, device, gpu):
        class DemoHost(Host):
            def start_daemon(self):
                try:
                    self.daemon = Daemon(config=self.config, gpu=gpu)
                except BaseException:
                    shutil.rmtree(self.folder, ignore_errors=True)
                    raise

        self.host = DemoHost(device)
        self.daemon = self.host.daemon
        self.folder = self.host.folder

    def boot(self, vm):
        begin = time.monotonic()
        machine = Guest(devices=self.host.devices(vm), name=f"vm{vm}", qemu=self.host.qemu)
        return VirtualMachine(machine, time.monotonic() - begin)

    def close(self):
        self.host.close()


class VirtualMachine:
    def __init__(self, machine, seconds):
        self.machine = machine
        self.boot_text = f"virtual machine without a GPU, booted in {seconds:.0f} s"
        self.close = machine.kill

    def introduce(self):
        for command in ("uname -sr; id", "ls -l /dev/vgpu0 /dev/nvidia0",
                        "cd /sys/bus/pci/drivers/vgpu/0*; cat vendor device | xargs"):
            show(f"$ {command}\n{self.machine.run(command, user='tenant')[1]}")

    def start(self, name):
        """Runs a program as an ordinary user; what waits for its end."""
        command = self.machine.start(f"exec /programs/{name}.static-O3", user="tenant")
        return lambda: command.wait(PROGRAM_SECONDS)

    def steps(self):
        command = self.machine.start("exec /programs/steps.static-O3", user="tenant")
        return command.ask, lambda: (command.tell("quit"), command.wait())


class Processes:
    """A daemon, and guests that are processes of this host."""

    def __init__(self, gpu):
        self.daemon = Daemon(gpu=gpu)
        self.folder = self.daemon.folder

    def boot(self, vm):
        return Process(self.daemon, vm, {111: "A", 112: "B"}[vm])

    def close(self):
        self.daemon.__exit__(*sys.exc_info())


class Process:
    boot_text = "processes of this host"

    def __init__(self, daemon, vm, pool):
        self.daemon, self.vm, self.pool = daemon, vm, pool
        self.held = None

    def introduce(self):
        pass

    def start(self, name):
        def wait():
            result = self.daemon.run(PROGRAMS / f"{name}.static-O3", vm=self.vm, pool=self.pool)
            return result.returncode, result.stdout
        return wait

    def steps(self):
        self.held = self.daemon.guest(PROGRAMS / "steps.static-O3", vm=self.vm, pool=self.pool)
        return self.held.ask, self.held.finish

    def close(self):
        if self.held is not None:
            self.held.__exit__()


class Background:
    """Makes things in threads, which no signal interrupts half-way, and closes what was made: the last first."""

    def __init__(self):
        self.threads = ThreadPoolExecutor()
        self.made = []

    def make(self, maker, *arguments):
        self.made.append(self.threads.submit(maker, *arguments))
        return self.made[-1]

    def close(self):
        trouble = None
        while self.made:
            future = self.made.pop()
            if future.exception() is None:
                try:
                    future.result().close()
                except AssertionError as error:
                    trouble = trouble or error
        self.threads.shutdown()
        if trouble and not interrupted.is_set():
            raise trouble


def passed(name, result):
    status, output = result
    if status != 0 or f"{name}: ok" not in output:
        raise AssertionError(f"{name} ended with {status}: {output}")
    show(f"$ {name}\n{output}")


def run(background, where):
    """The guests' side, then the host's."""
    daemon = where.daemon
    booting = {vm: background.make(where.boot, vm) for vm in (111, 112)}
    first, second = (booting[vm].result() for vm in (111, 112))

    multiplied = second.start("matrix_tiled")
    say(f"guest VM 111, pool A: {first.boot_text}")
    first.introduce()
    for name in ("device_query", "vector_add"):
        passed(name, first.start(name)())
    say(f"guest VM 112, pool B: {second.boot_text}")
    passed("matrix_tiled", multiplied())

    say("host: when VM 111 connected, by which device, with which processes")
    events = re.compile('msg="(VM connected|connection opened|session opened)"')
    show("\n".join(filter(events.search, daemon.log_lines("vm=111 "))))
    say(f"host: memory of VM 111 on the GPU, while a program there holds {HELD_MIB} MiB and after its end")
    question, finish = first.steps()
    answer = question(f"alloc {HELD_MIB << 20}")
    if not answer.startswith("ok"):
        raise AssertionError(f"steps in VM 111 got no {HELD_MIB} MiB: {answer}")
    show_memory(daemon.metrics())
    finish()
    daemon.wait_idle()
    show_memory(daemon.metrics())
    show_calls(daemon)
    show_counts(daemon.metrics())


def show_memory(metrics):
    show(f'vgpu_memory_used_bytes{{vm="111"}} {metrics.value("vgpu_memory_used_bytes", vm=111):.0f}')


def show_calls(daemon):
    calls = daemon.log_lines("vm=111 ", " call=")
    opened, = daemon.log_lines('msg="session opened"', "vm=111 ", "process=vector_add")
    session = re.search(r"session=\d+ ", opened).group()
    shown = [line for line in calls if session in line]
    say(f"host: calls of VM 111 on the GPU: {len(calls)}, of which vector_add's {len(shown)}")
    for line in shown:
        show(re.sub(r"^time=\d+-\d+-\d+T(\S+)\+\S+ level=debug ", r"\1 ", line))
    results = Counter(re.findall(r" result=(\w+)", "\n".join(calls)))
    show("results of all: " + ", ".join(f"{count} × {result}" for result, count in results.most_common()))


def show_counts(metrics):
    say("host: calls processed")
    for title, labels in (("total", {}), ("pool A", {"pool": "A"}), ("pool B", {"pool": "B"})):
        print(f"  {title:8} {metrics.value('vgpu_calls_processed_total', **labels):8.0f}")
    say("host: calls by name")
    pools = [metrics.by("vgpu_calls_by_name_total", "call", pool=pool) for pool in "AB"]
    rows = [(name, *(pool.get(name, 0) for pool in pools)) for name in {**pools[0], **pools[1]}]
    print(f"  {'':42} {'pool A':>8} {'pool B':>8}")
    for name, a, b in sorted(rows, key=lambda row: (-row[1] - row[2], row[0])):
        if a + b > 0:
            print(f"  {name:42} {a:8.0f} {b:8.0f}")


def processes_of(folder):
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gpu", required=True)
    parser.add_argument("--device", choices=("vgpu-stub", "ivshmem-doorbell", "none"), required=True)
    options = parser.parse_args()

    def end(number, _):
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    background = Background()
    where = None
    begin = time.monotonic()
    try:
        if options.device == "none":
            say("starting vgpud")
            where = background.make(Processes, options.gpu).result()
        else:
            say(f"starting vgpud and two virtual machines with the device {options.device}")
            where = background.make(VirtualMachines, options.device, options.gpu).result()
        run(background, where)
        say("stopping")
    except AssertionError as error:
        print(f"error: {error}", file=sys.stderr)
        if where is not None:
            print(f"--- end of vgpud's log ---\n{where.daemon.log()[-4000:]}", file=sys.stderr)
        sys.exit(1)
    finally:
        if sys.exc_info()[0] is not None:
            interrupted.set()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        background.close()
    wait_until(lambda: not processes_of(where.folder), lambda: f"still running: {processes_of(where.folder)}")
    say(f"done in {time.monotonic() - begin:.0f} s: nothing is left running")


main()
