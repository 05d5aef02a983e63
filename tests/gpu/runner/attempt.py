"""One side of one row: the command in a process group of its own, with a limit, its output kept in a file."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

from . import rows
from .daemon import FAULTS, UNSUPPORTED, NotReady


@dataclass
class Attempt:
    outcome: str  # "ok", or why not
    seconds: float = 0.0
    output: str = ""
    refused: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)

    @property
    def ok(self):
        return self.outcome == "ok"

    def last_lines(self, count=6):
        lines = [line for line in self.output.splitlines() if line.strip()]
        return [line[:300] for line in lines[-count:]]


running = set()


def end_all():
    """Ends what execute() runs meanwhile, with all that it started."""
    for process in list(running):
        kill_group(process)


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Unavailable(Exception):
    """The row cannot be run on this machine; the text says why."""


def installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that is not there
        return False


def command_of(row, toolkit, options, work):
    """What to execute. Raises Unavailable."""
    missing = [name for name in row.needs if not installed(name)]
    if missing:
        raise Unavailable(f"no {', '.join(missing)} here")
    if row.path.suffix == ".py":
        return [sys.executable, str(row.path)]
    if row.path.suffix != ".cu":
        return [str(row.path)]
    if toolkit.nvcc:
        return [str(toolkit.compiled(row, work))]
    built = options.programs / row.name
    if not built.exists():
        raise Unavailable("no nvcc here")
    return [str(built)]


def environment_of(row, side, toolkit, folder):
    """Caches and temporary files of each side are its own: neither finds what the other has compiled."""
    environment = dict(os.environ)
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    environment.update(HOME=str(scratch), TMPDIR=str(scratch), XDG_CACHE_HOME=str(scratch),
                       CUDA_CACHE_PATH=str(scratch / "cuda"), VGPU_RESULTS=str(folder), PYTHONUNBUFFERED="1",
                       PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="2", TOKENIZERS_PARALLELISM="false",
                       HF_HUB_OFFLINE="1", VGPU_TEST_SIDE=side)
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(rows.HERE / "workloads"), str(rows.HERE / "suites"), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    if row.path.suffix != ".py" and toolkit.libraries:
        # Frameworks bring their own copies of these.
        environment["LD_LIBRARY_PATH"] = f"{environment.get('LD_LIBRARY_PATH', '')}:{toolkit.libraries}".lstrip(":")
    environment.update(row.environment)
    return environment


def execute(row, side, command, environment, out):
    """Runs the command; its standard output and error go to out."""
    begin = time.monotonic()
    with open(out, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   env=environment, cwd=environment["TMPDIR"], start_new_session=True)
        running.add(process)
        try:
            code = process.wait(row.seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # What the row left behind: workers of loaders and compilers.
            kill_group(process)
            process.wait()
            running.discard(process)
    seconds = time.monotonic() - begin
    if code is None:
        outcome = f"not done in {row.seconds} s"
    elif code < 0:
        outcome = signal.Signals(-code).name
    else:
        outcome = "ok" if code == 0 else f"exit {code}"
    return Attempt(outcome, seconds, out.read_text(encoding="utf-8", errors="replace"))


def run_side(row, side, context):
    """The row natively, or forwarded through a vgpud of its own for that time."""
    options = context.options
    folder = context.work / f"{row.name}.{side}"
    folder.mkdir(parents=True, exist_ok=True)
    out = options.out / f"{row.name}.{side}.out"
    try:
        command = command_of(row, context.toolkit, options, context.work)
    except Unavailable as reason:
        return Attempt(str(reason))
    environment = environment_of(row, side, context.toolkit, folder)
    if side == "native":
        return execute(row, side, command, environment, out)
    try:
        return run_forwarded(row, command, environment, out, context)
    except (NotReady, OSError) as error:
        return Attempt(f"vgpud does not answer\n{error}", 0.1)


def run_forwarded(row, command, environment, out, context):
    options = context.options
    with context.daemon() as daemon:
        before = [daemon.counted(pattern) for pattern in (UNSUPPORTED, FAULTS)]
        through = [str(options.build / "bin/vgpu-run"), "--socket", str(daemon.socket), "--vm-id", "111", "--pool", "A"]
        attempt = execute(row, "forwarded", through + command, environment, out)
        if not daemon.alive():
            attempt.outcome = "vgpud ended"
            return attempt
        if not daemon.wait_idle() and attempt.ok:
            attempt.outcome = "its session stays open"
        attempt.refused, attempt.faults = (
            {name: count - earlier.get(name, 0) for name, count in daemon.counted(pattern).items()
             if count > earlier.get(name, 0)} for pattern, earlier in zip((UNSUPPORTED, FAULTS), before))
        return attempt
