"""The rows of the table: the built CUDA programs, tests/gpu/workloads and tests/gpu/suites.

A file of workloads or suites says in comments at its top what it needs, one `key: value` a line after `#` or `//`:
  needs: MODULE…       Python modules without which the row cannot be run
  seconds: N           its limit (default 120)
  slots: N             how many of --jobs it takes (default 1)
  env: NAME=VALUE…     its environment, beside the runner's own
  link: -lX…           what nvcc links (.cu only)
  about: TEXT          what the table says of it
  refused: TEXT        why it is not as natively: what is not carried, on purpose
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
HEADER = re.compile(r"(?:#|//) (needs|seconds|slots|env|link|about|refused): (.*)")


@dataclass
class Row:
    name: str
    path: Path
    kind: str  # program, workload, suite
    seconds: int = 60
    slots: int = 1
    needs: list = field(default_factory=list)
    environment: dict = field(default_factory=dict)
    link: list = field(default_factory=list)
    about: str = ""
    refused: str = ""


def described(path, kind):
    row = Row(path.stem, path, kind, seconds=120)
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(("#", "//")):
            break
        match = HEADER.match(line)
        if not match:
            continue
        key, value = match.groups()
        if key in ("seconds", "slots"):
            setattr(row, key, int(value))
        elif key == "env":
            row.environment = dict(word.split("=", 1) for word in value.split())
        elif key in ("about", "refused"):
            setattr(row, key, value)
        else:
            setattr(row, key, value.split())
    return row


def programs(folder, variants):
    """The built CUDA programs; `steps` waits for commands."""
    return [Row(path.name, path, "program") for path in sorted(folder.glob(f"*.{variants}"))
            if path.is_file() and path.name.split(".")[0] != "steps"]


def in_folder(folder, kind):
    """Its files that start with such comments; the others are what they share."""
    files = sorted((HERE / folder).glob("*.py")) + sorted((HERE / folder).glob("*.cu"))
    return [described(path, kind) for path in files if HEADER.match(path.read_text(encoding="utf-8"))]


def workloads():
    return in_folder("workloads", "workload")


def suites():
    return in_folder("suites", "suite")
