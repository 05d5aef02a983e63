"""Guests that mean harm: each ends its own session, with a reason, and touches neither the daemon nor its neighbour."""

import unittest

from harness import HOSTILE_GUEST, PROGRAM_SECONDS, SANITIZER, DaemonTest, program, run_program, wait_until

VM = 666
# Each session starts an executor: with a sanitizer, fewer of a long series.
STEP = 7 if SANITIZER else 1


class Hostile(DaemonTest):
    LOG_LEVEL = "info"
    CONFIG = "[quarantine]\nfaults = 0\n"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.neighbour = cls.daemon.guest(program("steps"), vm=1, pool="B")
        if not cls.neighbour.ask("work").startswith("ok"):
            raise AssertionError("the neighbour does not even work alone")

    @classmethod
    def tearDownClass(cls):
        try:
            if cls.neighbour.finish() != 0:
                raise AssertionError("the neighbour ended badly")
        finally:
            cls.neighbour.__exit__()
            super().tearDownClass()

    def faults(self):
        return self.daemon.metrics().by("vgpu_faults_total", "reason", vm=VM)

    def attack(self, group, step=1):
        """Runs one group; returns its lines as (name, fields), after the neighbour has shown that it works on."""
        pid = self.daemon.process.pid
        result = run_program([str(HOSTILE_GUEST), str(self.daemon.socket), str(VM), group, str(step)],
                             self.daemon.environment(LD_PRELOAD=""), 10 * PROGRAM_SECONDS)
        self.assertEqual(result.returncode, 0, f"{result.stdout}\nlog: {self.log_tail()}")
        self.assertEqual(self.neighbour.ask("work")[:2], "ok", self.log_tail())
        self.assertIsNone(self.daemon.process.poll(), "the daemon has ended")
        self.assertEqual(pid, self.daemon.process.pid)
        wait_until(lambda: len(self.daemon.executors()) == 1, lambda: f"executors are left: {self.daemon.executors()}")
        lines = []
        for line in result.stdout.splitlines():
            name, *fields = line.split()
            lines.append((name, dict(field.split("=", 1) for field in fields)))
        self.assertTrue(lines)
        return lines

    def expect_ended(self, group, reasons, step=1):
        """Each deed of the group ended its session for one of `reasons`, in the guest's view, the counter's and the log's."""
        before = self.faults()
        lines = self.attack(group, step)
        for name, fields in lines:
            self.assertEqual(fields["ended"], "1", f"{name} did not end its session: {fields}")
            self.assertIn(fields["reason"], reasons, name)
            self.assertNotEqual(fields["result"], "0", name)
        counted = {}
        for _, fields in lines:
            counted[fields["reason"]] = counted.get(fields["reason"], 0) + 1

        def grown():
            now = self.faults()
            return {reason: now.get(reason, 0) - before.get(reason, 0)
                    for reason in now if now.get(reason, 0) != before.get(reason, 0)}

        wait_until(lambda: grown() == counted, lambda: f"counted {grown()}, ended {counted}")
        for reason in counted:
            self.assertTrue(self.daemon.log_lines(f"vm={VM}", reason), f"the log does not tell {reason}")

    def test_hello(self):
        for name, fields in self.attack("hello"):
            self.assertEqual(fields["open"], "0", f"{name} was given a session")
            if name == "version":
                self.assertEqual(fields["reason"], "version", fields)

    def test_truncated_records(self):
        self.expect_ended("truncate", {"bad_ring", "bad_record", "bad_request"}, STEP)

    def test_flipped_bits(self):
        self.expect_ended("flip", {"bad_check", "bad_record", "bad_request", "unknown_call"}, STEP)

    def test_headers(self):
        self.expect_ended("header", {"bad_record", "bad_request", "unknown_call"})

    def test_requests(self):
        self.expect_ended("request", {"version", "bad_request"})

    def test_ring(self):
        self.expect_ended("ring", {"bad_ring", "bad_record", "bad_check"})

    def test_offsets(self):
        self.expect_ended("bulk", {"bad_bulk"})

    def test_storms_are_borne(self):
        for name, fields in self.attack("storm"):
            self.assertEqual(fields["answered"], "1", name)

    def test_garbage(self):
        self.expect_ended("garbage", {"bad_ring", "bad_record", "bad_request", "bad_check", "unknown_call"},
                          4 if SANITIZER else 1)


if __name__ == "__main__":
    unittest.main()
