"""Twenty sessions at a time that work, fault, hang and die, while the configuration changes: what survives is right, and
nothing is left over. VGPU_CHAOS_SECONDS and VGPU_CHAOS_SEED say how long and which."""

import json
import os
import random
import signal
import threading
import time
import unittest

from harness import SANITIZER, SLOWNESS, DaemonTest, children_of, program, wait_until

SECONDS = float(os.environ.get("VGPU_CHAOS_SECONDS", 20 if SANITIZER else 120))
SEED = int(os.environ.get("VGPU_CHAOS_SEED", 1))
SESSIONS = 20
VMS = range(1, 6)


def configuration(chance):
    text = '[[pool]]\nname = "A"\n[[pool]]\nname = "B"\nfloor_percent = 20\n[quarantine]\nfaults = 0\n'
    for vm in VMS:
        keys = {"pool": "AB"[vm % 2], "weight": chance.randint(1, 1000),
                "priority": chance.choice(["low", "medium", "high"]), "memory": "512MiB", "max_kernel_seconds": 1}
        text += f"[[vm]]\nid = {vm}\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    return text


class Chaos(DaemonTest):
    LOG_LEVEL = "info"
    CONFIG = configuration(random.Random(SEED))

    def setUp(self):
        self.end = time.monotonic() + SECONDS
        self.lock = threading.Lock()
        self.counts = {}
        self.lost = 0  # answers that only a killed executor explains
        self.killed = 0  # executors that this test killed
        self.failures = []

    def note(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def ask(self, guest, command):
        """False: the session was lost. What is answered otherwise is `ok`, which the program has checked."""
        answer = guest.ask(command)
        if answer.startswith("ok"):
            return True
        if not answer.startswith("error "):
            raise AssertionError(answer)
        with self.lock:
            self.lost += 1
        return False

    def works(self, guest, chance):
        for _ in range(chance.randint(1, 20)):
            if not self.ask(guest, "work"):
                guest.finish()
                return
        self.assertEqual(guest.finish(), 0)

    def holds_memory(self, guest, chance):
        if self.ask(guest, f"alloc {chance.randint(1, 16) << 20}") and self.ask(guest, "work"):
            guest.kill()

    def is_killed(self, guest, chance):
        guest.tell(chance.choice(["spin", "saturate"]))
        time.sleep(chance.random())
        guest.kill()

    def hangs(self, guest, chance):
        if not self.ask(guest, "work"):
            return
        guest.tell("hang")
        if chance.random() < 0.5:
            time.sleep(chance.random())
            guest.kill()
            return
        # Others want the GPU, so that it is ended; if they don't for a while, it goes on.
        try:
            self.assertRegex(guest.answer(5 * SLOWNESS), "^error cuda(ErrorLaunchTimeout|ErrorUnknown)$")
        except AssertionError as error:
            if "the guest hangs" not in str(error):
                raise
        guest.kill()

    def faults(self, vm):
        result = self.daemon.run(program("illegal_address"), vm=vm)
        if result.returncode != 0:
            with self.lock:
                self.lost += 1

    def session(self, number):
        chance = random.Random(SEED * 1000 + number)
        actions = [self.works] * 4 + [self.holds_memory, self.is_killed, self.hangs, self.faults]
        try:
            while time.monotonic() < self.end and not self.failures:
                action, vm = chance.choice(actions), chance.choice(VMS)
                self.note(action.__name__)
                if action == self.faults:
                    self.faults(vm)
                    continue
                with self.daemon.guest(program("steps"), vm=vm) as guest:
                    action(guest, chance)
        except Exception as error:  # any: the test ends, and says so
            self.failures.append(f"session {number}: {error!r}")

    def kill_an_executor(self, chance):
        executors = self.daemon.executors()
        if not executors:
            return
        try:
            os.kill(chance.choice(executors), signal.SIGKILL)
        except ProcessLookupError:
            return
        self.killed += 1

    def wait_for_spares(self):
        """Until as many processes wait for sessions as should, and no others are there."""
        wait_until(lambda: list(children_of(self.daemon.process.pid).values()) == ["vgpu-executor"] * 2,
                   lambda: f"processes are left: {children_of(self.daemon.process.pid)}")

    def test_what_survives_is_right_and_nothing_is_left(self):
        folder = f"/proc/{self.daemon.process.pid}/fd"
        with self.daemon.guest(program("steps"), vm=1) as guest:
            self.assertEqual(guest.ask("work")[:2], "ok")
            self.assertEqual(guest.finish(), 0)
        self.daemon.wait_idle()
        self.wait_for_spares()
        descriptors = len(os.listdir(folder))
        chance = random.Random(SEED)
        sessions = [threading.Thread(target=self.session, args=[number]) for number in range(SESSIONS)]
        for session in sessions:
            session.start()
        while any(session.is_alive() for session in sessions):
            time.sleep(1)
            self.kill_an_executor(chance)
            if chance.random() < 0.3:
                self.assertIn("was reloaded", self.daemon.reload(configuration(chance)))
            if chance.random() < 0.1:
                self.assertIn("is not reloaded", self.daemon.reload("[[pool]]\nname = 7\n"))
        for session in sessions:
            session.join()
        print(f"seed {SEED}: {self.counts}, {self.killed} executors killed, {self.lost} sessions lost", flush=True)
        self.assertEqual(self.failures, [], self.log_tail())
        self.assertLessEqual(self.lost, self.killed)
        self.daemon.wait_idle()
        metrics = self.daemon.metrics()
        self.assertEqual(metrics.value("vgpu_memory_used_bytes"), 0)
        for reason in ("watchdog", "gpu_fault", "executor_died") if SECONDS >= 60 else ():
            self.assertGreater(metrics.value("vgpu_faults_total", reason=reason), 0, reason)
        self.wait_for_spares()
        self.assertLessEqual(len(os.listdir(folder)), descriptors, os.listdir(folder))
        # No lease is left over: each pool serves who comes.
        for vm in VMS:
            self.assert_passes(self.daemon.run(program("vector_add"), vm=vm), "vector_add")


if __name__ == "__main__":
    unittest.main()
