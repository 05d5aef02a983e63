#!/usr/bin/env python3
"""bench/native_speed/run on the software GPU: that it measures what it says, and names what it can't. No figure
is judged."""

import contextlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
BUILD = Path(sys.argv.pop(1)) if __name__ == "__main__" else HERE.parents[1] / "build/release"

import results  # noqa: E402
import rows  # noqa: E402


def run(*arguments, build=BUILD, seconds=200):
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run([HERE / "run", "--build", build, "--gpu", "software", "--quick", "--json", report,
                               *arguments],
                              capture_output=True, text=True, timeout=seconds, check=False)
        found = {}
        with contextlib.suppress(OSError):
            found = {row["name"]: row for row in json.loads(report.read_text())["rows"]}
        return done, found


class Measures(unittest.TestCase):
    def test_every_row_but_pytorch_on_both_sides(self):
        wanted = [row.name for row in rows.ROWS if row.program != rows.TORCH]
        done, found = run(*[f"--rows={name}" for name in wanted])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(sorted(found), sorted(wanted))
        for name, row in found.items():
            for side in ("native", "forwarded"):
                if side == "native" and name.startswith("daemon_"):
                    continue
                self.assertTrue(row[side].get("repetitions"), f"{name}, {side}")
            self.assertIn(row["title"], done.stdout)
        # A launch is one record, and nothing else but the settling of the batches.
        self.assertAlmostEqual(found["launch"]["calls"]["cuLaunchKernel"], 1)
        self.assertLess(found["launch"]["calls"]["cuStreamSynchronize"], 0.5)
        self.assertGreater(found["launch_sync"]["executor_cpu_percent"], 0)

    def test_repetitions_alternate_and_stop_at_the_budget(self):
        done, found = run("--rows=stream_query", "--repetitions=3")
        sides = [line.rpartition(", ")[2] for line in done.stderr.splitlines() if "repetition" in line]
        self.assertEqual(sides, ["native", "forwarded"] * 3)
        self.assertEqual(len(found["stream_query"]["forwarded"]["repetitions"]), 3)
        done, found = run("--rows=stream_query", "--repetitions=3", "--budget=0.001")
        self.assertEqual(len(found["stream_query"]["native"]["repetitions"]), 1)
        self.assertIn("left out", done.stdout)

    def test_a_row_that_is_not_there_is_refused(self):
        done, _ = run("--rows=no_such_row")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no_such_row", done.stderr)


class Failures(unittest.TestCase):
    """Programs that end, hang or fail in place of vgpu-bench."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = Path(folder.name)
        (self.build / "bin").mkdir()
        for program in (BUILD / "bin").iterdir():
            (self.build / "bin" / program.name).symlink_to(program)
        for name in ("guest", "lib"):
            (self.build / name).symlink_to(BUILD / name)

    def replace(self, script):
        program = self.build / "bin/vgpu-bench"
        program.unlink()
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def measure(self, *arguments):
        done, found = run("--rows=launch", "--rows=launch_sync", *arguments, build=self.build)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stdout, found

    def test_a_process_that_dies_in_a_row_goes_on_with_the_others(self):
        real = BUILD / "bin/vgpu-bench"
        self.replace(f'[[ " $* " == *" launch "* ]] || exec {real} "$@"\n'
                     'echo \'{"begin": "launch"}\'; read -r; echo "it broke" >&2; kill -SEGV $$')
        output, found = self.measure()
        self.assertEqual(found["launch"]["native"]["failures"], ["SIGSEGV: it broke"])
        self.assertTrue(found["launch_sync"]["forwarded"]["repetitions"])
        self.assertIn("it broke", output)

    def test_a_process_that_hangs_is_ended(self):
        self.replace('echo \'{"begin": "launch"}\'; sleep 1000')
        _, found = self.measure("--limit=0.3")
        self.assertEqual(found["launch"]["forwarded"]["failures"], ["not done in 0.3 s"])

    def test_a_process_that_never_starts_fails_all_its_rows(self):
        self.replace('echo "no library" >&2; exit 3')
        _, found = self.measure()
        for name in ("launch", "launch_sync"):
            self.assertEqual(found[name]["native"]["failures"], ["exit code 3: no library"])


class Tables(unittest.TestCase):
    def test_aims(self):
        for aim, forwarded, met in ((("ratio <=", 1.25), 12.5, True), (("ratio <=", 1.25), 12.6, False),
                                    (("ratio >=", 0.98), 9.7, False), (("added <=", 2), 12, True),
                                    (("value <=", 0.5), 0.6, False)):
            row = rows.Row("name", "title", "us", rows.CALLS, aim)
            measured = results.Measured(row, results.Side([[10.0]]), results.Side([[forwarded]]))
            self.assertEqual(measured.met(), met, (aim, forwarded))
            self.assertEqual("missed" in results.line(measured), not met)

    def test_medians_and_spread(self):
        measured = results.Measured(rows.Row("name", "title", "us", rows.CALLS), results.Side([[1.0, 2.0, 3.0], [2.0]]),
                                    results.Side([[2.0, 4.0, 6.0], [1.0]]))
        self.assertEqual(results.line(measured),
                         "| title [us] | 2.00 (1.75 to 2.25) | 3.00 (1.75 to 4.50) | 1.50x (0.50 to 2.00) |  |")

    def test_native_zero_is_no_ratio(self):
        measured = results.Measured(rows.BY_NAME["idle_wakeups"], results.Side([[0.0]]), results.Side([[0.0]]))
        self.assertIsNone(measured.ratio())
        self.assertTrue(measured.met())


if __name__ == "__main__":
    os.environ.pop("VGPU_SOCKET", None)
    unittest.main(verbosity=2)
