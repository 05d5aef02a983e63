"""What the two sides gave: results (arrays with a tolerance), lines after `same:`, outcomes of a suite's tests."""

import re
from collections import Counter

try:
    import numpy
except ImportError:
    numpy = None

RESULT = re.compile(r"^result (\S+) (\S+)$", re.M)


def results_of(attempt):
    """Tolerance of each result that the side has written."""
    return {name: float(tolerance) for name, tolerance in RESULT.findall(attempt.output)}


def difference(native, forwarded):
    """The largest difference of two arrays' elements over the largest element; None where shapes, types or what is
    finite differ."""
    a, b = (numpy.load(path, allow_pickle=False) for path in (native, forwarded))
    if a.shape != b.shape or a.dtype != b.dtype:
        return None
    kind = numpy.complex128 if a.dtype.kind == "c" else numpy.float64
    a, b = a.astype(kind), b.astype(kind)
    odd = ~(numpy.isfinite(a) & numpy.isfinite(b))
    if not numpy.array_equal(a[odd], b[odd], equal_nan=True):
        return None
    a, b = a[~odd], b[~odd]
    if not a.size:
        return 0.0
    return float(numpy.abs(a - b).max() / max(numpy.abs(a).max(), 1e-30))


def compare_results(native, forwarded, native_folder, forwarded_folder):
    """(same, text) of the arrays."""
    tolerances = results_of(native)
    if set(tolerances) != set(results_of(forwarded)):
        return False, "other results"
    worst = 0.0
    for name, tolerance in tolerances.items():
        paths = native_folder / f"{name}.npy", forwarded_folder / f"{name}.npy"
        if paths[0].read_bytes() == paths[1].read_bytes():
            continue
        if numpy is None:
            return False, f"{name}: bytes differ, and no numpy here to say how much"
        apart = difference(*paths)
        if apart is None or apart > tolerance:
            return False, f"{name} differs by {'shape, type or what is finite' if apart is None else f'{apart:.1e}'}"
        worst = max(worst, apart)
    count = f"{len(tolerances)} results" if len(tolerances) != 1 else "1 result"
    return True, f"{count} equal" if worst == 0 else f"{count} within tolerance, at most {worst:.0e} apart"


def tests_of(folder):
    """Outcome of each test of a suite, by name; what has failed once has failed."""
    try:
        lines = (folder / "tests.txt").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    tests = {}
    for line in lines:
        outcome, _, name = line.partition(" ")
        if tests.get(name) != "failed":
            tests[name] = outcome
    return tests


def counts(tests):
    number = Counter(tests.values())
    return ", ".join(f"{number[name]} {name}" for name in ("passed", "failed", "skipped") if number[name])


def compare_tests(native, forwarded):
    """(same, text, names): tests that pass natively and do not forwarded."""
    lost = sorted(name for name, outcome in native.items() if outcome == "passed" and forwarded.get(name) != "passed")
    return not lost, "as natively" if not lost else f"{len(lost)} pass natively only", lost


def compare_lines(native, forwarded):
    """What a program prints after `same:` does not depend on how its calls reach the GPU."""
    a, b = ([line for line in attempt.output.splitlines() if line.startswith("same:")]
            for attempt in (native, forwarded))
    if a != b:
        return False, "its `same:` lines differ"
    return True, f"{len(a)} `same:` lines equal" if a else "its own check"
