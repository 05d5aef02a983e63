"""What was measured, and the table of it."""

import math
import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import rows

CATALOGUE = Path(__file__).resolve().parents[2] / "src/protocol/catalogue"
KIND = re.compile(r"^CALL\(\w+, (\w+), (\w+)\)", re.M)


@dataclass
class Side:
    repetitions: list = field(default_factory=list)  # of each the samples
    failures: list = field(default_factory=list)  # why, each once

    def samples(self):
        return [sample for repetition in self.repetitions for sample in repetition]

    def median(self):
        return statistics.median(self.samples()) if self.samples() else None

    def quartiles(self):
        ordered = sorted(self.samples())
        return quantile(ordered, 0.25), quantile(ordered, 0.75)

    def fail(self, why):
        if why not in self.failures:
            self.failures.append(why)


@dataclass
class Measured:
    row: rows.Row
    native: Side = field(default_factory=Side)
    forwarded: Side = field(default_factory=Side)
    calls: dict = field(default_factory=dict)  # of the forwarded side, for each time that the thing was done
    executor_cpu: float | None = None  # percent of a core while the row ran

    def side(self, name):
        return getattr(self, name)

    def ratio(self):
        native, forwarded = self.native.median(), self.forwarded.median()
        return forwarded / native if native and forwarded is not None else None

    def ratios(self):
        """Of each repetition by itself."""
        pairs = zip(self.native.repetitions, self.forwarded.repetitions)
        return [statistics.median(b) / statistics.median(a) for a, b in pairs if statistics.median(a)]

    def met(self):
        return self.row.met(self.native.median(), self.forwarded.median())


def quantile(ordered, part):
    place = part * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def number(value):
    """Three figures that count."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def cell(side):
    if side.samples():
        low, high = side.quartiles()
        return f"{number(side.median())} ({number(low)} to {number(high)})"
    return "failed" if side.failures else "-"


def line(measured):
    row = measured.row
    ratio, ratios = measured.ratio(), measured.ratios()
    shown = "-" if ratio is None else f"{ratio:.2f}x"
    if len(ratios) > 1:
        shown += f" ({min(ratios):.2f} to {max(ratios):.2f})"
    aim = f"{row.aim[0]} {row.aim[1]:g}" if row.aim else ""
    met = {True: ", met", False: ", **missed**", None: ""}[measured.met()] if aim else ""
    return f"| {row.title} [{row.unit}] | {cell(measured.native)} | {cell(measured.forwarded)} | {shown} | {aim}{met} |"


def kinds():
    """How each call crosses: async (no answer), sync, blocking (answered by another thread) …"""
    return {name: kind for path in CATALOGUE.glob("*.def") for name, kind in KIND.findall(path.read_text())}


def calls_line(measured, kind_of):
    """What crosses, the calls that wait for an answer first."""
    order = sorted(measured.calls.items(), key=lambda item: (kind_of.get(item[0]) == "async", -item[1]))
    named = [f"{name} {number(count)}" + ("" if kind_of.get(name) == "async" else f" ({kind_of.get(name, '?')})")
             for name, count in order if count >= 0.01]
    return f"- {measured.row.title}: " + (", ".join(named) or "none")


def failure_lines(shown):
    """A line for each reason, with all rows that have it."""
    reasons = {}
    for measured in shown:
        for name in ("native", "forwarded"):
            for why in measured.side(name).failures:
                reasons.setdefault(why, []).append(f"{measured.row.name} ({name})")
    return [f"- {why}: {', '.join(names)}" for why, names in reasons.items()]


def markdown(head, all_measured):
    """The report as Markdown. head: lines that say what was measured where."""
    shown = [m for m in all_measured if m.native.samples() or m.forwarded.samples() or m.native.failures
             or m.forwarded.failures]
    text = ["\n".join(head), "",
            "Medians, in brackets the quartiles of all samples; ratio: forwarded / native, in brackets the lowest and "
            "the highest of the repetitions.", "",
            "| | native | forwarded | ratio | aim |", "|---|---|---|---|---|", *map(line, shown)]
    for title, lines in (
            ("Not measured", failure_lines(shown)),
            ("The executor's CPU while the row ran, in percent of a core",
             [f"- {m.row.title}: {number(m.executor_cpu)}" for m in shown if m.executor_cpu is not None]),
            ("Forwarded calls each time, those that wait for an answer first",
             [calls_line(m, kinds()) for m in shown if m.calls])):
        if lines:
            text += ["", f"{title}:", "", *lines]
    return "\n".join(text) + "\n"


def as_json(head, all_measured):
    def side(one):
        if not one.samples():
            return {"failures": one.failures}
        low, high = one.quartiles()
        return {"median": one.median(), "quartiles": [low, high], "repetitions": one.repetitions,
                "failures": one.failures}

    return {"machine": head, "rows": [
        {"name": m.row.name, "title": m.row.title, "unit": m.row.unit, "native": side(m.native),
         "forwarded": side(m.forwarded), "ratio": m.ratio(), "aim": list(m.row.aim), "met": m.met(), "calls": m.calls,
         "executor_cpu_percent": m.executor_cpu} for m in all_measured]}
