"""A terminal for programs that draw on one: a pty, and pyte to see what they drew."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pyte


class Terminal:
    """A program on a terminal of its own; screen() is what it shows."""

    def __init__(self, command, environment, columns=110, rows=30):
        self.display = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.display)
        self.controller, terminal = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(terminal)
        self.terminal = terminal
        self.process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal,
                                        start_new_session=True, env={**environment, "TERM": "xterm-256color"},
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, columns, rows):
        """The kernel tells the program by SIGWINCH."""
        fcntl.ioctl(self.controller, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.display.resize(rows, columns)

    def look(self, seconds=0.1):
        """Takes in what the program has drawn by now."""
        end = time.monotonic() + seconds
        while select.select([self.controller], [], [], max(end - time.monotonic(), 0))[0]:
            try:
                self.stream.feed(os.read(self.controller, 65536))
            except OSError:
                return

    def screen(self):
        self.look()
        return "\n".join(line.rstrip() for line in self.display.display)

    def press(self, keys):
        os.write(self.controller, keys.encode())

    def is_as_before(self):
        """True if the terminal's modes are those that it had before the program."""
        return termios.tcgetattr(self.terminal) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.terminal)
        os.close(self.controller)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
