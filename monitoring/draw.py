"""Draws Grafana's dashboards without Grafana: see monitoring/pictures."""

import math
import sys
import textwrap
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, MultipleLocator  # noqa: E402
from PIL import Image  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/integration"))

from busy_host import POOL_OF, BusyHost  # noqa: E402
from harness import program  # noqa: E402
from prometheus import Prometheus, dashboards, substitute  # noqa: E402

TARGET = ROOT / "docs/pictures"
COLUMN, LINE = 0.62, 0.36  # inches of one unit of a dashboard's grid
VARIABLES = {"vm": "111"}
MOST_NAMED = 9  # of a panel's curves, the largest
SHORT = {"uuid": lambda text: text[:4] + "…" + text[-4:], "instance": lambda text: "host:9745"}
COLOURS = {"green": "#3b8f4a", "yellow": "#d9a300", "red": "#c4342b"}


def scaled(value, steps, factor):
    for step in steps[:-1]:
        if abs(value) < factor:
            return f"{value:.3g} {step}".rstrip()
        value /= factor
    return f"{value:.3g} {steps[-1]}"


def text_of(value, unit):
    """As Grafana writes a value of this unit."""
    if value != value:
        return "—"
    if unit in ("bytes", "binBps"):
        return scaled(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024) + ("/s" if unit == "binBps" else "")
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "hertz":
        return scaled(value, ["Hz", "kHz", "MHz", "GHz"], 1000)
    if unit == "s":
        small = value != 0 and abs(value) < 1
        return scaled(value * 1e6, ["µs", "ms", "s"], 1000) if small else f"{value:.3g} s"
    if unit == "bool_yes_no":
        return "Yes" if value else "No"
    if unit == "dateTimeAsIso":
        return time.strftime("%H:%M:%S", time.gmtime(value / 1000))
    suffix = {"ops": "/s", "celsius": " °C", "watt": " W"}.get(unit, "")
    return scaled(value, ["", "k", "M", "G"], 1000).rstrip() + suffix


def legend_of(labels, form):
    known = {name: SHORT.get(name, str)(value) for name, value in labels.items()}
    if form == "__auto":
        return ", ".join(f"{value}" for name, value in sorted(known.items()) if name != "__name__")
    for name, value in known.items():
        form = form.replace("{{" + name + "}}", value)
    return form


class Drawer:
    """Panels of one dashboard, from what Prometheus knows between two moments."""

    def __init__(self, prometheus, start, end):
        self.prometheus, self.start, self.end = prometheus, start, end

    def series(self, panel):
        for target in panel["targets"]:
            expression = substitute(target["expr"], VARIABLES, "5s")
            for labels, values in self.prometheus.query_range(expression, self.start, self.end, 1):
                yield legend_of(labels, target["legendFormat"]), labels, values

    def now(self, panel):
        for target in panel["targets"]:
            for labels, value in self.prometheus.query(substitute(target["expr"], VARIABLES, "5s")):
                yield legend_of(labels, target["legendFormat"]), labels, value

    def timeseries(self, axes, panel):
        defaults = panel["fieldConfig"]["defaults"]
        unit, drawn = defaults["unit"], sorted(self.series(panel), key=lambda one: -sum(value for _, value in one[2]))
        if "stacking" in defaults.get("custom", {}):
            self.stack(axes, drawn)
        else:
            for legend, _, values in drawn:
                dashed = legend.startswith(("due", "bound", "limit", "explained", "highest", "allowed"))
                axes.plot([at - self.start for at, _ in values], [value for _, value in values], label=legend, linewidth=1,
                          linestyle="--" if dashed else "-")
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is not None and "thresholdsStyle" in defaults.get("custom", {}):
                axes.axhline(step["value"], color=COLOURS[step["color"]], linewidth=0.6, linestyle=":")
        axes.set_xlim(0, self.end - self.start)
        axes.set_ylim(bottom=0)
        if unit in ("bytes", "binBps") and axes.get_ylim()[1] > 1:
            axes.yaxis.set_major_locator(MultipleLocator(2 ** math.ceil(math.log2(axes.get_ylim()[1] / 6))))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text_of(value, unit)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
        axes.grid(linewidth=0.3)
        if drawn:
            axes.legend(*(entries[:MOST_NAMED] for entries in axes.get_legend_handles_labels()), fontsize=5, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=3, frameon=False)

    def stack(self, axes, drawn):
        times = sorted({at for _, _, values in drawn for at, _ in values})
        rows = [[dict(values).get(at, 0) for at in times] for _, _, values in drawn]
        if rows:
            axes.stackplot([at - self.start for at in times], rows, labels=[legend for legend, _, _ in drawn], alpha=0.7)

    def heatmap(self, axes, panel):
        drawn = {float(labels["le"]): dict(values) for _, labels, values in self.series(panel)}
        bounds = sorted(drawn)
        times = sorted({at for values in drawn.values() for at in values})
        cells, below = [], {}
        for bound in bounds:
            cells.append([max(drawn[bound].get(at, 0) - below.get(at, 0), 0) for at in times])
            below = drawn[bound]
        axes.pcolormesh([at - self.start for at in times], range(len(bounds)), cells, cmap="Oranges", shading="nearest")
        axes.set_yticks(range(len(bounds)), [text_of(bound, "s") if bound != float("inf") else "more" for bound in bounds])
        axes.tick_params(axis="y", labelsize=4.5)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))

    def stat(self, axes, panel):
        axes.axis("off")
        defaults = panel["fieldConfig"]["defaults"]
        values = list(self.now(panel))
        for place, (legend, _, value) in enumerate(values):
            colour = "#222"
            for step in defaults["thresholds"]["steps"]:
                if step["value"] is None or value >= step["value"]:
                    colour = COLOURS[step["color"]]
            y = 1 - (place + 0.5) / len(values)
            name = legend if len(values) > 1 else ""
            axes.text(0.5, y, f"{name}  {text_of(value, defaults['unit'])}".strip(), ha="center", va="center", color=colour,
                      fontsize=14 if len(values) == 1 else 7)

    def table(self, axes, panel):
        axes.axis("off")
        rows = [{name: SHORT.get(name, str)(text) for name, text in labels.items() if name not in ("__name__", "job")}
                for _, labels, _ in self.now(panel)]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        lines = [columns] + [[row.get(name, "") for name in columns] for row in rows]
        for y, line in enumerate(lines):
            for x, cell in enumerate(line):
                axes.text((x + 0.05) / len(columns), 1 - (y + 0.6) / max(len(lines), 4), textwrap.shorten(cell, 22), fontsize=5.5,
                          weight="bold" if y == 0 else "normal", va="center")

    def bargauge(self, axes, panel):
        values = sorted(((value, legend) for legend, _, value in self.now(panel)))[-22:]
        axes.barh([legend for _, legend in values], [value for value, _ in values], color=COLOURS["green"])
        axes.set_xscale("log")
        for place, (value, _) in enumerate(values):
            axes.text(value, place, f" {value:.0f}", fontsize=5, va="center")
        axes.tick_params(axis="y", labelsize=5)

    def text(self, axes, panel):
        axes.axis("off")
        plain = panel["options"]["content"].replace("**", "").strip()
        axes.text(0, 1, textwrap.fill(plain, 200), fontsize=6, va="top")

    def dashboard(self, board):
        panels = board["panels"]
        height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
        figure = plt.figure(figsize=(24 * COLUMN, height * LINE + 0.4), dpi=90)
        total = height + 0.4 / LINE
        figure.suptitle(board["title"], x=0.01, y=1 - 0.1 / (total * LINE), ha="left", fontsize=11, weight="bold")
        for panel in panels:
            place = panel["gridPos"]
            top = 1 - (place["y"] + 0.4 / LINE) / total
            if panel["type"] == "row":
                figure.text(0.01, top - 0.7 / total, panel["title"].replace("$vm", VARIABLES["vm"]), fontsize=9, color="#555", weight="bold")
                continue
            curve = panel["type"] in ("timeseries", "heatmap", "bargauge")
            left = (0.6 if panel["type"] != "bargauge" else 3) + 1 * curve
            low, high = (2.0 if panel["type"] == "timeseries" else 1.0 if curve else 0.3), 0.9
            axes = figure.add_axes([(place["x"] + left) / 24.3, top - (place["h"] - low) / total,
                                    (place["w"] - left - 0.4) / 24.3, (place["h"] - low - high) / total])
            axes.set_title(panel["title"].replace("$vm", VARIABLES["vm"]), fontsize=7, loc="left")
            axes.tick_params(labelsize=5.5)
            getattr(self, panel["type"])(axes, panel)
        file = TARGET / f"{board['uid']}.png"
        figure.savefig(file)
        plt.close(figure)
        Image.open(file).convert("RGB").quantize(96).save(file, optimize=True)
        return file


def work(host, seconds):
    """One VM, then all three, trouble in between; the GPU gets warmer meanwhile."""
    begin = time.monotonic()
    host.start_load((111,))
    while (passed := time.monotonic() - begin) < seconds:
        if len(host.load) == 1 and passed > seconds / 4:
            host.sensors.say(temperature=74, power=560000)
            host.start_load((112, 113))
            host.make_trouble()
        for vm in POOL_OF:
            host.daemon.run(program("counted"), 20, 1 << 20, vm=vm)
            host.daemon.run(program("streams_events"), vm=vm)


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 90
    TARGET.mkdir(parents=True, exist_ok=True)
    with BusyHost() as host, Prometheus(host.address) as prometheus:
        start = time.time()
        work(host, seconds)
        end = time.time()
        for board in dashboards().values():
            print(Drawer(prometheus, start, end).dashboard(board))
        host.stop_load()


if __name__ == "__main__":
    main()
