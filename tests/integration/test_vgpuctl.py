"""Each verb of vgpuctl, in good and in bad use; who may; and what a broken client does to vgpud: nothing."""

import grp
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from admin import VGPUCTL, Raw, admin_socket, vgpuctl
from harness import SANITIZER, Daemon, DaemonTest, base_environment, program, wait_until

CONFIG = """
[daemon]
state = "@FOLDER@/state"
[[pool]]
name = "A"
[[pool]]
name = "B"
[[vm]]
id = 1
name = "build-server"
pool = "A"
memory = "64MiB"
[[vm]]
id = 2
name = "second"
pool = "B"
[[vm]]
id = 3
name = "twin"
pool = "B"
[[vm]]
id = 4
name = "twin"
pool = "B"
"""


class Stream:
    """A vgpuctl that goes on: its lines as they come."""

    def __init__(self, daemon, *arguments):
        self.process = subprocess.Popen([str(VGPUCTL), "--socket", str(admin_socket(daemon)), *arguments],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=base_environment())
        self.lines = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def find(self, *parts):
        return [line for line in self.lines if all(part in line for part in parts)]

    def wait_for(self, *parts):
        return wait_until(lambda: self.find(*parts), lambda: f"no line has {parts}; there are:\n" + "\n".join(self.lines))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()
        self.process.stderr.close()


class Verbs(DaemonTest):
    CONFIG = CONFIG
    LOG_LEVEL = "info"

    def setUp(self):
        self.daemon.wait_idle()

    def ctl(self, *arguments):
        result = vgpuctl(self.daemon, *arguments)
        self.assertEqual(result.returncode, 0, f"{result.args}: {result.stdout}{result.stderr}\n{self.log_tail()}")
        self.assertEqual(result.stderr, "")
        return result.stdout

    def json(self, *arguments):
        return json.loads(self.ctl("--json", *arguments))

    def refused(self, *arguments, code=1):
        """What vgpuctl says when it refuses; the same in JSON has the same exit code."""
        result = vgpuctl(self.daemon, *arguments)
        self.assertEqual(result.returncode, code, f"{result.args}: {result.stdout}{result.stderr}")
        self.assertEqual(result.stdout, "")
        if code == 1:
            in_json = vgpuctl(self.daemon, *arguments, "--json")
            self.assertEqual(in_json.returncode, code)
            self.assertFalse(json.loads(in_json.stdout)["ok"])
        return result.stderr

    def vm(self, vm):
        return next(entry for entry in self.json("vms")["vms"] if entry["id"] == vm)

    def sessions_of(self, vm):
        return [entry for entry in self.json("sessions")["sessions"] if entry["vm"] == vm]

    def test_status(self):
        text = self.ctl("status")
        self.assertRegex(text, r"(?m)^vgpud +\d+\.\d+\.\d+, healthy, up 0:\d\d:\d\d, pid \d+$")
        self.assertRegex(text, r"(?m)^VMs +4 configured")
        status = self.json("status")["status"]
        self.assertEqual(status["pid"], self.daemon.process.pid)
        self.assertEqual(status["config"], str(self.daemon.config_path))
        self.assertEqual(status["metrics"], f"127.0.0.1:{self.daemon.port}")
        self.assertTrue(status["healthy"])

    def test_vms_sessions_pools_and_gpus_tell_what_there_is(self):
        with self.daemon.guest(program("steps"), vm=1) as guest:
            self.assertRegex(guest.ask("work"), "^ok")
            self.assertRegex(guest.ask("alloc 1048576"), "^ok")
            vm = self.vm(1)
            self.assertEqual((vm["name"], vm["pool"], vm["state"], vm["sessions"]), ("build-server", "A", "active", 1))
            self.assertEqual(vm["limits"]["memory"], 64 << 20)
            self.assertGreaterEqual(vm["memory_used_bytes"], 1 << 20)
            self.assertGreater(vm["calls"], 0)
            session, = self.sessions_of(1)
            self.assertIn("steps", session["process"])
            self.assertIn(f"{session['session']}", self.ctl("sessions"))
            self.assertRegex(self.ctl("vms"), r"(?m)^ *1  build-server +A +active")
            pool = next(entry for entry in self.json("pools")["pools"] if entry["name"] == "A")
            self.assertEqual((pool["state"], pool["sessions"], len(pool["gpus"])), ("open", 1, 1))
            self.assertRegex(self.ctl("pools"), r"(?m)^A +open +fair +10\.0 ms")
            gpu = self.json("gpus")["gpus"][0]
            self.assertEqual((gpu["healthy"], gpu["pools"]), (True, ["A", "B"]))
            self.assertIn(gpu["uuid"], self.ctl("gpus"))
        self.daemon.wait_idle()
        self.assertEqual(self.vm(1)["state"], "idle")

    def test_set_holds_for_running_sessions_and_is_shown(self):
        with self.daemon.guest(program("steps"), vm=2) as guest:
            self.assertRegex(guest.ask("alloc 4194304"), "^ok")
            self.assertEqual(self.ctl("set", "second", "memory-limit", "2MiB"), "VM 2: memory is 2MiB\n")
            self.assertEqual(guest.ask("alloc 4194304"), "error cudaErrorMemoryAllocation")
            self.ctl("set", "2", "weight", "300")
            self.ctl("set", "2", "priority", "high")
            vm = self.vm(2)
            self.assertEqual((vm["weight"], vm["priority"], vm["limits"]["memory"]), (300, "high", 2 << 20))
            self.assertEqual(vm["set"], {"memory": "2MiB", "priority": "high", "weight": "300"})
            self.assertRegex(self.ctl("vms"), "second.*memory=2MiB priority=high weight=300")
            for key in ("memory", "weight", "priority"):
                self.ctl("set", "2", key, "default")
            self.assertRegex(guest.ask("alloc 4194304"), "^ok")
        self.assertEqual((self.vm(2)["weight"], self.vm(2)["set"]), (100, {}))

    def test_set_in_bad_use(self):
        self.assertIn('there is no VM "nobody"', self.refused("set", "nobody", "weight", "1"))
        self.assertIn("several VMs", self.refused("set", "twin", "weight", "1"))
        self.assertIn("has no [[vm]]", self.refused("set", "77", "weight", "1"))
        self.assertIn("expected an integer from 1 to 1000, found 5000", self.refused("set", "1", "weight", "5000"))
        self.assertIn("found a string", self.refused("set", "1", "weight", "heavy"))
        self.assertIn('expected "low", "medium" or "high"', self.refused("set", "1", "priority", "urgent"))
        self.assertIn("expected a size", self.refused("set", "1", "memory-limit", "plenty"))
        self.assertIn('unknown key "colour"', self.refused("set", "1", "colour", "red"))
        self.assertIn('unknown key "colour"', self.refused("set", "1", "colour", "default"))
        self.assertIn("required", self.refused("set", "1", "weight", code=2))
        self.assertEqual(self.vm(1)["set"], {})

    def test_kill_ends_one_session_and_not_its_neighbour(self):
        with self.daemon.guest(program("steps"), vm=1) as victim, self.daemon.guest(program("steps"), vm=1) as other:
            self.assertRegex(victim.ask("work"), "^ok")
            session, = self.sessions_of(1)
            self.assertRegex(other.ask("work"), "^ok")
            self.assertEqual(self.ctl("kill", session["session"]), f"ended session {session['session']}\n")
            wait_until(lambda: len(self.sessions_of(1)) == 1, "the session lives on")
            self.assertRegex(victim.ask("work"), "^error")
            self.assertRegex(other.ask("work"), "^ok")
        self.assertEqual(len(self.daemon.log_lines("session closed", f"session={session['session']} ", "reason=killed")), 1)
        self.assertEqual(self.daemon.metrics().value("vgpu_faults_total", vm=1, reason="killed"), 0)
        self.assertIn("there is no session 9999999", self.refused("kill", "9999999"))
        self.assertIn("needs the number", self.refused("kill", "all"))

    def test_quarantine_and_release(self):
        with self.daemon.guest(program("steps"), vm=3) as guest:
            self.assertRegex(guest.ask("work"), "^ok")
            self.assertEqual(self.ctl("quarantine", "3"), "VM 3 is quarantined\n")
            self.assertEqual(self.ctl("quarantine", "3"), "VM 3 is quarantined already\n")
            kept = json.loads((self.daemon.folder / "state/quarantine/3").read_text())
            self.assertEqual((kept["vm"], kept["by"]), (3, "operator"))
            self.assertRegex(guest.ask("work"), "^ok")  # what it has goes on
            self.assertIn("this VM is quarantined", self.daemon.run(program("vector_add"), vm=3).stdout)
            self.assertEqual(self.vm(3)["state"], "quarantined")
            self.assertEqual(self.json("quarantine", "3", "--end")["ended"], [s["session"] for s in self.sessions_of(3)])
            self.assertRegex(guest.ask("work"), "^error")
        self.assertEqual(self.ctl("release", "3"), "VM 3 is released\n")
        self.assert_passes(self.daemon.run(program("vector_add"), vm=3))
        self.assertIn("VM 3 is not quarantined", self.refused("release", "3"))
        self.assertIn("never quarantined", self.refused("quarantine", "0"))

    def test_drain_and_resume(self):
        with self.daemon.guest(program("steps"), vm=1) as guest:
            self.assertRegex(guest.ask("work"), "^ok")
            self.assertEqual(self.ctl("drain", "A"), "pool A is drained\n")
            self.assertRegex(guest.ask("work"), "^ok")
            refused = self.daemon.run(program("vector_add"), vm=1)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("is being drained", refused.stdout)
            self.assert_passes(self.daemon.run(program("vector_add"), vm=2))  # of another pool
            self.assertEqual(self.json("status")["status"]["drained"], ["A"])
            self.assertRegex(self.ctl("drain", "A", "--end"), r"^pool A is drained; ended sessions: \d+\n$")
            self.assertRegex(guest.ask("work"), "^error")
        self.assertEqual(self.ctl("resume", "A"), "pool A is open\n")
        self.assert_passes(self.daemon.run(program("vector_add"), vm=1))
        self.assertIn("there is no pool \"Z\"; the pools are: A, B", self.refused("drain", "Z"))
        self.assertIn("there is no pool", self.refused("resume", "Z"))

    def test_trace_shows_calls_of_running_and_of_new_sessions(self):
        with self.daemon.guest(program("steps"), vm=1) as guest:
            self.assertRegex(guest.ask("work"), "^ok")
            with Stream(self.daemon, "trace", "build-server") as trace:
                wait_until(lambda: self.daemon.log_lines("verb=trace"), "the trace does not begin")
                wait_until(lambda: guest.ask("alloc 4000").startswith("ok") and trace.find("cuMemAlloc", "bytes=4000"),
                           lambda: f"the running session's calls do not come: {trace.lines}")
                trace.wait_for("cuMemAlloc", "result=CUDA_SUCCESS pointer=0x")
                self.assert_passes(self.daemon.run(program("vector_add"), "1000", vm=1))
                launch = trace.wait_for("cuLaunchKernel", "grid_x=4")[0]
                self.assertRegex(launch, r"^\d\d:\d\d:\d\d\.\d{3}  session=\d+  cuLaunchKernel  .*result=CUDA_SUCCESS")
                self.assertEqual(len(trace.find("cuMemAlloc", "bytes=4000 result")) >= 4, True)
                busy = self.refused("trace", "1")
                self.assertIn("traces VM 1 already", busy)
                self.assert_passes(self.daemon.run(program("vector_add"), "77", vm=2))
            # Nobody watches any more: the executors say nothing.
            wait_until(lambda: self.tells_nothing(guest), "the executor goes on telling of its calls")
        self.assertIn("there is no VM", self.refused("trace", "nobody"))
        self.assertEqual(trace.find("bytes=308"), [])  # VM 2's

    def tells_nothing(self, guest):
        """A new trace of the VM begins and ends at once; none of a call that came before it is in it."""
        self.assertRegex(guest.ask("alloc 12345"), "^ok")
        with Stream(self.daemon, "--json", "trace", "1") as trace:
            wait_until(lambda: trace.lines or trace.process.poll() is not None, "no answer")
            return json.loads(trace.lines[0])["ok"] and not trace.find("12345")

    def test_profile_counts_calls_bytes_and_time(self):
        with self.daemon.guest(program("steps"), vm=1) as guest:
            self.assertRegex(guest.ask("work"), "^ok")
            session, = self.sessions_of(1)
            with Stream(self.daemon, "--json", "profile", str(session["session"]), "--seconds", "3") as profile:
                wait_until(lambda: guest.ask("work").startswith("ok") and profile.lines, "the profile never comes")
                answer = json.loads(profile.lines[0])["profile"]
            calls = {call["call"]: call for call in answer["calls"]}
            self.assertGreaterEqual(calls["cuLaunchKernel"]["count"], 1)
            self.assertGreater(calls["cuLaunchKernel"]["seconds"], 0)
            copies = [call for name, call in calls.items() if name.startswith("cuMemcpyHtoD")]
            self.assertGreater(sum(call["bytes"] for call in copies), 0)
            text = self.ctl("profile", session["session"], "--seconds", "0.05")
            self.assertRegex(text, rf"^session {session['session']} of VM 1 \(steps.*\): 0\.\d s\n")
        self.assertIn("there is no session", self.refused("profile", "9999999"))
        self.assertIn("--seconds", self.refused("profile", "1", "--seconds", "0", code=2))

    def test_events_come_with_what_was_before(self):
        self.assert_passes(self.daemon.run(program("vector_add"), vm=2))
        with Stream(self.daemon, "events") as events:
            events.wait_for("info", "session opened", "vm=2")
            self.ctl("quarantine", "4")
            events.wait_for("an operator's order", "verb=quarantine", "what=VM 4")
            self.ctl("release", "4")
        once = self.json("events", "--once")["events"]
        self.assertIn("vgpud is ready", [event["event"] for event in once])
        self.assertTrue(all(event["level"] in ("info", "warn", "error") for event in once))

    def test_reload_and_log_level(self):
        self.assertEqual(self.ctl("reload"), "reloaded: 2 pools, 4 VMs\n")
        good = self.daemon.config_path.read_text()
        try:
            self.daemon.config_path.write_text(good.replace('pool = "A"\nmemory', 'pool = "A"\nweight = 0\nmemory'))
            self.assertIn("vgpud.toml:12: weight in [[vm]]: expected", self.refused("reload"))
            self.daemon.config_path.write_text(good.replace('name = "A"', 'name = "C"', 1).replace('pool = "A"', 'pool = "C"'))
            self.assertIn("restart", self.refused("reload"))
        finally:
            self.daemon.config_path.write_text(good)
        self.assertEqual(self.ctl("log-level", "debug"), "the log's level is debug\n")
        self.assert_passes(self.daemon.run(program("vector_add"), vm=2))
        wait_until(lambda: self.daemon.log_lines("call=cuMemAlloc"), "debug lines do not come")
        self.ctl("log-level", "info")
        self.assertIn('"loud" is no level', self.refused("log-level", "loud"))

    def test_top_without_a_terminal_prints_one_picture(self):
        with self.daemon.guest(program("steps"), vm=1) as guest:
            self.assertRegex(guest.ask("work"), "^ok")
            text = self.ctl("top", "--interval", "0.2")
            self.assertRegex(text, r"(?m)^pool A +fair +1 GPU +busy +\d+%  1 session of 1 VM  open$")
            self.assertRegex(text, r"(?m)^ *VM +NAME +POOL +STATE +PRIO +WEIGHT +GPU +DUE")
            self.assertRegex(text, r"(?m)^ *1  build-server  A +active +medium +100 +\d+\.\d% +100% .* 64\.0 MiB")
            by_name = self.ctl("top", "--once", "--interval", "0.1", "--sort", "name").splitlines()
            names = [line.split()[1] for line in by_name[by_name.index(next(x for x in by_name if " NAME " in x)) + 1:]]
            self.assertEqual(names, sorted(names))
        self.assertIn("--sort", self.refused("top", "--sort", "colour", code=2))

    def completions(self, *words):
        """What bash offers for the last of these words."""
        script = """source <("$VGPUCTL" completion bash)
            vgpuctl() { "$VGPUCTL" "$@"; }
            COMP_WORDS=(vgpuctl "$@"); COMP_CWORD=$#
            _vgpuctl; printf '%s\\n' "${COMPREPLY[@]}" """
        environment = {**base_environment(), "VGPUCTL": str(VGPUCTL), "VGPU_ADMIN_SOCKET": str(admin_socket(self.daemon))}
        result = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, env=environment)
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_bash_completes_verbs_options_and_names(self):
        self.assertEqual(self.completions("q"), ["quarantine"])
        self.assertEqual(self.completions("drain", ""), ["A", "B"])
        self.assertEqual(self.completions("set", "b"), ["build-server"])
        self.assertEqual(self.completions("set", "build-server", "wei"), ["weight"])
        self.assertEqual(self.completions("--json", "top", "--so"), ["--socket", "--sort"])
        self.assertEqual(self.completions("top", "--sort", "m"), ["memory"])
        self.assertEqual(self.completions("status", ""), [])

    def test_wrong_command_lines(self):
        for arguments in ((), ("fly",), ("kill",), ("drain",), ("status", "more"), ("top", "--interval", "never")):
            self.assertEqual(vgpuctl(self.daemon, *arguments).returncode, 2, arguments)
        self.assertEqual(vgpuctl(self.daemon, "--help").returncode, 0)

    def test_broken_clients_hurt_nobody(self):
        with Raw(self.daemon) as client:
            self.assertEqual(client.ask(b"\x00\xff garbage\n")["code"], "bad_request")
            self.assertEqual(client.ask(b"[1,2]\n")["code"], "bad_request")
            self.assertEqual(client.ask(b'{"verb":"status","end":"x"}\n')["code"], "bad_request")
            self.assertEqual(client.ask({"verb": "fly"})["code"], "unknown_verb")
            self.assertEqual(client.ask({"verb": "set", "vm": 1})["code"], "bad_request")
            self.assertEqual(client.ask({"verb": "kill", "session": -1})["code"], "bad_request")
            self.assertEqual(client.ask({"verb": "profile", "session": 1, "seconds": 1e99})["code"], "bad_value")
            client.send(b'{"verb":"sta')
            client.send(b'tus"}\n{"verb":"pools"}\n')  # two in one piece
            self.assertIn("status", client.line())
            self.assertIn("pools", client.line())
        with Raw(self.daemon) as client:
            client.send(b'{"verb":"half')
        with Raw(self.daemon) as client:
            try:
                client.send(b"x" * (1 << 20))
            except OSError:
                pass
            self.assertIsNone(client.line())
        wait_until(lambda: self.daemon.log_lines("an admin client is dropped", "a line is too long"), self.daemon.log)
        with Raw(self.daemon) as client:  # goes away in the middle of a stream
            self.assertTrue(client.ask({"verb": "trace", "vm": "1"})["ok"])
        wait_until(lambda: self.trace_is_free(), "the trace of a client that is gone goes on")
        with Raw(self.daemon) as client:
            self.assertTrue(client.ask({"verb": "trace", "vm": 1})["ok"])
            self.assertEqual(client.ask({"verb": "status"})["code"], "bad_request")
            self.assertIsNone(client.line())
        with Raw(self.daemon) as slow:  # asks and asks, and never reads
            slow.socket.settimeout(1)
            try:
                while True:
                    slow.send(b'{"verb":"status"}\n' * 1000)
            except OSError:
                pass
            self.assertEqual(self.ctl("status").count("healthy"), 1)

    def trace_is_free(self):
        with Raw(self.daemon) as client:
            return client.ask({"verb": "trace", "vm": 1})["ok"]


class Kept(unittest.TestCase):
    def test_what_operators_set_outlives_vgpud(self):
        with tempfile.TemporaryDirectory(prefix="vgpu-state-") as folder:
            config = CONFIG.replace("@FOLDER@/state", folder)
            with Daemon(config) as daemon:
                for order in (("set", "1", "weight", "250"), ("drain", "B"), ("quarantine", "2")):
                    self.assertEqual(vgpuctl(daemon, *order).returncode, 0)
            with Daemon(config) as daemon:
                vms = json.loads(vgpuctl(daemon, "--json", "vms").stdout)["vms"]
                self.assertEqual([vm["weight"] for vm in vms], [250, 100, 100, 100])
                status = json.loads(vgpuctl(daemon, "--json", "status").stdout)["status"]
                self.assertEqual((status["drained"], status["quarantined"]), (["B"], [2]))
                self.assertEqual(len(daemon.log_lines("pool is drained", "pool=B")), 1)
                daemon.reload(config)
                self.assertEqual(json.loads(vgpuctl(daemon, "--json", "vms").stdout)["vms"][0]["weight"], 250)
                self.assertEqual(vgpuctl(daemon, "set", "1", "weight", "default").returncode, 0)
            # A setting that no longer fits is left out and named; a VM that is gone is passed over.
            path = Path(folder) / "settings.json"
            path.write_text('{"vms": {"1": {"weight": "0"}, "99": {"weight": "7"}}, "drained": ["Z"]}')
            with Daemon(config) as daemon:
                self.assertEqual(len(daemon.log_lines("a setting of an operator", "VM 1: weight")), 1)
                self.assertEqual(vgpuctl(daemon, "set", "2", "weight", "9").returncode, 0)

    def test_without_a_state_folder_it_says_so(self):
        with Daemon('[daemon]\nstate = "off"\n[[pool]]\nname = "A"\n[[vm]]\nid = 1\npool = "A"\n') as daemon:
            result = vgpuctl(daemon, "set", "1", "weight", "5")
            self.assertEqual(result.returncode, 0)
            self.assertIn("this ends with vgpud", result.stdout)

    def test_settings_that_nobody_can_read_stop_the_start(self):
        with tempfile.TemporaryDirectory(prefix="vgpu-state-") as folder:
            (Path(folder) / "settings.json").write_text("{")
            with self.assertRaisesRegex(AssertionError, "settings.json is not what vgpud has written"):
                Daemon(CONFIG.replace("@FOLDER@/state", folder))


class Unreachable(unittest.TestCase):
    def test_no_daemon(self):
        result = subprocess.run([str(VGPUCTL), "--socket", "/nowhere/admin.sock", "status"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 3)
        self.assertIn("no vgpud answers", result.stderr)
        self.assertIn("/nowhere/admin.sock: No such file or directory", result.stderr)

    def test_something_else_answers(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
            path = f"{folder}/admin.sock"
            server.bind(path)
            server.listen()

            def serve():
                connection, _ = server.accept()
                connection.recv(100)
                connection.sendall(b"220 mail.example.org\n")
                connection.close()

            thread = threading.Thread(target=serve)
            thread.start()
            result = subprocess.run([str(VGPUCTL), "--socket", path, "status"], capture_output=True, text=True)
            thread.join()
            self.assertEqual(result.returncode, 3)
            self.assertIn("is no vgpud", result.stderr)

    def test_streams_end_with_the_daemon(self):
        with Daemon() as daemon:
            with Stream(daemon, "events") as events:
                events.wait_for("vgpud is ready")
                daemon.stop()
                self.assertEqual(events.process.wait(20), 3)
                self.assertIn("vgpud has closed the connection", events.process.stderr.read())


@unittest.skipUnless(os.getuid() == 0 and shutil.which("setpriv"), "needs root to be somebody else")
@unittest.skipIf(SANITIZER, "other users can't open a sanitizer's libraries everywhere")
class Permissions(unittest.TestCase):
    NOBODY = 65534

    def as_nobody(self, daemon, *groups):
        """Asks for the status as a user who is in these groups only; by a copy that this user can reach."""
        os.chmod(daemon.folder, 0o755)
        copy = daemon.folder / "vgpuctl"
        if not copy.exists():
            shutil.copy(VGPUCTL, copy)
            copy.chmod(0o755)
        command = ["setpriv", f"--reuid={self.NOBODY}", f"--regid={self.NOBODY}",
                   f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups", str(copy), "--socket",
                   str(admin_socket(daemon)), "status"]
        return subprocess.run(command, capture_output=True, text=True, env=base_environment())

    def test_the_socket_is_the_groups(self):
        group = grp.getgrgid(1).gr_name
        with Daemon(f'[daemon]\nadmin_group = "{group}"\n') as daemon:
            status = admin_socket(daemon).stat()
            self.assertEqual((status.st_mode & 0o777, status.st_gid), (0o660, 1))
            self.assertEqual(self.as_nobody(daemon, 1).returncode, 0)
            denied = self.as_nobody(daemon)
            self.assertEqual(denied.returncode, 4)
            self.assertIn("you may not connect", denied.stderr)

    def test_whoever_gets_past_the_file_is_looked_at_and_logged(self):
        group = grp.getgrgid(1).gr_name
        with Daemon(f'[daemon]\nadmin_group = "{group}"\nadmin_socket_mode = "0666"\n') as daemon:
            self.assertEqual(self.as_nobody(daemon, 1).returncode, 0)
            for _ in range(3):
                denied = self.as_nobody(daemon)
                self.assertEqual(denied.returncode, 4)
                self.assertIn("only root, vgpud's own user and members of the group", denied.stderr)
            self.assertEqual(len(daemon.log_lines("an admin client is refused", f"uid={self.NOBODY}")), 1)

    def test_a_group_that_is_not_there_is_a_mistake(self):
        with self.assertRaisesRegex(AssertionError, 'there is no group "no-such-group"'):
            Daemon('[daemon]\nadmin_group = "no-such-group"\n')


if __name__ == "__main__":
    unittest.main()
