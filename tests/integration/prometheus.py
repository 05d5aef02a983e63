"""Runs a real Prometheus with the configuration, rules and dashboards of monitoring/ on a vgpud. Used by tests and by
monitoring/pictures. Python's standard library only."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from harness import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"
DASHBOARDS = MONITORING / "grafana/dashboards"


def tool(name):
    """A program of Prometheus' Debian package: in PATH, or where scripts/test unpacks it."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:{ROOT}/build/tools/usr/bin")
    if found is None:
        raise AssertionError(f"{name} is missing: scripts/test fetches it, or install Debian's package prometheus")
    return found


def promtool(*arguments, text=None):
    """Exit status and output of promtool."""
    done = subprocess.run([tool("promtool"), *map(str, arguments)], input=text, capture_output=True, text=True,
                          cwd=MONITORING)
    return done.returncode, done.stdout + done.stderr


class Prometheus:
    """A server in a temporary folder that asks the vgpuds at these addresses once a second."""

    def __init__(self, *targets):
        self.folder = Path(tempfile.mkdtemp(prefix="vgpu-prometheus-"))
        self.port = free_port()
        shutil.copytree(MONITORING / "rules", self.folder / "rules")
        (self.folder / "targets").mkdir()
        (self.folder / "targets/vgpud.yml").write_text(f"- targets: {json.dumps(targets)}\n")
        config = (MONITORING / "prometheus.yml").read_text()
        config = re.sub(r"(scrape|evaluation)_interval: 15s", r"\1_interval: 1s", config)
        config = config.replace("localhost:9090", f"127.0.0.1:{self.port}")
        (self.folder / "prometheus.yml").write_text(config)
        self.log = open(self.folder / "log", "w+b")
        self.process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=self.folder)
        try:
            wait_until(self.ready, lambda: f"Prometheus is not ready; its log:\n{self.said()}")
        except AssertionError:
            self.__exit__()
            raise

    def said(self):
        return (self.folder / "log").read_text(errors="replace")

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"Prometheus ended with {self.process.returncode}; its log:\n{self.said()}")
        try:
            return self.get("/-/ready") is not None
        except OSError:
            return False

    def get(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()

    def api(self, path, **parameters):
        """What an endpoint of /api/v1 answers. An expression that is wrong is an AssertionError with Prometheus' text."""
        try:
            return json.loads(self.get(f"/api/v1/{path}", **parameters))["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression):
        """Now: a list of (labels, value)."""
        return [(sample["metric"], float(sample["value"][1])) for sample in self.api("query", query=expression)["result"]]

    def query_range(self, expression, start, end, step):
        """A list of (labels, [(time, value)])."""
        found = self.api("query_range", query=expression, start=start, end=end, step=step)["result"]
        return [(series["metric"], [(at, float(value)) for at, value in series["values"]]) for series in found]

    def by(self, label, expression):
        """Now: value by a label's value."""
        return {labels.get(label): value for labels, value in self.query(expression)}

    def rules(self):
        return [rule for group in self.api("rules")["groups"] for rule in group["rules"]]

    def wait_for_scrape(self, after):
        """Until what Prometheus knows of every vgpud was asked after this time."""
        wait_until(lambda: self.query(f'min(timestamp(up{{job="vgpu"}})) > {after}')
                   and self.query('min(up{job="vgpu"}) == 1'),
                   lambda: f"Prometheus does not reach vgpud: {self.get('/api/v1/targets')}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def dashboards():
    """All dashboards, by uid."""
    boards = [json.loads(file.read_text()) for file in sorted(DASHBOARDS.glob("*.json"))]
    return {board["uid"]: board for board in boards}


def expressions(board):
    """Each expression of a dashboard's panels: (panel, target)."""
    return [(panel, target) for panel in board["panels"] for target in panel.get("targets", ())]


def substitute(expression, variables, rate_interval="15s"):
    """What Grafana asks: its variables replaced. `All` of a variable is `.*`."""
    known = {"__rate_interval": rate_interval, "__interval": "1s", "instance": ".*", "pool": ".*", "gpu": ".*", **variables}
    return re.sub(r"\$(\w+|\{\w+\})", lambda match: known[match.group(1).strip("{}")], expression)
