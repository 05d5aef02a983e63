"""vgpuctl top on a terminal: what it shows, its keys, other sizes, and how it ends."""

import re
import signal
import unittest

from admin import VGPUCTL, admin_socket, vgpuctl
from harness import Daemon, DaemonTest, base_environment, program, wait_until
from terminal import Terminal

CONFIG = """
[[pool]]
name = "A"
[[vm]]
id = 1
name = "zebra"
pool = "A"
weight = 300
memory = "64MiB"
[[vm]]
id = 2
name = "apple"
pool = "A"
"""


class Top(DaemonTest):
    CONFIG = CONFIG

    def top(self, *arguments, daemon=None, **size):
        command = [str(VGPUCTL), "--socket", str(admin_socket(daemon or self.daemon)), "top", "--interval", "0.2", *arguments]
        return Terminal(command, base_environment(), **size)

    def sees(self, terminal, pattern):
        """The screen, once it matches."""
        return wait_until(lambda: (lambda text: text if re.search(pattern, text) else None)(terminal.screen()),
                          lambda: f"{pattern} is never there; the screen:\n{terminal.screen()}")

    def names(self, text):
        lines = text.splitlines()
        first = next(i for i, line in enumerate(lines) if re.match(r" *VM +NAME", line))
        return [line.split()[1] for line in lines[first + 1:-1] if line.strip()]

    def quits(self, terminal):
        """It ends with 0, and leaves the terminal as it was."""
        wait_until(lambda: terminal.look() or terminal.process.poll() is not None, "top does not end")
        self.assertEqual(terminal.process.returncode, 0)
        self.assertTrue(terminal.is_as_before(), "the terminal's modes are not as they were")
        self.assertFalse(terminal.display.mode & {1049 << 5}, "the other screen is still shown")

    def test_what_it_shows_and_its_keys(self):
        with self.daemon.guest(program("steps"), vm=1) as guest, self.top() as terminal:
            self.assertRegex(guest.ask("work"), "^ok")
            self.assertRegex(guest.ask("alloc 1048576"), "^ok")
            text = self.sees(terminal, r"(?m)^ *1  zebra  A +active .*[12]\.0 MiB +64\.0 MiB .* 1 +0$")
            self.assertRegex(text.splitlines()[0], r"^vgpud \d.*up 0:\d\d:\d\d  1 session  1 of 2 VMs active .* healthy$")
            self.assertRegex(text, r"(?m)^GPU 0 vgpu software GPU +util\[.*\]  mem\[.*\]")
            self.assertRegex(text, r"(?m)^pool A +fair +1 GPU +busy +\d+%  1 session of 1 VM  open$")
            self.assertIn("q quit", text.splitlines()[-1])
            terminal.press("n")
            self.assertEqual(self.names(self.sees(terminal, "sorted by name")), ["apple", "zebra"])
            terminal.press("r")
            wait_until(lambda: self.names(terminal.screen()) == ["zebra", "apple"], "r does not reverse")
            terminal.press("rm")
            self.assertEqual(self.names(self.sees(terminal, "sorted by memory")), ["zebra", "apple"])
            for key, name in (("c", "calls"), ("w", "waits"), ("e", "sessions"), ("s", "share")):
                terminal.press(key)
                self.sees(terminal, f"sorted by {name}")
            terminal.press("q")
            self.quits(terminal)

    def test_a_quarantined_vm_and_a_drained_pool_are_seen(self):
        with self.top() as terminal:
            self.sees(terminal, r"(?m)^ *2  apple  A +idle")
            vgpuctl(self.daemon, "quarantine", "2")
            vgpuctl(self.daemon, "drain", "A")
            self.addCleanup(vgpuctl, self.daemon, "release", "2")
            self.addCleanup(vgpuctl, self.daemon, "resume", "A")
            self.sees(terminal, r"(?m)^ *2  apple  A +quarantined")
            self.sees(terminal, r"(?m)^pool A .*drained$")
            terminal.press("q")
            self.quits(terminal)

    def test_other_sizes(self):
        with self.top(columns=110, rows=30) as terminal:
            self.sees(terminal, "WAIT P99")
            terminal.resize(40, 8)
            text = self.sees(terminal, r"(?m)^q quit   s share")
            self.assertLessEqual(max(len(line) for line in text.splitlines()), 40)
            terminal.resize(200, 5)
            self.sees(terminal, r"vgpud \d.*healthy")
            terminal.press("\x1bOB\x1bOB\x1bOB\x1bOB\x1bOB\x1bOB\x1bOB\x1bOB")  # down, past the end
            self.sees(terminal, r"(?m)^ *(1  zebra|2  apple)")
            terminal.resize(1, 1)
            terminal.resize(110, 30)
            self.sees(terminal, "FAULTS")
            terminal.press("q")
            self.quits(terminal)

    def test_ctrl_c_and_sigterm_give_the_terminal_back(self):
        for end in (lambda terminal: terminal.press("\x03"), lambda terminal: terminal.process.send_signal(signal.SIGTERM)):
            with self.top() as terminal:
                self.sees(terminal, "q quit")
                self.assertFalse(terminal.is_as_before())
                self.assertIn(1049 << 5, terminal.display.mode)
                end(terminal)
                self.quits(terminal)

    def test_without_vgpud_it_says_so_on_a_plain_terminal(self):
        with Terminal([str(VGPUCTL), "--socket", "/nowhere", "top"], base_environment()) as terminal:
            wait_until(lambda: terminal.look() or terminal.process.poll() is not None, "it does not end")
            self.assertEqual(terminal.process.returncode, 3)
            self.assertIn("no vgpud answers", terminal.screen())

    def test_it_goes_on_when_vgpud_comes_back(self):
        with Daemon(CONFIG) as daemon, self.top(daemon=daemon) as terminal:
            self.sees(terminal, "q quit")
            daemon.stop()
            self.sees(terminal, "(no vgpud answers|closed the connection).*trying again")
            with Daemon(CONFIG.replace("[[pool]]", f'[daemon]\nadmin_socket = "{admin_socket(daemon)}"\n[[pool]]', 1)):
                self.sees(terminal, r"(?m)^q quit")
            terminal.press("q")
            self.quits(terminal)


if __name__ == "__main__":
    unittest.main()
