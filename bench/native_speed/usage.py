"""What processes use: CPU time and wake-ups, as /proc tells of their threads."""

import re
import time
from pathlib import Path

SLEPT = re.compile(r"^voluntary_ctxt_switches:\s*(\d+)", re.M)


def used(pid):
    """(seconds of CPU, times it slept) of all threads that a process has now; nothing of one that is gone."""
    seconds, slept = 0.0, 0
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        try:
            seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
            slept += int(SLEPT.search((thread / "status").read_text()).group(1))
        except (OSError, AttributeError, IndexError):
            continue
    return seconds, slept


def descendants(pid):
    """Its children and theirs."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name before the last bracket may hold anything.
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
    found, more = [], [pid]
    while more:
        parent = more.pop()
        children = [child for child, its_parent in parents.items() if its_parent == parent]
        found += children
        more += children
    return found


def idle(guest, daemon, seconds):
    """What one session uses a second while nobody asks for anything: {"guest": (ms of CPU, wake-ups), …}. daemon: None
    without one, natively."""
    roles = {"guest": [guest]}
    if daemon is not None:
        roles.update(daemon=[daemon], executor=descendants(daemon))
    time.sleep(min(1, seconds))  # longer than anything spins before it sleeps
    before = {role: [used(pid) for pid in pids] for role, pids in roles.items()}
    start = time.monotonic()
    time.sleep(seconds)
    taken = time.monotonic() - start
    result = {}
    for role, pids in roles.items():
        pairs = list(zip(before[role], map(used, pids)))
        result[role] = (sum(now[0] - then[0] for then, now in pairs) * 1e3 / taken,
                        sum(now[1] - then[1] for then, now in pairs) / taken)
    return result
