"""Operators as tests know them: vgpuctl, and the admin socket by hand."""

import json
import socket
import subprocess

from harness import BUILD, WAIT_SECONDS, base_environment

VGPUCTL = BUILD / "bin/vgpuctl"


def admin_socket(daemon):
    return daemon.folder / "vgpud-admin.sock"


def vgpuctl(daemon, *arguments, prefix=(), socket_path=None):
    """Runs vgpuctl; the result has exit code, stdout and stderr."""
    command = [*prefix, str(VGPUCTL), "--socket", str(socket_path or admin_socket(daemon)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, env=base_environment(),
                          stdin=subprocess.DEVNULL)


class Raw:
    """A connection to the admin socket that says what it likes."""

    def __init__(self, daemon):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT_SECONDS)
        self.socket.connect(str(admin_socket(daemon)))
        self.reader = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n")

    def line(self):
        """The next answer; None when vgpud has closed."""
        try:
            text = self.reader.readline()
        except ConnectionResetError:
            return None
        return json.loads(text) if text else None

    def ask(self, request):
        self.send(request)
        return self.line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.close()
        self.socket.close()
