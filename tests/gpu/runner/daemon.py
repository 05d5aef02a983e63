"""vgpud for the forwarded side: one for each row that runs at a time, so that what it counts is that row's."""

import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

import waiting  # noqa: E402

UNSUPPORTED = re.compile(r'^vgpu_unsupported_calls_total\{call="([^"]+)"\} (\d+)', re.M)
FAULTS = re.compile(r'^vgpu_faults_total\{[^}]*reason="([^"]+)"[^}]*\} (\d+)', re.M)
SESSIONS = re.compile(r"^vgpu_sessions\{[^}]*\} (\d+)", re.M)


class NotReady(Exception):
    """vgpud did not start, or ended."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    def __init__(self, number, options, work):
        """Starts vgpud and waits until it is ready; its log goes to options.out/vgpud-NUMBER.log. Raises NotReady."""
        self.socket = work / f"vgpud-{number}.sock"
        self.log_path = options.out / f"vgpud-{number}.log"
        self.port = free_port()
        environment = dict(os.environ)
        if options.libs:
            environment["LD_LIBRARY_PATH"] = f"{options.libs}:{environment.get('LD_LIBRARY_PATH', '')}"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [options.build / "bin/vgpud", "--socket", self.socket, "--metrics", f"127.0.0.1:{self.port}", "--gpu",
                 options.gpu, "--log-level", "debug" if options.debug_log else "info"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        try:
            waiting.wait_until(lambda: not self.alive() or self.healthy(), "vgpud is ready", 60)
        except AssertionError as error:
            self.stop()
            raise NotReady(str(error)) from error
        if not self.alive():
            raise NotReady(f"vgpud ended at once:\n{self.log_path.read_text(errors='replace')[-2000:]}")

    def alive(self):
        return self.process.poll() is None

    def scrape(self, page="metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{page}", timeout=10) as answer:
            return answer.read().decode()

    def healthy(self):
        try:
            return self.socket.exists() and bool(self.scrape("healthz"))
        except OSError:
            return False

    def counted(self, pattern):
        """What UNSUPPORTED or FAULTS finds by name, of all sessions so far."""
        counts = {}
        for name, count in pattern.findall(self.scrape()):
            counts[name] = counts.get(name, 0) + int(count)
        return counts

    def idle(self):
        return sum(map(int, SESSIONS.findall(self.scrape()))) == 0

    def wait_idle(self):
        """Until the row's sessions have ended and are counted; False when some stay open."""
        try:
            waiting.wait_until(self.idle, "the row's sessions have ended", 15)
            return True
        except AssertionError:
            return False

    def stop(self):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
