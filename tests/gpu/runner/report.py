"""The table, as text while rows end and as Markdown for docs/frameworks.md."""

import time

from . import compare
from .machine import describe


class Finished:
    """A row with what came of it."""

    def __init__(self, row, native, forwarded, context):
        self.row, self.native, self.forwarded = row, native, forwarded
        self.lost = []
        self.folders = [context.work / f"{row.name}.{side}" for side in ("native", "forwarded")]
        self.same, self.how = self.judge()

    def judge(self):
        if self.native is None or self.forwarded is None:
            return None, ""
        if self.row.kind == "suite":
            native, forwarded = map(compare.tests_of, self.folders)
            if not native:
                return None, "no test ran natively"
            same, how, self.lost = compare.compare_tests(native, forwarded)
            if same and compare.results_of(self.native):
                same, results = compare.compare_results(self.native, self.forwarded, *self.folders)
                how = f"{how}; {results}"
            return same, how
        if not self.native.ok:
            return None, "fails natively" if self.native.seconds else "not run"
        if not self.forwarded.ok:
            return False, ""
        if compare.results_of(self.native):
            return compare.compare_results(self.native, self.forwarded, *self.folders)
        return compare.compare_lines(self.native, self.forwarded)

    @property
    def failed(self):
        """Passes natively and not forwarded, or differs; on one side alone, whether that side fails."""
        if self.native is None or self.forwarded is None:
            only = self.native or self.forwarded
            return not only.ok and only.seconds > 0 and self.row.kind != "suite"
        return self.same is False

    def side(self, index):
        attempt = (self.native, self.forwarded)[index]
        if attempt is None:
            return "-"
        text = attempt.outcome
        if self.row.kind == "suite" and (tests := compare.tests_of(self.folders[index])):
            text = compare.counts(tests) + ("" if attempt.outcome in ("ok", "exit 1") else f" ({attempt.outcome})")
        return text.splitlines()[0][:100]

    def seconds(self, index):
        attempt = (self.native, self.forwarded)[index]
        return f"{attempt.seconds:.1f}" if attempt and attempt.seconds else "-"

    def verdict(self):
        if self.same is None:
            return self.how or "-"
        why = "; ".join(filter(None, [self.how, "" if self.same else self.row.refused]))
        return ("yes: " if self.same else "NO" + (": " if why else "")) + why

    def refused(self):
        return ", ".join(sorted(self.forwarded.refused)) if self.forwarded and self.forwarded.refused else "-"

    def details(self):
        """Why it is not as it should be: the last lines of the side that failed, the tests that were lost."""
        lines = []
        for name, attempt in (("native", self.native), ("forwarded", self.forwarded)):
            if attempt and not attempt.ok and attempt.seconds:
                lines += [f"{name}: {line}" for line in attempt.last_lines()]
            elif attempt and not attempt.ok:
                lines += [f"{name}: {line}" for line in attempt.outcome.splitlines()[1:8]]
        if self.forwarded and self.forwarded.faults and (self.failed or not self.forwarded.ok):
            lines += [f"vgpud counted a fault: {reason}" for reason in sorted(self.forwarded.faults)]
        return lines + [f"passes natively only: {name}" for name in self.lost[:40]]


def line(finished):
    text = (f"{finished.row.name:34} {finished.side(0):30} {finished.side(1):30} {finished.verdict():44} "
            f"{finished.seconds(0):>6} {finished.seconds(1):>6}  {finished.refused()}")
    return "\n".join([text] + [f"    {detail}" for detail in finished.details()])


def heading():
    return f"{'row':34} {'native':30} {'forwarded':30} {'same':44} {'s nat.':>6} {'s forw':>6}  refused calls"


def summary(all_finished):
    same = sum(item.same is True for item in all_finished)
    failed = sum(item.failed for item in all_finished)
    refused = sum(item.failed and bool(item.row.refused) for item in all_finished)
    other = len(all_finished) - same - failed
    return (f"{len(all_finished)} rows: {same} as natively, {failed} not ({refused} of them refused on purpose), "
            f"{other} not compared")


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def markdown(all_finished, options):
    """The whole of docs/frameworks.md."""
    lines = ["# Frameworks, natively and forwarded", "",
             f"Made by `tests/gpu/run --markdown docs/frameworks.md` on {time.strftime('%Y-%m-%d', time.gmtime())}; "
             "not edited by hand.", ""]
    lines += [f"- {text}" for text in describe()]
    lines += ["", f"{summary(all_finished)}.", "",
              "Each row runs the same file natively and through `vgpu-run`, in processes of their own with the same "
              f"seed, {options.jobs} at a time, so its seconds are no measure of speed. *Same* is `equal` where all "
              "bytes of all results are, else within the tolerance that the workload names. *Refused calls* are those "
              "that vgpud counted in `vgpu_unsupported_calls_total` during the row.", ""]
    titles = {"workload": "Workloads", "suite": "Frameworks' own checks and tests", "program": "CUDA programs"}
    for kind, title in titles.items():
        chosen = [item for item in all_finished if item.row.kind == kind]
        if not chosen:
            continue
        lines += [f"## {title}", "",
                  "| row | what | native | forwarded | same | refused calls | native s | forwarded s |",
                  "|---|---|---|---|---|---|---:|---:|"]
        for item in chosen:
            values = [item.row.name, item.row.about, item.side(0), item.side(1), item.verdict(), item.refused(),
                      item.seconds(0), item.seconds(1)]
            lines.append("| " + " | ".join(map(cell, values)) + " |")
        lines.append("")
    troubled = [item for item in all_finished if item.details()]
    if troubled:
        lines += ["## What the rows that are not as they should be said last", ""]
        for item in troubled:
            lines += [f"### {item.row.name}", "", "```", *item.details(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"
