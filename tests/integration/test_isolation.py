"""What goes wrong in one session stays there: killed guests, killed executors, faults, hangs."""

import os
import signal
import unittest

from harness import DaemonTest, process_state, program, wait_until


class Isolation(DaemonTest):
    LOG_LEVEL = "info"

    def setUp(self):
        self.neighbour = self.daemon.guest(program("steps"), vm=900, pool="B")
        self.addCleanup(self.neighbour.__exit__)
        self.assertEqual(self.neighbour.ask("work")[:2], "ok")
        self.neighbour_executors = self.daemon.executors()
        self.assertEqual(len(self.neighbour_executors), 1)

    def tearDown(self):
        """Whatever was done, the neighbour works on with the executor that it had."""
        self.assertEqual(self.neighbour.ask("work")[:2], "ok", self.log_tail())
        wait_until(lambda: self.daemon.executors() == self.neighbour_executors,
                   lambda: f"executors {self.daemon.executors()}, the neighbour's: {self.neighbour_executors}")
        self.assertEqual(self.neighbour.finish(), 0)
        self.daemon.wait_idle()
        self.assertEqual(self.daemon.metrics().value("vgpu_memory_used_bytes"), 0)

    def new_executor(self):
        return wait_until(lambda: [pid for pid in self.daemon.executors() if pid not in self.neighbour_executors],
                          "no executor was started")[0]

    def test_guest_killed_in_mid_launch(self):
        for _ in range(3):
            guest = self.daemon.guest(program("steps"), vm=901, pool="A")
            with guest:
                self.assertEqual(guest.ask("alloc 8388608")[:2], "ok")
                self.assertEqual(guest.ask("spin"), "ok spinning")
                executor = self.new_executor()
                launched = self.daemon.metrics().value("vgpu_kernels_launched_total", vm=901)
                wait_until(lambda: self.daemon.metrics().value("vgpu_kernels_launched_total", vm=901) > launched,
                           "no kernel is launched")
                # The whole group: vgpu-run, if it stays, and the program.
                os.killpg(guest.process.pid, signal.SIGKILL)
                wait_until(lambda: process_state(executor) is None, "the executor outlives its guest")
            wait_until(lambda: self.daemon.metrics().value("vgpu_sessions", vm=901) == 0, "the session is still counted")
            self.assertEqual(self.daemon.metrics().value("vgpu_memory_used_bytes", vm=901), 0)

    def test_executor_killed(self):
        faults = self.daemon.metrics().value("vgpu_faults_total", vm=902, reason="executor_died")
        with self.daemon.guest(program("steps"), vm=902, pool="A") as guest:
            self.assertEqual(guest.ask("work")[:2], "ok")
            os.kill(self.new_executor(), signal.SIGKILL)
            answer = guest.ask("work")
            self.assertRegex(answer, r"^error cuda\w+$")
            self.assertNotEqual(answer, "error cudaErrorNotSupported")
            # And it stays: the session is gone, whatever is asked.
            self.assertRegex(guest.ask("work"), r"^error cuda\w+$")
            guest.finish()
        wait_until(lambda: self.daemon.metrics().value("vgpu_faults_total", vm=902, reason="executor_died") == faults + 1,
                   lambda: str(self.daemon.metrics().select("vgpu_faults_total")))
        self.assertTrue(self.daemon.log_lines("vm=902", "executor_died"), self.daemon.log()[-3000:])

    def test_executor_killed_while_the_guest_waits(self):
        with self.daemon.guest(program("steps"), vm=903, pool="A") as guest:
            self.assertEqual(guest.ask("spin"), "ok spinning")
            os.kill(self.new_executor(), signal.SIGKILL)
            # spin comes back by itself, with the error that it met.
            self.assertRegex(guest.answer(), r"^error cuda\w+$")
            guest.finish()

    def test_stopped_guest_holds_nobody_up(self):
        with self.daemon.guest(program("steps"), vm=904, pool="A") as guest:
            self.assertEqual(guest.ask("spin"), "ok spinning")
            os.killpg(guest.process.pid, signal.SIGSTOP)
            try:
                self.assertEqual(self.neighbour.ask("work")[:2], "ok")
                self.assert_passes(self.daemon.run(program("vector_add"), vm=905, pool="A"), "vector_add")
            finally:
                os.killpg(guest.process.pid, signal.SIGCONT)
            self.assertEqual(guest.finish(), 0)

    def test_illegal_address_is_one_session_s_own(self):
        faults = self.daemon.metrics().value("vgpu_faults_total", vm=906)
        result = self.daemon.run(program("illegal_address"), vm=906, pool="A")
        self.assert_passes(result, "illegal_address")
        wait_until(lambda: self.daemon.metrics().value("vgpu_faults_total", vm=906, reason="gpu_fault") == faults + 1,
                   lambda: str(self.daemon.metrics().select("vgpu_faults_total")))

    def test_many_sessions_come_and_go(self):
        guests = [self.daemon.guest(program("steps"), vm=910 + i, pool="AB"[i % 2]) for i in range(6)]
        try:
            for guest in guests:
                guest.tell("work")
            for guest in guests:
                self.assertEqual(guest.answer()[:2], "ok")
            self.assertEqual(self.daemon.metrics().value("vgpu_sessions"), 7)
            for guest in guests:
                self.assertEqual(guest.finish(), 0)
        finally:
            for guest in guests:
                guest.__exit__()


if __name__ == "__main__":
    unittest.main()
