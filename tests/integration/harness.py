"""Runs the real programs: a daemon of its own for each test class, guests through vgpu-run, and what /metrics says.

Everything waits for a condition with a deadline (wait_until); nothing sleeps and hopes. Python's standard library only.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import waiting  # noqa: E402

BUILD = Path(os.environ.get("VGPU_BUILD", Path(__file__).resolve().parents[2] / "build/release"))
PROGRAMS = Path(os.environ.get("VGPU_PROGRAMS", BUILD / "programs"))
SANITIZER = os.environ.get("VGPU_SANITIZER", "")
GPU = os.environ.get("VGPU_TEST_GPU", "software")

VGPUD = BUILD / "bin/vgpud"
VGPU_RUN = BUILD / "bin/vgpu-run"
GUEST = BUILD / "guest"
HOSTILE_GUEST = BUILD / "tests/hostile-guest"

# A sanitizer makes everything slower; a deadline only says when hope is lost.
SLOWNESS = 5 if SANITIZER else 1
PROGRAM_SECONDS = 60 * SLOWNESS
WAIT_SECONDS = 20 * SLOWNESS


def wait_until(condition, what, seconds=WAIT_SECONDS):
    """waiting.wait_until with a deadline that suits a sanitizer."""
    return waiting.wait_until(condition, what, seconds)


def sanitizer_environment():
    """What a guest program, which is not instrumented, needs to load an instrumented shim."""
    if not SANITIZER:
        return {}
    name = "libtsan.so" if "thread" in SANITIZER else "libasan.so"
    compiler = os.environ.get("VGPU_CXX", "g++")
    library = subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    # The runtime library keeps memory until its process ends: leaks are looked for in host programs and unit tests.
    # protect_shadow_gap=0: the arena and device addresses are mapped at addresses of our choice.
    return {
        "LD_PRELOAD": library.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0:protect_shadow_gap=0:abort_on_error=0:exitcode=99",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "exitcode=99",
    }


SANITIZER_ENVIRONMENT = sanitizer_environment()


def base_environment():
    """This process's environment without what would lead a guest elsewhere."""
    drop = ("VGPU_", "LD_LIBRARY_PATH", "LD_PRELOAD", "CUDA_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    return environment


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def process_state(pid):
    """One letter (R, S, Z …), or None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def executors_of(pid):
    """Live executors of sessions that `pid` started, by pid."""
    return [child for child, name in children_of(pid).items() if re.match(r"vgpu-s\d", name)]


def children_of(pid):
    """Names of the live processes that `pid` started, by pid, in its order."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name, _, rest = (entry / "stat").read_text().rpartition(")")
        except OSError:
            continue
        fields = rest.split()
        if int(fields[1]) == pid and fields[0] != "Z":
            found[int(entry.name)] = name.partition("(")[2]
    return dict(sorted(found.items()))


class Metrics:
    """One scrape of /metrics. value("name", label="x") sums all series whose labels include those given;
    by("name", "label") does so for each value of a label."""

    LINE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$')
    LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.series = []
        for line in text.splitlines():
            match = None if line.startswith("#") else self.LINE.match(line)
            if match:
                labels = dict(self.LABEL.findall(match.group(2) or ""))
                self.series.append((match.group(1), labels, float(match.group(3))))

    def select(self, name, /, **labels):
        wanted = {key: str(value) for key, value in labels.items()}
        return [(found, value) for series, found, value in self.series
                if series == name and wanted.items() <= found.items()]

    def value(self, name, /, **labels):
        return sum(value for _, value in self.select(name, **labels))

    def by(self, name, label, **labels):
        sums = {}
        for found, value in self.select(name, **labels):
            sums[found.get(label)] = sums.get(found.get(label), 0) + value
        return sums


class Daemon:
    """A vgpud on a socket and port of its own, in a temporary folder that goes with it."""

    def __init__(self, config="", log_level="debug", gpu=GPU, arguments=(), vgpud=VGPUD, prefix=(), owner=None,
                 variables=None):
        """`prefix`: a command that executes the daemon, as another user say, who then needs to be the folder's `owner`."""
        self.folder = Path(tempfile.mkdtemp(prefix="vgpu-test-"))
        self.socket = self.folder / "vgpud.sock"
        self.port = free_port()
        self.log_path = self.folder / "log"
        self.config_path = self.folder / "vgpud.toml"
        # What the test can't know before the folder is there: @FOLDER@.
        self.config_path.write_text(config.replace("@FOLDER@", str(self.folder)))
        if owner is not None:
            os.chown(self.folder, owner, owner)
        self.command = [*prefix, str(vgpud), "--config", str(self.config_path), "--socket", str(self.socket), "--metrics",
                        f"127.0.0.1:{self.port}", "--log-level", log_level, *arguments]
        if gpu is not None:  # None: what the configuration says
            self.command += ["--gpu", gpu]
        environment = {**base_environment(), **(variables or {})}
        # Executors of a sanitized build serve kernels that read past nothing of ours: leaks count, gaps are mapped.
        environment["ASAN_OPTIONS"] = "protect_shadow_gap=0:exitcode=99"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=environment)
        try:
            wait_until(self.ready, lambda: f"the daemon is not ready; its log:\n{self.log()}")
        except AssertionError:
            self.kill()
            raise

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}; its log:\n{self.log()}")
        return self.socket.exists() and self.healthy()

    def healthy(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_lines(self, *parts):
        """Lines of the log that hold each of `parts`."""
        return [line for line in self.log().splitlines() if all(part in line for part in parts)]

    def metrics_text(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10 * SLOWNESS) as answer:
            return answer.read().decode()

    def metrics(self):
        return Metrics(self.metrics_text())

    def reload(self, config):
        """Gives the daemon another configuration; returns what it logs of that."""
        def said():
            return [line for line in self.log_lines("the configuration ") if "reloaded" in line]
        before = len(said())
        self.config_path.write_text(config.replace("@FOLDER@", str(self.folder)))
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(said()) > before, "the daemon says nothing of the reload")
        return "\n".join(said()[before:])

    def executors(self):
        return executors_of(self.process.pid)

    def environment(self, **more):
        return {**base_environment(), **SANITIZER_ENVIRONMENT, **{k: str(v) for k, v in more.items()}}

    def command_for(self, command, vm=None, pool=None):
        line = [str(VGPU_RUN), "--socket", str(self.socket)]
        if vm is not None:
            line += ["--vm-id", str(vm)]
        if pool is not None:
            line += ["--pool", pool]
        return line + [str(part) for part in command]

    def run(self, *command, vm=None, pool=None, timeout=PROGRAM_SECONDS):
        """Runs a guest to its end; the result has stdout and stderr together."""
        return run_program(self.command_for(command, vm, pool), self.environment(), timeout)

    def guest(self, *command, vm=None, pool=None):
        return Guest(self.command_for(command, vm, pool), self.environment())

    def wait_idle(self):
        """Until no session and no executor is left."""
        wait_until(lambda: not self.executors(), lambda: f"executors are left: {self.executors()}\n{self.log()[-4000:]}")
        wait_until(lambda: self.metrics().value("vgpu_sessions") == 0, "vgpu_sessions never went back to 0")

    def stop(self, how=signal.SIGTERM):
        """Asks the daemon to end and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            log = self.log()
            self.kill()
            raise AssertionError(f"the daemon did not end; its log:\n{log}") from None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.remove()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            code = self.stop()
            # With a failure already on its way, the exit code would only hide it.
            if kind is None and code != 0:
                raise AssertionError(f"the daemon ended with {code}; its log:\n{self.log()}")
        finally:
            self.remove()


def run_program(command, environment, timeout=PROGRAM_SECONDS):
    """Runs a command in a process group of its own, so that nothing of it outlives a timeout."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"{' '.join(map(str, command))} hung for {timeout} s; it printed:\n{output}") from None
    return subprocess.CompletedProcess(command, process.returncode, output)


class Guest:
    """The program `steps`: told what to do line by line, answers each line."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, bufsize=1, start_new_session=True)
        self.answers = []
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.answers.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.answers.append(None)
            self.changed.notify_all()

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self, seconds=PROGRAM_SECONDS):
        """The next line that answers a command; other lines, messages of the shim say, are passed over."""
        seen = []
        deadline = time.monotonic() + seconds
        with self.changed:
            while True:
                while self.answers:
                    line = self.answers.pop(0)
                    if line is None:
                        self.answers.append(None)
                        raise AssertionError(f"the guest ended with {self.process.wait()}; it printed {seen}")
                    if line.startswith(("ok", "error", "FAILED")):
                        return line
                    seen.append(line)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"the guest hangs: no answer within {seconds} s; it printed {seen}")
                self.changed.wait(left)

    def ask(self, command, seconds=PROGRAM_SECONDS):
        self.tell(command)
        return self.answer(seconds)

    def finish(self):
        """Closes its standard input and waits for its end; returns the exit code."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            return self.process.wait(PROGRAM_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the guest did not end after its input was closed") from None
        finally:
            self.reader.join(5)
            self.process.stdout.close()

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
        self.reader.join(5)
        if not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        self.process.stdout.close()


class DaemonTest(unittest.TestCase):
    """A test class with one daemon for all its tests."""

    CONFIG = ""
    LOG_LEVEL = "debug"
    GPU = GPU
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(config=cls.CONFIG, log_level=cls.LOG_LEVEL, gpu=cls.GPU)

    @classmethod
    def tearDownClass(cls):
        daemon = cls.daemon
        try:
            daemon.wait_idle()
            code = daemon.stop()
            if code != 0:
                raise AssertionError(f"the daemon ended with {code}; its log:\n{daemon.log()[-8000:]}")
            for report in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "ThreadSanitizer"):
                if report in daemon.log():
                    raise AssertionError(f"a sanitizer reports in the daemon's log:\n{daemon.log()[-16000:]}")
        finally:
            daemon.kill()

    def assert_passes(self, result, name=None):
        self.assertEqual(result.returncode, 0, f"{result.args}\n{result.stdout}\nlog: {self.log_tail()}")
        self.assertIn(f"{name}: ok" if name else ": ok", result.stdout)

    def log_tail(self):
        return "\n".join(self.daemon.log().splitlines()[-15:])


def program(name, variant="static-O3"):
    return PROGRAMS / f"{name}.{variant}"
