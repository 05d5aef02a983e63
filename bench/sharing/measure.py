#!/usr/bin/env python3
"""Measures how tenants share one GPU: shares against weights, what sharing costs, how long a high priority waits, and
what a tenant that hangs or faults does to the others. Needs a build (--build); on a machine with an NVIDIA GPU it may
have been made elsewhere. Prints Markdown; docs/multitenancy.md shows it."""

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = (100, 200, 400)
QUANTA = (2, 5, 10, 20)


def numbers(text):
    return [int(number) for number in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--libs", type=Path, help="shared libraries for vgpud (scripts/pack-host-libs)")
    parser.add_argument("--gpu", default="auto")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--kernel", type=float, default=100, metavar="MICROSECONDS", help="what a kernel takes")
    parser.add_argument("--only", action="append", default=[], choices=sorted(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="shows that it works; what it measures is worth nothing")
    parser.add_argument("--log", type=Path, help="where vgpud's log goes")
    parser.add_argument("--counts", type=numbers, default=[2, 4, 16], help="of sessions that share")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=["kernels", "graphs", "copies", "mixed"])
    parser.add_argument("--quanta", type=numbers, default=QUANTA, help="in milliseconds, of those that are configured")
    parser.add_argument("--debug", action="store_true", help="vgpud logs each lease; the slowest requests are named")
    options = parser.parse_args()
    options.build = options.build.resolve()
    if options.quick:
        options.seconds, options.counts, options.kinds, options.quanta = 0.2, [4], ["kernels", "mixed"], [5]
    return options


def vm(number, pool="A", **keys):
    return f'[[vm]]\nid = {number}\npool = "{pool}"\n' + "".join(f"{k} = {json.dumps(v)}\n" for k, v in keys.items())


def configuration():
    """VMs 1 to 99 have weights in turn, 100 to 199 are equal; of each of the other pools, ten."""
    text = '[[pool]]\nname = "A"\n[[pool]]\nname = "C"\npolicy = "concurrent"\n'
    text += "".join(f'[[pool]]\nname = "Q{q}"\nquantum_microseconds = {q * 1000}\n' for q in QUANTA)
    text += "".join(vm(number, weight=WEIGHTS[(number - 1) % len(WEIGHTS)]) for number in range(1, 33))
    text += "".join(vm(100 + i) for i in range(16))
    text += "".join(vm(200 + i, pool="C") for i in range(16))
    text += "".join(vm(1000 + 10 * q + i, pool=f"Q{q}") for q in QUANTA for i in range(4))
    return text + vm(300, priority="high") + vm(301, priority="low") + vm(302, max_kernel_seconds=2)


class Daemon:
    def __init__(self, options, folder):
        self.socket = folder / "vgpud.sock"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = folder / "vgpud.toml"
        config.write_text(configuration())
        self.log = options.log or folder / "log"
        environment = dict(os.environ)
        if options.libs:
            environment["LD_LIBRARY_PATH"] = f"{options.libs.resolve()}:{environment.get('LD_LIBRARY_PATH', '')}"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [options.build / "bin/vgpud", "--config", config, "--socket", self.socket, "--metrics",
                 f"127.0.0.1:{self.port}", "--gpu", options.gpu, "--log-level", "debug" if options.debug else "info"],
                stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + 60
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"vgpud did not start:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.05)

    def gpu_seconds(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(r'^vgpu_gpu_seconds_total\{[^}]*vm="(\d+)"[^}]*\} (\S+)$', text, re.M)
        return {int(number): float(value) for number, value in found}

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Tenant:
    """A process of vgpu-bench-load, in a VM or (number None) native."""

    def __init__(self, run, number, kind, rounds):
        command = [run.load, kind, str(run.options.kernel), str(rounds)]
        if number is not None:
            command = [run.options.build / "bin/vgpu-run", "--socket", run.daemon.socket, "--vm-id", str(number),
                       *command]
        self.number = number
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def tell(self, command):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(command + "\n")

    def answer(self):
        return self.process.stdout.readline().split()

    def count(self):
        """Units that are finished; None: it has ended with an error, which `ended` then has."""
        self.tell("c")
        answer = self.answer()
        if answer[:1] == ["units"]:
            return int(answer[1])
        self.ended = " ".join(answer[1:])
        return None

    def stop(self):
        """Its last line."""
        self.tell("s")
        answer = self.answer()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(60)
        return answer


class Run:
    def __init__(self, options, folder):
        self.options = options
        self.load = options.build / "bin/vgpu-bench-load"
        self.daemon = Daemon(options, folder)
        self.rounds = 0
        with self.tenants([(100, "kernels")]) as (one,):
            self.rounds, self.kernel_seconds = int(one.rounds), one.kernel_seconds

    @contextlib.contextmanager
    def tenants(self, wanted, go=True):
        """[(VM, kind)]: ready, and at work."""
        started = [Tenant(self, number, kind, self.rounds) for number, kind in wanted]
        try:
            for tenant in started:
                answer = tenant.answer()
                if answer[:1] != ["ready"]:
                    sys.exit(f"VM {tenant.number}: {answer or 'ended'}\n{self.daemon.log.read_text()[-3000:]}")
                tenant.rounds, tenant.kernel_seconds = answer[1], float(answer[2])
            if go:
                for tenant in started:
                    tenant.tell("go")
                time.sleep(min(1, self.options.seconds))  # until all of them compete
            yield started
        finally:
            for tenant in started:
                if tenant.process.poll() is None:
                    tenant.process.kill()
                tenant.process.wait()

    def rates(self, tenants, seconds=None):
        """Units a second of each, over the same time; and the GPU seconds of each VM meanwhile."""
        start, before, used = time.monotonic(), [t.count() for t in tenants], self.daemon.gpu_seconds()
        time.sleep(seconds or self.options.seconds)
        end, after, now = time.monotonic(), [t.count() for t in tenants], self.daemon.gpu_seconds()
        rates = [(b - a) / (end - start) if a is not None and b is not None else None for a, b in zip(before, after)]
        return rates, {t.number: now.get(t.number, 0) - used.get(t.number, 0) for t in tenants}

    def total(self, numbers, kind):
        """Units a second of all of them, and what part of the time the GPU was leased to one of them."""
        with self.tenants([(number, kind) for number in numbers]) as tenants:
            start = time.monotonic()
            rates, used = self.rates(tenants)
            return sum(rates), sum(used.values()) / (time.monotonic() - start)


def shares(run):
    print("| sessions, weights 1:2:4 in turn | work | largest error of a share, of the whole | of its own share |")
    print("|---|---|---|---|")
    for count in run.options.counts:
        for kind in run.options.kinds:
            numbers = range(1, count + 1)
            with run.tenants([(number, kind) for number in numbers]) as tenants:
                used = run.rates(tenants)[1]
            weights = {number: WEIGHTS[(number - 1) % len(WEIGHTS)] for number in numbers}
            whole, weight = sum(used.values()), sum(weights.values())
            errors = {n: used[n] / whole - weights[n] / weight for n in numbers}
            relative = {n: used[n] / whole / (weights[n] / weight) - 1 for n in numbers}
            print(f"| {count} | {kind} | {100 * max(map(abs, errors.values())):.2f} % "
                  f"| {100 * max(map(abs, relative.values())):.1f} % |", flush=True)


def throughput(run):
    """One alone is measured before and after each: the GPU's clock changes with its temperature."""
    kinds = [kind for kind in run.options.kinds if kind != "mixed"]
    print("| 4 equal sessions against one alone (in brackets: part of the time that the GPU was leased) | "
          + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds))
    sets = {f"quantum {q} ms": [1000 + 10 * q + i for i in range(4)] for q in run.options.quanta}
    sets["concurrent"] = [200 + i for i in range(4)]
    alone = {kind: run.total([100], kind)[0] for kind in kinds}
    for name, numbers in sets.items():
        cells = []
        for kind in kinds:
            rate, leased = run.total(numbers, kind)
            before, alone[kind] = alone[kind], run.total([100], kind)[0]
            cells.append(f"{2 * rate / (before + alone[kind]):.3f} ({leased:.3f})")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def latencies(run, number, others):
    with run.tenants(others), run.tenants([(number, "requests")]) as (one,):
        time.sleep(run.options.seconds)
        seen = [tuple(map(float, pair.split(":"))) for pair in one.stop()[2:]]
    if run.options.debug:
        for start, seconds in sorted(seen, key=lambda one: -one[1])[:5]:
            print(f"{seconds * 1000:.2f} ms from {start:.6f}", file=sys.stderr)
    return [seconds for _, seconds in seen]


def priority(run):
    print("| requests of 10 ms, 10 ms apart | p50 ms | p99 ms | worst ms | p99 against alone |\n|---|---|---|---|---|")
    cases = {"high priority, alone": (300, []), "high, beside a saturating low priority": (300, [(301, "kernels")]),
             "high, beside low-priority graphs": (300, [(301, "graphs")]),
             "high, beside low-priority copies": (300, [(301, "copies")]),
             "equal weight, beside a saturating neighbour": (100, [(101, "kernels")]),
             "concurrent, beside a saturating neighbour": (200, [(201, "kernels")])}
    alone = None
    for name, (number, others) in cases.items():
        seen = [1000 * value for value in latencies(run, number, others)]
        p99 = percentile(seen, 0.99)
        alone = alone or p99
        print(f"| {name} | {statistics.median(seen):.2f} | {p99:.2f} | {max(seen):.2f} | {p99 / alone:.2f}x |",
              flush=True)


def containment(run):
    print("| three equal sessions beside one that … | their rate before | after | longest pause | the one got |")
    print("|---|---|---|---|---|")
    for kind, number in (("endless", 302), ("illegal", 302)):
        with run.tenants([(100 + i, "kernels") for i in range(3)]) as others:
            before = sum(run.rates(others, 2)[0])
            with run.tenants([(number, kind)], go=False) as (bad,):
                longest, last = 0, [tenant.count() for tenant in others]
                bad.tell("go")
                moved, end = time.monotonic(), time.monotonic() + 5
                while time.monotonic() < end:
                    now = [tenant.count() for tenant in others]
                    if now != last:
                        longest, moved = max(longest, time.monotonic() - moved), time.monotonic()
                        last = now
                    time.sleep(0.001)
                got = " ".join(bad.stop()[1:])
            after = sum(run.rates(others, 2)[0])
        print(f"| {kind} | {before:.0f} | {after:.0f} | {1000 * longest:.0f} ms | {got} |", flush=True)


SCENARIOS = {"shares": shares, "throughput": throughput, "priority": priority, "containment": containment}


def main():
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="vgpu-sharing-"))
    run = None
    try:
        run = Run(options, folder)
        print(f"Kernels of {1e6 * run.kernel_seconds:.1f} us; {options.seconds:g} s each.\n")
        for name in options.only or SCENARIOS:
            SCENARIOS[name](run)
            print()
    finally:
        if run is not None:
            run.daemon.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
