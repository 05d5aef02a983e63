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


class Watch:
    """What some processes use from now on."""

    def __init__(self, pids):
        self.start, self.before = time.monotonic(), {pid: used(pid) for pid in pids}

    def rates(self):
        """(milliseconds of CPU, wake-ups) a second so far."""
        taken = time.monotonic() - self.start
        pairs = [(used(pid), before) for pid, before in self.before.items()]
        return (sum(now[0] - then[0] for now, then in pairs) * 1e3 / taken,
                sum(now[1] - then[1] for now, then in pairs) / taken)

    def cpu(self):
        """Percent of a core so far."""
        return self.rates()[0] / 10


def idle(guest, daemon, seconds):
    """What is used a second while nobody asks for anything, as Watch.rates(): {"session": of guest and executor,
    "daemon": …}. daemon: None without one, natively."""
    time.sleep(min(1, seconds))  # longer than anything spins before it sleeps
    watches = {"session": Watch([guest] + (descendants(daemon) if daemon else []))}
    if daemon:
        watches["daemon"] = Watch([daemon])
    time.sleep(seconds)
    return {who: watch.rates() for who, watch in watches.items()}
