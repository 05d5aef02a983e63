"""tests/gpu/run without a GPU: its rows through vgpud on the software GPU, and how it judges what two sides gave."""

import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

from harness import BUILD, PROGRAM_SECONDS, PROGRAMS, SANITIZER

GPU_TESTS = Path(__file__).resolve().parents[1] / "gpu"
sys.path.append(str(GPU_TESTS))

from runner import report, rows  # noqa: E402
from runner.attempt import Attempt, run_side  # noqa: E402

RESULT = "result sum 0.1\n"


class Judged(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.context = types.SimpleNamespace(work=Path(folder.name))

    def judge(self, kind, native, forwarded, files=()):
        """files: (side, name, text) of what the sides have written."""
        for side, name, text in files:
            where = self.context.work / f"row.{side}"
            where.mkdir(exist_ok=True)
            (where / name).write_text(text, encoding="utf-8")
        return report.Finished(rows.Row("row", Path("row.py"), kind), native, forwarded, self.context)

    def test_equal_results_are_the_same(self):
        files = [(side, "sum.npy", "bytes") for side in ("native", "forwarded")]
        item = self.judge("workload", Attempt("ok", 1, RESULT), Attempt("ok", 1, RESULT, {"cuFoo": 2}), files)
        self.assertTrue(item.same)
        self.assertFalse(item.failed)
        self.assertEqual(item.refused(), "cuFoo")

    def test_a_result_that_is_missing_differs(self):
        files = [(side, "sum.npy", "bytes") for side in ("native", "forwarded")]
        self.assertTrue(self.judge("workload", Attempt("ok", 1, RESULT), Attempt("ok", 1, ""), files).failed)

    def test_only_what_passes_natively_can_fail(self):
        failed = Attempt("exit 1", 1, "why")
        self.assertTrue(self.judge("workload", Attempt("ok", 1, RESULT), failed).failed)
        self.assertFalse(self.judge("workload", failed, failed).failed)
        self.assertIn("forwarded: why", self.judge("workload", Attempt("ok", 1, RESULT), failed).details())

    def test_a_suite_is_judged_test_by_test(self):
        files = [("native", "tests.txt", "passed a\npassed b\nfailed c\n"),
                 ("forwarded", "tests.txt", "passed a\npassed b\nfailed b\nfailed c\n")]
        item = self.judge("suite", Attempt("exit 1", 1), Attempt("exit 1", 1), files)
        self.assertTrue(item.failed)
        self.assertEqual(item.lost, ["b"])
        self.assertEqual([item.side(0), item.side(1)], ["2 passed, 1 failed", "1 passed, 2 failed"])

    def test_a_row_that_cannot_be_run_stands_in_the_table(self):
        row = rows.Row("row", Path("row.py"), "workload", needs=["vgpu_no_such_module"])
        context = types.SimpleNamespace(work=self.context.work, toolkit=None,
                                        options=types.SimpleNamespace(out=self.context.work))
        attempts = [run_side(row, side, context) for side in ("native", "forwarded")]
        item = report.Finished(row, *attempts, context)
        self.assertFalse(item.failed)
        self.assertEqual(item.side(0), "no vgpu_no_such_module here")
        self.assertEqual(item.verdict(), "not run")

    def test_lines_that_must_be_the_same(self):
        attempts = [Attempt("ok", 1, "same: 1\n"), Attempt("ok", 1, "same: 2\n")]
        self.assertTrue(self.judge("program", *attempts).failed)
        self.assertFalse(self.judge("program", attempts[0], attempts[0]).failed)


class Run(unittest.TestCase):
    @unittest.skipIf(SANITIZER, "guests need more to load an instrumented library")
    def test_rows_through_vgpud(self):
        with tempfile.TemporaryDirectory() as out:
            done = subprocess.run(
                [sys.executable, GPU_TESTS / "run", "--build", BUILD, "--gpu", "software", "--forwarded-only",
                 "--programs", PROGRAMS, "--jobs", "2", "--only", "vector_add.*", "--out", out, "--markdown",
                 Path(out) / "table.md"],
                capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            table = (Path(out) / "table.md").read_text(encoding="utf-8")
        built = [path.name for path in PROGRAMS.glob("vector_add.*-*")]
        self.assertTrue(built)
        for name in built:
            self.assertRegex(table, rf"\| {name} \|  \| - \| ok \| - \| - \|")


if __name__ == "__main__":
    unittest.main()
