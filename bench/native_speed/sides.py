"""The two sides that are compared, and what each program's command is on them."""

import os
import re
import sys
import tempfile
import types
from pathlib import Path

import rows

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/gpu"))

from runner.daemon import Daemon  # noqa: E402

CALL = re.compile(r'^vgpu_calls_by_name_total\{[^}]*call="([^"]+)"[^}]*\} (\S+)$', re.M)
NATIVE, FORWARDED = "native", "forwarded"


class Native:
    """The driver's own library; the software GPU's, where that is what is measured."""

    name = NATIVE
    daemon = None

    def __init__(self, options, work):
        self.options = options
        self.folder = None
        if options.gpu.startswith("software"):
            self.folder = work / "software-gpu"
            self.folder.mkdir()
            library = options.build / "lib/libvgpu-softgpu.so"
            for name in ("libcuda.so.1", "libcuda.so"):
                (self.folder / name).symlink_to(library)

    def command(self, words):
        return words

    def environment(self):
        environment = clean_environment()
        if self.folder:
            environment["LD_LIBRARY_PATH"] = f"{self.folder}:{environment.get('LD_LIBRARY_PATH', '')}".rstrip(":")
        return environment


class Forwarded:
    """Our library, with a vgpud of its own."""

    name = FORWARDED

    def __init__(self, options, work):
        self.options = options
        settings = types.SimpleNamespace(build=options.build, libs=options.libs, gpu=options.gpu, out=work,
                                         debug_log=False)
        self.daemon = Daemon(0, settings, work)

    def command(self, words):
        return [str(self.options.build / "bin/vgpu-run"), "--socket", str(self.daemon.socket), "--vm-id", "111", *words]

    def environment(self):
        return clean_environment()

    def calls(self):
        """How often each call was made so far, by name."""
        counts = {}
        for name, count in CALL.findall(self.daemon.scrape()):
            counts[name] = counts.get(name, 0) + int(float(count))
        return counts


def clean_environment():
    """A guest's settings must not leak into the native side, nor somebody else's into ours; compiled code that is kept
    on disk would be the native side's alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VGPU_")}
    environment.update(CUDA_CACHE_DISABLE="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false",
                       PYTHONDONTWRITEBYTECODE="1", TMPDIR=tempfile.gettempdir())
    return environment


def words(program, names, options):
    """The command that measures rows of a program."""
    quick = ["--quick"] if options.quick else []
    if program == rows.TORCH:
        return [sys.executable, str(Path(__file__).with_name("torch_rows.py")), *quick, *names]
    if program == rows.DECODE:
        return [str(options.build / "bin/vgpu-bench-decode"), *quick]
    return [str(options.build / "bin/vgpu-bench"), *quick, *names]
