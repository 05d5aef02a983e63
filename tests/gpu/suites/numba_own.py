"""Numba's own tests, as its package ships them; no row of its own."""

import importlib.util
from pathlib import Path

from outcomes import run_pytest


def run(folder, pattern="test_*.py", workers=4):
    package = Path(importlib.util.find_spec("numba_cuda").origin).parent / "numba/cuda/tests" / folder
    files = sorted(str(path) for path in package.glob(pattern))
    run_pytest("--import-mode=importlib", *files, workers=workers)
