"""Spare executors: processes that wait for a session with their driver initialized."""

import os
import pwd
import shutil
import signal
import tempfile
import unittest
from pathlib import Path

from admin import vgpuctl
from harness import Daemon, DaemonTest, SANITIZER, children_of, program, wait_until
from test_gpus import FIRST, Sensors

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
SPARE = "vgpu-executor"


def spares(daemon):
    return [pid for pid, name in children_of(daemon.process.pid).items() if name == SPARE]


def wait_for_spares(test, daemon, count):
    wait_until(lambda: len(spares(daemon)) == count,
               lambda: f"{len(spares(daemon))} spares, not {count}: {children_of(daemon.process.pid)}\n{daemon.log()[-4000:]}")
    test.assertEqual(len(spares(daemon)), count)


class Spares(DaemonTest):
    CONFIG = '[[pool]]\nname = "A"\n[[pool]]\nname = "B"\n[[vm]]\nid = 1\npool = "A"\n[[vm]]\nid = 2\npool = "B"\n'

    def setUp(self):
        wait_for_spares(self, self.daemon, 2)  # for the one GPU of both pools

    def test_a_session_gets_one_and_another_takes_its_place(self):
        before = spares(self.daemon)
        with self.daemon.guest(program("steps"), vm=1) as guest:
            self.assertEqual(guest.ask("work")[:2], "ok")
            session = self.daemon.executors()
            self.assertEqual(len(session), 1)
            self.assertIn(session[0], before)
            wait_for_spares(self, self.daemon, 2)
            self.assertNotIn(session[0], spares(self.daemon))
            # It serves one session only.
            self.assertEqual(guest.finish(), 0)
        wait_until(lambda: not Path(f"/proc/{session[0]}").exists(), "the executor outlives its session")

    def test_they_are_nobodys(self):
        self.assertEqual(self.daemon.executors(), [])
        self.assertEqual(self.daemon.metrics().value("vgpu_sessions"), 0)
        self.assertEqual(self.daemon.metrics().value("vgpu_memory_used_bytes"), 0)

    def test_more_sessions_than_spares(self):
        guests = [self.daemon.guest(program("steps"), vm=vm) for vm in (1, 2, 1, 2, 1)]
        try:
            for guest in guests:
                self.assertEqual(guest.ask("work")[:2], "ok")
            self.assertEqual(len(self.daemon.executors()), 5)
            for guest in guests:
                self.assertEqual(guest.finish(), 0)
        finally:
            for guest in guests:
                guest.__exit__()

    def test_one_that_is_killed_hurts_nobody(self):
        for pid in spares(self.daemon):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.daemon.log_lines("no spare executors until a session starts", "killed by signal 9"),
                   "nobody notices a dead spare")
        self.assert_passes(self.daemon.run(program("vector_add"), vm=1), "vector_add")
        wait_for_spares(self, self.daemon, 2)

    def test_a_drained_gpu_is_not_held_open(self):
        for pool, left in (("A", 2), ("B", 0)):
            self.assertEqual(vgpuctl(self.daemon, "drain", pool).returncode, 0)
            wait_for_spares(self, self.daemon, left)
        for pool in ("A", "B"):
            self.assertEqual(vgpuctl(self.daemon, "resume", pool).returncode, 0)
        wait_for_spares(self, self.daemon, 2)

    def test_a_reload_changes_how_many(self):
        for count in (1, 0, 3):
            self.assertIn("was reloaded", self.daemon.reload(f"[executor]\nspares = {count}\n{self.CONFIG}"))
            wait_for_spares(self, self.daemon, count)
            self.assert_passes(self.daemon.run(program("vector_add"), vm=2), "vector_add")
        self.assertIn("is not reloaded", self.daemon.reload(f"[executor]\nspares = 65\n{self.CONFIG}"))
        self.assertIn("was reloaded", self.daemon.reload(self.CONFIG))
        wait_for_spares(self, self.daemon, 2)


class Ends(unittest.TestCase):
    def test_they_go_with_their_daemon(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(how=how.name):
                daemon = Daemon()
                self.addCleanup(daemon.kill)
                wait_for_spares(self, daemon, 2)
                left = spares(daemon)
                daemon.process.send_signal(how)
                daemon.process.wait()
                wait_until(lambda: not any(Path(f"/proc/{pid}/status").exists() for pid in left),
                           "spares outlive their daemon")

    def test_an_unhealthy_gpu_is_not_held_open(self):
        sensors = Sensors()
        self.addCleanup(sensors.folder.cleanup)
        pools = '[[pool]]\nname = "A"\ngpu = ["software", "software"]\n'
        with Daemon(pools, gpu=None, variables={"VGPU_SOFTGPU_NVML_STATE": str(sensors.path)}) as daemon:
            wait_for_spares(self, daemon, 4)  # two for each GPU
            sensors.say({}, [{"device": 0, "xid": 79}])
            wait_for_spares(self, daemon, 2)
            self.assertTrue(daemon.log_lines("a GPU is unhealthy", FIRST))

    @unittest.skipIf(SANITIZER, "a sanitizer's build has no walls around files")
    @unittest.skipUnless(os.getuid() == 0 and shutil.which("setpriv"), "needs root")
    def test_a_daemon_of_an_ordinary_user_keeps_none(self):
        """Its executors' folder of images would lead out of their mount view."""
        with tempfile.TemporaryDirectory(prefix="vgpu-test-images-") as folder:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
            config = f'[executor]\nimages = "{folder}"\n'
            with Daemon(config, prefix=AS_NOBODY, owner=pwd.getpwnam("nobody").pw_uid) as daemon:
                result = daemon.run(program("vector_add"))
                self.assertEqual(result.returncode, 0, result.stdout)
                if "files" in daemon.log_lines('msg="executor sandbox"')[0]:
                    self.assertEqual(spares(daemon), [])


if __name__ == "__main__":
    unittest.main()
