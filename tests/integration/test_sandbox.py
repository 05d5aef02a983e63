"""What code inside an executor can get at, with the sandbox and without it: a driver library that misbehaves tries."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BUILD, SANITIZER, VGPUD, Daemon, DaemonTest, program, wait_until

INTRUDER = BUILD / "tests/libintruder.so"
NOBODY = 65534
PARTS = {"no_new_privileges", "limits", "private_memory", "user", "processes", "files", "network", "ipc",
         "system_calls"}
ATTEMPT = re.compile(r'attempt="([^"]+)" result=(\w+) error="([^"]*)"')
# Without a sandbox, whoever has taken an executor over can do at least this, as any user and on any Linux.
PLAIN = {"signal the other executor", "signal the other executor by a descriptor", "see the other executor",
         "signal the daemon", "connect to the daemon's socket", "connect to the daemon's socket for QEMU",
         "connect to the metrics' port", "make a socket of the internet", "make a socket for datagrams",
         "read the configuration", "read the configuration from the folder of images", "read a list of users",
         "read the daemon's environment", "start a program", "become another program", "outlive the daemon"}

# What the other walls keep from it by themselves, if the filter of system calls had a gap.
BEYOND = {"read the other executor's memory by /proc", "read the other executor's memory by process_vm_readv",
          "trace the other executor", "signal the other executor", "signal the other executor by a descriptor",
          "signal everybody", "see the other executor", "limit the other executor", "hold the other executor",
          "trace the daemon", "signal the daemon", "connect to the daemon's socket",
          "connect to the daemon's socket for QEMU", "connect to the metrics' port", "read the configuration",
          "read the configuration from the folder of images", "read a list of users", "read secrets of users",
          "read the daemon's environment", "write into the root", "make a device", "become root", "start a program"}


AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def has_namespaces(prefix=()):
    """What the sandbox needs of the machine, by a program that knows nothing of the sandbox: containers may forbid it."""
    unshare = ("unshare", "--user", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "true")
    return subprocess.run([*prefix, *unshare], capture_output=True, check=False).returncode == 0


for_all = unittest.skipUnless(has_namespaces(), "this machine allows no namespaces")
for_nobody = unittest.skipUnless(os.getuid() == 0 and has_namespaces(AS_NOBODY),
                                 "only root can be another user, and one who may have namespaces")

os.environ["INTRUDER_WANTS"] = "a secret of the daemon's operator"


class Intrusion:
    """A daemon whose software GPU is the intruder, two guests with an executor each, and one of them let loose."""

    def __init__(self, sandbox, nobody=False, without=None):
        """`without`: a part that executors are never told to build."""
        self.home = Path(tempfile.mkdtemp(prefix="vgpu-intruder-"))
        (self.home / "bin").mkdir()
        (self.home / "lib").mkdir()
        (self.home / "images").mkdir()
        self.home.chmod(0o755)
        # The daemon finds its software GPU beside itself.
        shutil.copy2(VGPUD, self.home / "bin/vgpud")
        shutil.copy2(INTRUDER, self.home / "lib/libvgpu-softgpu.so")
        executor = BUILD / "bin/vgpu-executor"
        if without is not None:
            wrapper = self.home / "bin/executor"
            wrapper.write_text(f"""#!/bin/sh
kind=$1 parts=$(echo "$2" | tr , '\\n' | grep -vx {without} | paste -sd,)
shift 2
exec {executor} "$kind" "$parts" "$@"
""")
            wrapper.chmod(0o755)
            executor = wrapper
        config = f'[executor]\nsandbox = "{sandbox}"\npath = "{executor}"\nimages = "{self.home}/images"\n'
        prefix = ()
        if nobody:
            os.chown(self.home / "images", NOBODY, NOBODY)
            prefix = AS_NOBODY
        self.guests = []
        try:
            self.daemon = Daemon(config, log_level="info", gpu="software", vgpud=self.home / "bin/vgpud",
                                 prefix=prefix, owner=NOBODY if nobody else None)
        except AssertionError:
            shutil.rmtree(self.home, ignore_errors=True)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for guest in self.guests:
            guest.kill()
            guest.wait()
        self.daemon.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def start_guest(self, vm):
        """Returns its executor, and the address of the secret in it."""
        before = len(self.daemon.log_lines("intruder folder="))
        known = self.daemon.executors()
        self.guests.append(subprocess.Popen(self.daemon.command_for([program("device_query")], vm=vm),
                                            env=self.daemon.environment(), stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        line = wait_until(lambda: self.daemon.log_lines("intruder folder=")[before:],
                          lambda: f"no executor loads the intruder:\n{self.daemon.log()}")[0]
        executor = [pid for pid in self.daemon.executors() if pid not in known]
        return executor[0], line.partition("secret=")[2].strip()

    def attempts(self):
        """By attempt: succeeded or refused, and the error."""
        executor, address = self.start_guest(vm=1)
        self.start_guest(vm=2)
        folder = next(self.home.glob("images/vgpud-images-*/2-host-*"))
        ports = (self.daemon.process.pid, self.daemon.port)
        sockets = (self.daemon.socket, self.daemon.folder / "vgpud-qemu.sock")
        for path in sockets:
            assert path.exists(), path
        config = self.daemon.folder / "vgpud.toml"
        words = [executor, address, *ports, *sockets, config, f"../../../../{config.parent.name}/{config.name}"]
        (folder / "unfinished").write_text(" ".join(map(str, words)) + "\n")
        (folder / "unfinished").chmod(0o644)
        (folder / "unfinished").rename(folder / "targets")
        # The last attempt says so itself where it succeeds, because then nothing comes after it.
        wait_until(lambda: self.daemon.log_lines('attempt="become another program"'),
                   lambda: f"the intruder does not end:\n{self.daemon.log()}")
        return {name: (result, error) for name, result, error in ATTEMPT.findall(self.daemon.log())}


@unittest.skipIf(SANITIZER, "a sanitizer's build has no whole sandbox")
class Walls(unittest.TestCase):
    def check_walls(self, nobody):
        with Intrusion("required", nobody) as intrusion:
            attempts = intrusion.attempts()
            self.assertGreaterEqual(set(attempts), PLAIN)
            through = {name for name, (result, _) in attempts.items() if result != "refused"}
            self.assertEqual(through, set(), intrusion.daemon.log())
            parts = intrusion.daemon.metrics().by("vgpu_executor_sandbox", "part")
            self.assertIn(parts.pop("cgroup"), (0, 1))  # whether there is one is said by who starts the daemon
            self.assertEqual(parts, {part: 1 for part in PARTS})
            line = intrusion.daemon.log_lines('msg="executor sandbox"')[0]
            for part in PARTS:
                self.assertIn(part, line)

    def check_no_walls(self, nobody):
        with Intrusion("off", nobody) as intrusion:
            attempts = intrusion.attempts()
            refused = {name: error for name, (result, error) in attempts.items() if result == "refused"}
            self.assertEqual({name: error for name, error in refused.items() if name in PLAIN}, {})
            parts = intrusion.daemon.metrics().by("vgpu_executor_sandbox", "part")
            self.assertIn(parts.pop("cgroup"), (0, 1))  # whether there is one is said by who starts the daemon
            self.assertEqual(parts, {part: 0 for part in PARTS})

    def check_other_walls(self, nobody):
        with Intrusion("auto", nobody, without="system_calls") as intrusion:
            attempts = intrusion.attempts()
            through = {name for name in BEYOND if attempts[name][0] != "refused"}
            self.assertEqual(through, set(), intrusion.daemon.log())
            # There is no filter, indeed.
            self.assertEqual(attempts["outlive the daemon"][0], "succeeded")
            parts = intrusion.daemon.metrics().by("vgpu_executor_sandbox", "part")
            self.assertIn(parts.pop("cgroup"), (0, 1))  # whether there is one is said by who starts the daemon
            self.assertEqual(parts, {part: int(part != "system_calls") for part in PARTS})
            self.assertTrue(intrusion.daemon.log_lines("executors lack a part of the sandbox", "part=system_calls"))

    def test_a_daemon_that_requires_what_is_missing_does_not_start(self):
        # As an older release beside a newer one would.
        with self.assertRaisesRegex(AssertionError, "system_calls: the executor's program says nothing of it"):
            Intrusion("required", without="system_calls")

    @for_all
    def test_the_other_walls_hold_without_the_filter(self):
        self.check_other_walls(nobody=False)

    @for_nobody
    def test_the_other_walls_of_an_ordinary_user_s_daemon_hold_without_the_filter(self):
        self.check_other_walls(nobody=True)

    @for_all
    def test_nothing_gets_out(self):
        self.check_walls(nobody=False)

    def test_without_them_much_gets_out(self):
        self.check_no_walls(nobody=False)

    @for_nobody
    def test_nothing_gets_out_of_an_ordinary_user_s_daemon(self):
        self.check_walls(nobody=True)

    @for_nobody
    def test_without_them_much_gets_out_of_an_ordinary_user_s_daemon(self):
        self.check_no_walls(nobody=True)


@for_all
@unittest.skipIf(SANITIZER, "a sanitizer's build has no whole sandbox")
class Inside(DaemonTest):
    """A program's executor, looked at from outside."""

    CONFIG = '[executor]\nsandbox = "required"\n'

    def test_each_executor_is_somebody_else(self):
        with self.daemon.guest(program("steps"), vm=1) as one, self.daemon.guest(program("steps"), vm=2) as other:
            self.assertEqual(one.ask("work")[:2], "ok")
            self.assertEqual(other.ask("work")[:2], "ok")
            executors = self.daemon.executors()
            self.assertEqual(len(executors), 2)
            for namespace in ("pid", "mnt", "net", "ipc", "uts"):
                links = {os.readlink(f"/proc/{pid}/ns/{namespace}") for pid in (*executors, os.getpid())}
                self.assertEqual(len(links), 3, namespace)
            status = [Path(f"/proc/{pid}/status").read_text() for pid in executors]
            for text in status:
                self.assertIn("NoNewPrivs:\t1\n", text)
                self.assertIn("Seccomp:\t2\n", text)
                self.assertIn("CapEff:\t0000000000000000\n", text)
                self.assertIn("CapPrm:\t0000000000000000\n", text)
            if os.getuid() == 0:
                users = {re.search(r"^Uid:\t(\d+)", text, re.MULTILINE).group(1) for text in status}
                self.assertEqual(len(users - {"0"}), 2, users)
            one.finish()
            other.finish()

    def test_an_executor_that_aborts_is_a_dead_executor(self):
        with self.daemon.guest(program("steps"), vm=3) as guest:
            self.assertEqual(guest.ask("work")[:2], "ok")
            os.kill(self.daemon.executors()[0], 6)
            self.assertRegex(guest.ask("work"), r"^error cuda\w+$")
            guest.finish()


if __name__ == "__main__":
    unittest.main()
