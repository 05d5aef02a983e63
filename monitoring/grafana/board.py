"""Makes Grafana's JSON of dashboards from short descriptions of their panels. Python's standard library only."""

UNIT = {  # Grafana's names
    "number": "short", "per second": "ops", "bytes": "bytes", "bytes per second": "binBps", "seconds": "s",
    "ratio": "percentunit", "celsius": "celsius", "watts": "watt", "hertz": "hertz", "yes/no": "bool_yes_no",
    "time": "dateTimeAsIso",
}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}

GREEN, YELLOW, RED = "green", "yellow", "red"


def query(expression, legend="", table=False):
    return {"expr": expression, "legend": legend, "table": table}


def panel(title, unit, queries, description, *, kind="timeseries", width=8, height=7, thresholds=None, stacked=False,
          maximum=None, link=None, hide=()):
    """One panel. `queries`: of query(), or one expression. `thresholds`: (value, colour), ascending; below the first all
    is green. `hide`: labels that a table does not show."""
    if isinstance(queries, str):
        queries = [query(queries)]
    return {"title": title, "unit": unit, "queries": queries, "description": description, "kind": kind, "width": width,
            "height": height, "thresholds": thresholds, "stacked": stacked, "maximum": maximum, "link": link,
            "hide": hide}


def text(title, markdown, *, width=WIDTH, height=4):
    return {"title": title, "kind": "text", "markdown": markdown, "width": width, "height": height}


def row(title, *panels):
    return {"title": title, "panels": panels}


def _thresholds(steps):
    return {"mode": "absolute",
            "steps": [{"color": GREEN, "value": None}] + [{"color": color, "value": value} for value, color in steps or ()]}


def _defaults(described):
    defaults = {"unit": UNIT[described["unit"]], "thresholds": _thresholds(described["thresholds"]), "min": 0}
    if described["maximum"] is not None:
        defaults["max"] = described["maximum"]
    if described["kind"] == "timeseries":
        custom = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
        if described["stacked"]:
            custom.update(stacking={"mode": "normal", "group": "A"}, fillOpacity=40)
        if described["thresholds"]:
            custom["thresholdsStyle"] = {"mode": "line"}
        defaults.update(custom=custom, color={"mode": "palette-classic"})
    elif described["thresholds"]:
        defaults["color"] = {"mode": "thresholds"}
    if described["link"]:
        defaults["links"] = [described["link"]]
    if described["unit"] == "time":
        del defaults["min"]
    return defaults


def _options(kind):
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "heatmap":
        return {"calculate": False, "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                "yAxis": {"unit": "s"}, "cellGap": 1, "legend": {"show": True}, "tooltip": {"show": True}}
    if kind == "stat":
        return {"reduceOptions": LAST, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
    if kind == "bargauge":
        return {"reduceOptions": LAST, "orientation": "horizontal", "displayMode": "basic", "valueMode": "text"}
    return {}


def _panel_json(number, described, x, y):
    place = {"h": described["height"], "w": described["width"], "x": x, "y": y}
    if described["kind"] == "text":
        return {"id": number, "type": "text", "title": described["title"], "gridPos": place,
                "options": {"mode": "markdown", "content": described["markdown"]}}
    targets = []
    for letter, asked in zip("ABCDEFGH", described["queries"]):
        target = {"refId": letter, "datasource": SOURCE, "expr": asked["expr"], "legendFormat": asked["legend"] or "__auto"}
        if described["kind"] == "table":
            target.update(format="table", instant=True)
        elif described["kind"] == "bargauge":
            target.update(instant=True, range=False)
        elif described["kind"] == "heatmap":
            target.update(format="heatmap", legendFormat="{{le}}")
        targets.append(target)
    made = {"id": number, "type": described["kind"], "title": described["title"],
            "description": described["description"], "datasource": SOURCE, "gridPos": place, "targets": targets,
            "fieldConfig": {"defaults": _defaults(described), "overrides": []}, "options": _options(described["kind"])}
    if described["kind"] == "table":
        hidden = {name: True for name in ("Time", "Value", "__name__", "job", *described["hide"])}
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return made


def _place(rows):
    """Panels from left to right, rows from top to bottom."""
    panels, y = [], 0
    for described in rows:
        panels.append({"id": len(panels) + 1, "type": "row", "title": described["title"], "collapsed": False,
                       "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}, "panels": []})
        y += 1
        x = tallest = 0
        for one in described["panels"]:
            if x + one["width"] > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            panels.append(_panel_json(len(panels) + 1, one, x, y))
            x += one["width"]
            tallest = max(tallest, one["height"])
        y += tallest
    return panels


def variable(name, label, asked, *, many=True):
    """A choice among label values. `many`: several or all at once."""
    made = {"name": name, "label": label, "type": "query", "datasource": SOURCE, "definition": asked,
            "query": {"query": asked, "refId": name}, "refresh": 2, "sort": 3, "multi": many, "includeAll": many,
            "hide": 0, "options": []}
    if many:
        made.update(allValue=".*", current={"selected": True, "text": ["All"], "value": ["$__all"]})
    return made


DATA_SOURCE = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0,
               "refresh": 1, "options": [], "multi": False, "includeAll": False}
HOST = variable("instance", "Host", "label_values(vgpu_build_info, instance)")


def dashboard(uid, title, description, variables, rows):
    others = {"asDropdown": False, "icon": "dashboard", "includeVars": False, "keepTime": True, "tags": ["vgpu"],
              "targetBlank": False, "title": "vgpu", "type": "dashboards"}
    return {"uid": uid, "title": title, "description": description, "tags": ["vgpu"], "schemaVersion": 38, "version": 1,
            "editable": True, "graphTooltip": 1, "refresh": "30s", "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser", "links": [others], "annotations": {"list": []},
            "templating": {"list": [DATA_SOURCE, HOST, *variables]}, "panels": _place(rows)}
