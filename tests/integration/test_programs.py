"""Every CUDA program, in every way it is built, gives its right result as a guest."""

import unittest

from harness import PROGRAMS, SANITIZER, DaemonTest

# With a sanitizer, one static and one shared build, one plain and one optimized, and what -G makes.
SANITIZED_VARIANTS = ("static-O3", "shared-O0", "static-G")


def builds():
    found = {}
    for path in sorted(PROGRAMS.glob("*.*-*")):
        name, _, variant = path.name.partition(".")
        if not SANITIZER or variant in SANITIZED_VARIANTS:
            found[path.name] = (path, name, variant)
    return found


class Programs(DaemonTest):
    # Each call in the log would be megabytes here; test_call_log looks at it.
    LOG_LEVEL = "info"

    def test_all_are_there(self):
        names = {name for _, name, _ in builds().values()}
        variants = {variant for _, _, variant in builds().values()}
        self.assertGreaterEqual(len(names), 18, f"programs in {PROGRAMS}: {names}")
        self.assertGreaterEqual(variants, {"static-O3", "shared-O0"})


def make_test(path, name, number):
    def test(self):
        result = self.daemon.run(path, vm=100 + number % 7, pool="AB"[number % 2])
        self.assert_passes(result, name)
    return test


for number, (label, (path, name, _)) in enumerate(builds().items()):
    if name != "steps":  # driven line by line by the other tests
        setattr(Programs, "test_" + label.replace(".", "_").replace("-", "_"), make_test(path, name, number))


class Trap(DaemonTest):
    def test_trap_ends_like_an_illegal_address(self):
        result = self.daemon.run(PROGRAMS / "illegal_address.static-O3", "trap", vm=1, pool="A")
        self.assert_passes(result, "illegal_address")


if __name__ == "__main__":
    unittest.main()
