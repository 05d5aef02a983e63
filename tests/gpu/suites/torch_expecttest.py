"""Stands in for the package expecttest, which PyTorch's test helpers import and whose one class they derive from."""

import sys
import types
import unittest


def provide():
    try:
        import expecttest  # noqa: F401
    except ImportError:
        module = types.ModuleType("expecttest")
        module.TestCase = unittest.TestCase
        module.assert_expected_inline = lambda *_, **__: None
        sys.modules["expecttest"] = module
