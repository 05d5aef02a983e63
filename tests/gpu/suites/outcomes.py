"""How a suite tells the runner of each test, as it ends: so what was done counts even when the suite is cut off."""

import os
import unittest
from pathlib import Path

FILE = Path(os.environ.get("VGPU_RESULTS", ".")) / "tests.txt"


def record(outcome, name):
    """`outcome` is passed, failed or skipped."""
    with open(FILE, "a", encoding="utf-8") as file:
        file.write(f"{outcome} {name}\n")


def attempt(name, function):
    """Runs one test."""
    try:
        function()
    except unittest.SkipTest as reason:
        print(f"{name}: skipped: {reason}")
        record("skipped", name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {str(error)[:300]}")
        record("failed", name)
    else:
        record("passed", name)


class Recorder(unittest.TextTestResult):
    """Of tests that are unittest's."""

    def addSuccess(self, test):
        super().addSuccess(test)
        record("passed", test.id())

    def addError(self, test, err):
        super().addError(test, err)
        record("failed", test.id())

    def addFailure(self, test, err):
        super().addFailure(test, err)
        record("failed", test.id())

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            record("failed", test.id())

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        record("skipped", test.id())

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        record("passed", test.id())
