"""Numba's own tests, as its package ships them, each module in a process of its own; no row of its own."""

import importlib.util
import signal
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba_names  # noqa: F401
import stand_ins
from outcomes import Recorder, record

MODULE_SECONDS = 180


def run_module(name):
    """In the process of that module."""
    stand_ins.provide_filecheck()
    tests = unittest.defaultTestLoader.loadTestsFromName(name)
    unittest.TextTestRunner(resultclass=Recorder, stream=sys.stdout, verbosity=1).run(tests)


def run_process(name):
    """What is wrong with the process, or nothing: failed tests are recorded by themselves."""
    try:
        done = subprocess.run([sys.executable, __file__, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False, timeout=MODULE_SECONDS, text=True, errors="replace")
    except subprocess.TimeoutExpired as late:
        return name, f"not done in {MODULE_SECONDS} s", str(late.stdout)[-1500:]
    if done.returncode < 0:
        return name, signal.Signals(-done.returncode).name, done.stdout[-1500:]
    return name, "" if done.returncode == 0 else f"exit {done.returncode}", done.stdout[-3000:]


def run(folder, pattern="test_*.py", workers=4):
    package = Path(importlib.util.find_spec("numba_cuda").origin).parent / "numba/cuda/tests" / folder
    names = [f"numba.cuda.tests.{folder}.{path.stem}" for path in sorted(package.glob(pattern))]
    with ThreadPoolExecutor(workers) as pool:
        for name, wrong, output in pool.map(run_process, names):
            print(f"== {name}: {wrong or 'done'}\n{output}")
            if wrong:
                record("failed", name)


if __name__ == "__main__":
    run_module(sys.argv[1])
