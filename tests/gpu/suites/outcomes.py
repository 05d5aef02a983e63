"""How a suite tells the runner of each test, as it ends, so that what was done counts even when the suite is cut off; as a
plugin of pytest (-p outcomes) too."""

import os
import sys
import traceback
from pathlib import Path

FILE = Path(os.environ.get("VGPU_RESULTS", ".")) / "tests.txt"
failed_ids = set()


def record(outcome, name):
    """`outcome` is passed, failed or skipped; a test that has failed once stays failed."""
    if outcome == "failed":
        failed_ids.add(name)
    elif name in failed_ids:
        return
    with open(FILE, "a", encoding="utf-8") as file:
        file.write(f"{outcome} {name}\n")


def attempt(name, function):
    """Runs one test of a suite that is no pytest one."""
    try:
        function()
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {str(error)[:300]}")
        if os.environ.get("VGPU_TRACEBACK"):
            traceback.print_exc()
        record("failed", name)
    else:
        record("passed", name)


def pytest_runtest_logreport(report):
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
        record(report.outcome, report.nodeid)


def run_pytest(*arguments, workers):
    """Exits as pytest does."""
    import pytest

    sys.exit(pytest.main([
        "-p", "outcomes", "-p", "no:cacheprovider", "-q", "-c", os.devnull, "--rootdir", str(Path.cwd()), "-n", str(workers),
        "--dist", "loadscope", "--timeout", "60", "--timeout-method", "thread", "--benchmark-disable", "--tb", "short",
        *arguments]))
