"""nvcc, where the machine has one, and what it compiles."""

import shutil
import subprocess
import threading
from pathlib import Path

from .attempt import Unavailable


class Toolkit:
    def __init__(self):
        found = shutil.which("nvcc")
        candidates = [Path(found)] if found else sorted(Path("/usr/local").glob("cuda*/bin/nvcc"))
        self.nvcc = candidates[0] if candidates else None
        self.libraries = self.nvcc.resolve().parent.parent / "lib64" if self.nvcc else None
        self.locks = {}
        self.guard = threading.Lock()

    def compiled(self, row, work):
        """The row's program, compiled once for both sides. Raises Unavailable with the compiler's words."""
        with self.guard:
            lock = self.locks.setdefault(row.name, threading.Lock())
        program = work / "bin" / row.name
        with lock:
            if not program.exists():
                program.parent.mkdir(parents=True, exist_ok=True)
                result = subprocess.run([self.nvcc, "-O2", "-std=c++17", row.path, "-o", program, *row.link],
                                        capture_output=True, text=True, check=False)
                if result.returncode:
                    raise Unavailable(f"not compiled: {(result.stderr or result.stdout)[:1500]}")
        return program
