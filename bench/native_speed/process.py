"""One process that measures rows, natively or as a guest, and the lines of JSON that it says (rows.hpp)."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time


class Measuring:
    """A running process; closed with it, whatever it does then."""

    def __init__(self, command, environment):
        self.errors = tempfile.TemporaryFile()
        self.begun = time.monotonic()
        # A group of its own: its children end with it.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        text=True, bufsize=1, env=environment, start_new_session=True)
        self.lines = queue.SimpleQueue()
        threading.Thread(target=self.read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.errors.close()

    @property
    def pid(self):
        return self.process.pid

    def read(self):
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):  # what a library says
                said = json.loads(line)
                if isinstance(said, dict):
                    self.lines.put(said)
        self.lines.put(None)

    def hear(self, seconds):
        """The next thing that it says; None: it has ended. Raises TimeoutError."""
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None

    def go(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")

    def end(self):
        """How it ended, in words; empty: well. It has closed its output, and gets a while to end."""
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            return "it does not end"
        if code == 0:
            return ""
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{how}: {self.last_words()}"

    def last_words(self):
        self.errors.seek(0)
        lines = [line for line in self.errors.read().decode(errors="replace").splitlines() if line.strip()]
        return " / ".join(lines[-3:])[:500]
