"""Stand in for packages that frameworks' test helpers import and that need not be there; a test that uses one is
skipped."""

import importlib.util
import sys
import types
import unittest


class Missing:
    def __init__(self, *_, **__):
        raise unittest.SkipTest("it needs a package that is not installed")


def stand_in(name, **attributes):
    """A module `name`; what else is looked up in it is Missing."""
    def look_up(attribute):
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return Missing

    module = types.ModuleType(name)
    module.__path__ = []
    module.__getattr__ = look_up
    vars(module).update(attributes)
    sys.modules[name] = module


def provide_expecttest():
    """PyTorch's test helpers derive their test case from its one class."""
    if importlib.util.find_spec("expecttest") is None:
        stand_in("expecttest", TestCase=unittest.TestCase)


def provide_filecheck():
    """Numba's test helpers compare generated code by it."""
    if importlib.util.find_spec("filecheck") is None:
        for part in ("", ".matcher", ".options", ".parser", ".finput", ".error", ".compiler"):
            stand_in(f"filecheck{part}")
