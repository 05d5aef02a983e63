"""The daemon's beginning and end: clean ends, a second daemon, wrong configurations, and no daemon at all."""

import re
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import (SANITIZER_ENVIRONMENT, VGPU_RUN, VGPUD, WAIT_SECONDS, Daemon, base_environment, process_state, program,
                     run_program, wait_until)


def shared_memory():
    """What lies in /dev/shm under our name."""
    return {path.name for path in Path("/dev/shm").glob("*vgpu*")}


class CleanEnd(unittest.TestCase):
    def end_with(self, how, busy):
        before = shared_memory()
        daemon = Daemon()
        try:
            with daemon.guest(program("steps"), vm=1, pool="A") as guest:
                self.assertEqual(guest.ask("work")[:2], "ok")
                if busy:
                    self.assertEqual(guest.ask("spin"), "ok spinning")
                executors = daemon.executors()
                self.assertEqual(len(executors), 1)
                self.assertEqual(daemon.stop(how), 0, daemon.log()[-4000:])
                self.assertFalse(daemon.socket.exists(), "the socket is left")
                for pid in executors:
                    wait_until(lambda pid=pid: process_state(pid) is None, "an executor is left")
                self.assertEqual(shared_memory(), before)
                # The guest is told, and does not hang.
                answer = guest.answer() if busy else guest.ask("work")
                self.assertRegex(answer, r"^error cuda\w+$")
        finally:
            daemon.kill()

    def test_sigterm(self):
        self.end_with(signal.SIGTERM, busy=False)

    def test_sigint(self):
        self.end_with(signal.SIGINT, busy=False)

    def test_sigterm_with_a_busy_guest(self):
        self.end_with(signal.SIGTERM, busy=True)

    def test_killed_daemon_leaves_no_executor(self):
        daemon = Daemon()
        try:
            with daemon.guest(program("steps"), vm=1, pool="A") as guest:
                self.assertEqual(guest.ask("work")[:2], "ok")
                executors = daemon.executors()
                daemon.process.kill()
                daemon.process.wait()
                for pid in executors:
                    wait_until(lambda pid=pid: process_state(pid) is None, "an executor outlives its daemon")
                self.assertRegex(guest.ask("work"), r"^error cuda\w+$")
            # The socket of a dead daemon is in nobody's way.
            command = list(daemon.command)
            with open(daemon.log_path, "ab") as log:
                again = subprocess.Popen(command, stdout=log, stderr=log, env=base_environment())
            try:
                wait_until(daemon.healthy, daemon.log)
            finally:
                again.terminate()
                self.assertEqual(again.wait(WAIT_SECONDS), 0)
        finally:
            daemon.kill()


class SecondDaemon(unittest.TestCase):
    def test_the_same_socket_is_refused(self):
        with Daemon() as daemon:
            command = [str(VGPUD), "--socket", str(daemon.socket), "--metrics", "off", "--gpu", "software"]
            second = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, env=base_environment())
            self.assertNotEqual(second.returncode, 0)
            self.assertIn(str(daemon.socket), second.stderr)
            result = daemon.run(program("vector_add"), "1000", vm=1, pool="A")
            self.assertEqual(result.returncode, 0, result.stdout)

    def test_the_same_port_is_refused(self):
        with Daemon() as daemon, tempfile.TemporaryDirectory() as folder:
            command = [str(VGPUD), "--socket", f"{folder}/s", "--metrics", f"127.0.0.1:{daemon.port}", "--gpu", "software"]
            second = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, env=base_environment())
            self.assertNotEqual(second.returncode, 0)
            self.assertIn(str(daemon.port), second.stderr)
            self.assertFalse(Path(folder, "s").exists())


class WrongConfiguration(unittest.TestCase):
    def check(self, text, line, *words, arguments=("--check-config",)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "wrong.toml"
            path.write_text(text)
            result = subprocess.run([str(VGPUD), "--config", str(path), *arguments], capture_output=True, text=True,
                                    timeout=WAIT_SECONDS, env=base_environment())
            self.assertEqual(result.returncode, 2, result)
            if line is not None:
                self.assertRegex(result.stderr, rf"(?m)^\S*wrong\.toml:{line}: ", result.stderr)
            for word in words:
                self.assertIn(word, result.stderr)

    def test_not_toml(self):
        self.check("[daemon]\nsocket = \n", 2)

    def test_unknown_key(self):
        self.check("[daemon]\nsockett = \"/tmp/x\"\n", 2, "sockett")

    def test_unknown_pool(self):
        self.check("[[vm]]\nid = 1\npool = \"Z\"\n", 3, "Z")

    def test_two_vms_of_one_id(self):
        self.check("[[vm]]\nid = 1\npool = \"A\"\n\n[[vm]]\nid = 1\npool = \"B\"\n", 6, "1")

    def test_wrong_gpu(self):
        self.check("gpu = \"fast\"\n", 1, "fast")

    def test_not_only_when_checking(self):
        """Started for real, it refuses in the same way, and starts nothing."""
        with tempfile.TemporaryDirectory() as folder:
            self.check("gpu = \"fast\"\n", 1, "fast", arguments=("--socket", f"{folder}/s"))
            self.assertFalse(Path(folder, "s").exists())

    def test_missing_file(self):
        result = subprocess.run([str(VGPUD), "--config", "/nonexistent/vgpud.toml"], capture_output=True, text=True,
                                timeout=WAIT_SECONDS, env=base_environment())
        self.assertEqual(result.returncode, 2, result)
        self.assertIn("/nonexistent/vgpud.toml", result.stderr)

    def test_a_good_one_passes(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "good.toml"
            path.write_text("[[pool]]\nname = \"C\"\ngpu = \"software\"\n\n[[vm]]\nid = 5\nname = \"five\"\npool = \"C\"\n")
            result = subprocess.run([str(VGPUD), "--config", str(path), "--check-config"], capture_output=True, text=True,
                                    timeout=WAIT_SECONDS, env=base_environment())
            self.assertEqual(result.returncode, 0, result)


class ConfiguredVms(unittest.TestCase):
    CONFIG = ("[[pool]]\nname = \"training\"\n\n[[pool]]\nname = \"inference\"\n\n"
              "[[vm]]\nid = 5\nname = \"five\"\npool = \"inference\"\n\n[unregistered]\nallow = false\n")

    def test_registered_and_refused(self):
        with Daemon(config=self.CONFIG) as daemon:
            good = daemon.run(program("vector_add"), "1000", vm=5)
            self.assertEqual(good.returncode, 0, good.stdout)
            self.assertEqual(daemon.metrics().value("vgpu_kernels_launched_total", vm=5, pool="inference"), 1)
            refused = daemon.run(program("vector_add"), "1000", vm=6)
            self.assertEqual(refused.returncode, 1, refused.stdout)
            self.assertIn("FAILED", refused.stdout)
            self.assertEqual(daemon.metrics().value("vgpu_sessions"), 0)


class NoDaemon(unittest.TestCase):
    def test_vgpu_run_says_so(self):
        with tempfile.TemporaryDirectory() as folder:
            result = run_program([str(VGPU_RUN), "--socket", f"{folder}/none", str(program("vector_add"))],
                                 {**base_environment(), **SANITIZER_ENVIRONMENT})
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(f"{folder}/none", result.stdout)
            self.assertTrue(re.search(r"no daemon|vgpud", result.stdout), result.stdout)


if __name__ == "__main__":
    unittest.main()
