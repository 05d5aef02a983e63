"""vgpud as a service: what it tells systemd (sd_notify, watchdog), and its log as JSON and in the journal."""

import json
import os
import socket
import subprocess
import tempfile
import threading
import unittest

from harness import SANITIZER, Daemon, program, wait_until


class Manager:
    """A service manager's end of NOTIFY_SOCKET."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="vgpu-notify-")
        self.path = f"{self.folder.name}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(self.path)
        self.told = []

    def look(self):
        try:
            while True:
                self.told += self.socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.told

    def count(self, line):
        return self.look().count(line)

    def close(self):
        self.socket.close()
        self.folder.cleanup()


class Service(unittest.TestCase):
    def setUp(self):
        self.manager = Manager()
        self.addCleanup(self.manager.close)

    def test_ready_reloading_stopping(self):
        with Daemon("", variables={"NOTIFY_SOCKET": self.manager.path}) as daemon:
            wait_until(lambda: any(line.startswith("STATUS=serving 2 pools") for line in self.manager.look()),
                       lambda: f"it never serves: {self.manager.told}")
            self.assertEqual(self.manager.count("READY=1"), 1)
            daemon.reload("")
            wait_until(lambda: self.manager.count("READY=1") == 2, "the reload is never over")
            told = self.manager.told
            self.assertLess(told.index("RELOADING=1"), len(told) - 1 - told[::-1].index("READY=1"))
            self.assertTrue(any(line.startswith("MONOTONIC_USEC=") for line in told))
            self.assertEqual(self.manager.count("WATCHDOG=1"), 0)  # nobody asked for it
            daemon.stop()
            self.assertEqual(self.manager.count("STOPPING=1"), 1)

    def test_the_watchdog_is_fed_while_the_actors_answer(self):
        # systemd names the process that it means.
        start = ["sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh"]
        with Daemon("", prefix=start, variables={"NOTIFY_SOCKET": self.manager.path, "WATCHDOG_USEC": "200000"}):
            wait_until(lambda: self.manager.count("WATCHDOG=1") >= 3, "the watchdog is not fed")


class JsonLog(unittest.TestCase):
    def test_each_line_is_an_object(self):
        config = '[daemon]\nlog_format = "json"\n[[pool]]\nname = "A"\n[[vm]]\nid = 5\npool = "A"\n'
        with Daemon(config) as daemon:
            with daemon.guest(program("steps"), vm=5) as guest:
                guest.ask("unsupported")
                self.assertRegex(guest.ask("work"), "^ok")
            daemon.wait_idle()
            lines = [json.loads(line) for line in daemon.log().splitlines()]
        opened = next(line for line in lines if line["msg"] == "session opened")
        self.assertEqual((opened["vm"], opened["pool"], opened["level"]), (5, "A", "info"))
        self.assertRegex(opened["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        unsupported = next(line for line in lines if line["msg"] == "unsupported call")
        self.assertEqual((unsupported["call"], unsupported["vm"]), ("cuImportExternalMemory", 5))
        self.assertTrue([line for line in lines if line.get("call") == "cuMemAlloc"], "calls are not in the log")

    def test_a_format_that_is_none(self):
        with self.assertRaisesRegex(AssertionError, 'log_format in .*expected "text", "json" or "journald"'):
            Daemon('[daemon]\nlog_format = "xml"\n')


def can_have_own_journal():
    """True where a process may have a file system of its own, with another journal's socket."""
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/run"], capture_output=True)
    return probe.returncode == 0


@unittest.skipUnless(os.getuid() == 0 and can_have_own_journal(), "needs a mount namespace of its own")
@unittest.skipIf(SANITIZER, "a sanitizer's reports would go astray")
class Journal(unittest.TestCase):
    def test_lines_have_fields(self):
        with tempfile.TemporaryDirectory(prefix="vgpu-journal-") as folder:
            journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            journal.bind(f"{folder}/socket")
            entries = []

            def read():  # without a break: who logs waits for the journal
                while entry := journal.recv(1 << 16):
                    entries.append(entry.decode())

            reader = threading.Thread(target=read)
            reader.start()
            start = ["unshare", "-m", "sh", "-c",
                     f'mkdir -p /run/systemd/journal && mount --bind {folder} /run/systemd/journal && exec "$@"', "sh"]
            config = '[daemon]\nlog_format = "journald"\n[[pool]]\nname = "A"\n[[vm]]\nid = 5\npool = "A"\n'
            with Daemon(config, prefix=start) as daemon:
                result = daemon.run(program("vector_add"), vm=5)
                self.assertEqual(result.returncode, 0, result.stdout)
                wait_until(lambda: any("session closed" in entry for entry in entries), lambda: f"{entries}")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", f"{folder}/socket")
            reader.join()
            journal.close()
            opened = next(entry for entry in entries if "MESSAGE=session opened" in entry).splitlines()
            for field in ("PRIORITY=6", "VM=5", "POOL=A", "VGPU_VM=5", "SYSLOG_IDENTIFIER=vgpud"):
                self.assertIn(field, opened)
            self.assertTrue(any(field.startswith("SESSION=") for field in opened), opened)


if __name__ == "__main__":
    unittest.main()
