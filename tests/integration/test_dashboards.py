"""The files of monitoring/: what can be said of them without a daemon."""

import json
import re
import subprocess
import unittest

from prometheus import DASHBOARDS, MONITORING, ROOT, dashboards, expressions, promtool

VARIABLES_OF_GRAFANA = {"__rate_interval", "__interval", "__range", "__url_time_range"}


class Rules(unittest.TestCase):
    def assert_good(self, *arguments):
        status, said = promtool(*arguments)
        self.assertEqual(status, 0, said)

    def test_promtool_finds_no_mistake(self):
        self.assert_good("check", "config", "prometheus.yml")
        self.assert_good("check", "rules", *sorted(MONITORING.glob("rules/*.yml")))

    def test_each_alert_fires_when_it_should(self):
        self.assert_good("test", "rules", *sorted(MONITORING.glob("rules/tests/*.yml")))

    def alerts(self):
        text = (MONITORING / "rules/alerts.yml").read_text()
        return re.split(r"^ +- alert: ", text, flags=re.MULTILINE)[1:]

    def test_each_alert_is_tested_and_has_its_paragraph(self):
        tests = "".join(file.read_text() for file in MONITORING.glob("rules/tests/*.yml"))
        runbook = (ROOT / "docs/runbook.md").read_text()
        names = []
        for alert in self.alerts():
            name = alert.split()[0]
            names.append(name)
            with self.subTest(alert=name):
                self.assertRegex(tests, rf'alertname(: |="){name}\b')
                for key in ("severity: (critical|warning|info)\n", 'summary: "', "description: >-",
                            f'runbook_url: "docs/runbook.md#{name.lower()}"'):
                    self.assertRegex(alert, key)
                paragraph = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", runbook, re.MULTILINE | re.DOTALL)
                self.assertIsNotNone(paragraph, "docs/runbook.md does not know it")
                for part in ("**Means**", "**Look**", "**Do**"):
                    self.assertIn(part, paragraph.group(1))
        self.assertEqual(re.findall(r"^## (Vgpu\w+)$", runbook, re.MULTILINE), names, "the runbook's order is the alerts'")

    def test_compose_file_names_what_is_there(self):
        """No YAML in Python's library: the left sides of volumes that are paths."""
        compose = (MONITORING / "docker-compose.yml").read_text()
        paths = re.findall(r"^ +- (\./\S+?):", compose, re.MULTILINE)
        self.assertGreater(len(paths), 3)
        for path in paths:
            self.assertTrue((MONITORING / path).exists(), path)


class Dashboards(unittest.TestCase):
    def each(self):
        for uid, board in dashboards().items():
            with self.subTest(dashboard=uid):
                yield board

    def test_files_are_what_is_generated(self):
        done = subprocess.run([MONITORING / "grafana/generate", "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_uids_are_fixed_and_name_the_files(self):
        self.assertEqual(sorted(dashboards()), ["vgpu-gpu", "vgpu-overview", "vgpu-vm"])
        for board in self.each():
            self.assertTrue((DASHBOARDS / f"{board['uid']}.json").exists())
            self.assertNotIn("id", board)

    def test_panels_have_ids_and_places_of_their_own(self):
        for board in self.each():
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(set(ids)), len(ids))
            taken = {}
            for panel in board["panels"]:
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
                for x in range(place["x"], place["x"] + place["w"]):
                    for y in range(place["y"], place["y"] + place["h"]):
                        self.assertIsNone(taken.get((x, y)), f"{panel['title']} lies on {taken.get((x, y))}")
                        taken[x, y] = panel["title"]

    def test_panels_ask_the_chosen_data_source_and_explain_themselves(self):
        for board in self.each():
            for panel, target in expressions(board):
                self.assertEqual(target["datasource"], {"type": "prometheus", "uid": "${datasource}"}, panel["title"])
                self.assertEqual(panel["datasource"], target["datasource"])
                self.assertTrue(panel["description"].endswith("."), panel["title"])
                self.assertIn("unit", panel["fieldConfig"]["defaults"])

    def test_variables_are_declared_and_used(self):
        for board in self.each():
            declared = {variable["name"]: variable for variable in board["templating"]["list"]}
            self.assertEqual(next(iter(declared.values()))["type"], "datasource")
            used = set(re.findall(r"\$\{?(\w+)(?=[}\W])", json.dumps([board["panels"], list(declared.values())])))
            self.assertEqual(used - VARIABLES_OF_GRAFANA - {"__all", "__field"} - set(declared), set())
            self.assertEqual(set(declared) - used, set())

    def test_links_lead_to_dashboards_that_exist(self):
        for board in self.each():
            for uid in re.findall(r'"/d/([\w-]+)\?', json.dumps(board)):
                self.assertIn(uid, dashboards())


if __name__ == "__main__":
    unittest.main()
