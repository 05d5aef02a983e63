"""A real Prometheus on a vgpud under load: what it knows is what the clients did; every panel, rule and alert has data, and
no number that vgpud tells is left unseen."""

import re
import time
import unittest

from busy_host import POOL_OF, BusyHost, wait_for_reading
from harness import program, wait_until
from prometheus import Prometheus, dashboards, expressions, promtool, substitute

FORMS = r"_(?:bucket|sum|count)$"  # of a histogram
# Prometheus' own, about a scrape or an alert.
NOT_VGPUDS = {"up", "scrape_duration_seconds", "ALERTS"}


def names_in(expression, known):
    """Those of `known`, metrics and recorded rules, that an expression asks for."""
    without_labels = re.sub(r"\{[^}]*\}|\b(?:by|on|group_left|group_right) *\([^)]*\)", " ", expression)
    words = set(re.findall(r"[a-zA-Z_][\w:]*", without_labels))
    return {word for word in words if word in known or re.match(r"(vgpu|process)_|.*:vgpu_", word)}


def family(name, histograms):
    base = re.sub(FORMS, "", name)
    return base if base in histograms else name


class CountsAreExact(unittest.TestCase):
    """Clients say what they did; Prometheus has the same numbers."""

    @classmethod
    def setUpClass(cls):
        cls.host = cls.enterClassContext(BusyHost(log_level="debug"))
        cls.prometheus = cls.enterClassContext(Prometheus(cls.host.address))
        cls.did = {}
        for vm, launches, size, times in ((111, 7, 100001, 3), (112, 13, 4097, 2), (113, 3, 70001, 1)):
            sums = cls.did.setdefault(vm, {})
            for _ in range(times):
                result = cls.host.daemon.run(program("counted"), launches, size, vm=vm)
                assert result.returncode == 0, result.stdout
                for name, value in re.findall(r"(\w+)=(\d+)", result.stdout):
                    sums[name] = sums.get(name, 0) + int(value)
                sums["programs"] = sums.get("programs", 0) + 1
        cls.host.daemon.wait_idle()
        cls.prometheus.wait_for_scrape(after=time.time())

    def by_pool(self, what):
        sums = {}
        for vm, did in self.did.items():
            sums[POOL_OF[vm]] = sums.get(POOL_OF[vm], 0) + did[what]
        return sums

    def assert_counted(self, metric, what, times=1):
        """`times`: how often a client does it for each of `what`."""
        by_vm = {str(vm): did[what] * times for vm, did in self.did.items()}
        by_pool = {pool: count * times for pool, count in self.by_pool(what).items()}
        self.assertEqual(self.prometheus.by("vm", f"sum by (vm) ({metric}) > 0"), by_vm, metric)
        self.assertEqual(self.prometheus.by("pool", f"sum by (pool) ({metric}) > 0"), by_pool, metric)

    def test_kernels_and_bytes(self):
        self.assert_counted("vgpu_kernels_launched_total", "kernels_launched")
        for direction in ("host_to_device", "device_to_host", "device_to_device"):
            self.assert_counted(f'vgpu_copied_bytes_total{{direction="{direction}"}}', direction)

    def test_calls_by_name(self):
        self.assert_counted('vgpu_calls_by_name_total{call="cuLaunchKernel"}', "kernels_launched")
        for call, times in (("cuMemAlloc", 2), ("cuMemFree", 2)):
            self.assert_counted(f'vgpu_calls_by_name_total{{call="{call}"}}', "programs", times)

    def test_calls_processed(self):
        """Each call that an executor ran has a line in the log, an account of its own."""
        lines = [line for line in self.host.daemon.log().splitlines() if " call=" in line]
        by_vm = {str(vm): sum(f" vm={vm} " in line for line in lines) for vm in self.did}
        by_pool = {pool: sum(f" pool={pool} " in line for line in lines) for pool in "AB"}
        self.assertGreater(min(by_vm.values()), 20)
        processed = "vgpu_calls_processed_total"
        self.assertEqual(self.prometheus.by("vm", f"sum by (vm) ({processed}) > 0"), by_vm)
        self.assertEqual(self.prometheus.by("pool", f"sum by (pool) ({processed}) > 0"), by_pool)
        # And the sum over names is the sum over all.
        self.assertEqual(self.prometheus.query(f"sum by (vm, pool) ({processed}) != sum by (vm, pool) "
                                               "(vgpu_calls_by_name_total)"), [])

    def test_nothing_is_left(self):
        for gauge in ("vgpu_sessions", "vgpu_memory_used_bytes", "vgpu_arena_used_bytes", "vgpu_objects", "vgpu_leases"):
            self.assertEqual(self.prometheus.query(f"{gauge} != 0"), [], gauge)


class EverythingIsSeen(unittest.TestCase):
    """Panels, rules and alerts, on a host that is busy and has its troubles."""

    @classmethod
    def setUpClass(cls):
        cls.host = cls.enterClassContext(BusyHost())
        cls.prometheus = cls.enterClassContext(Prometheus(cls.host.address))
        wait_for_reading(cls.host, 61)
        cls.prometheus.wait_for_scrape(after=time.time())
        cls.host.make_trouble()
        cls.host.start_load()
        # Rates need two samples of each series, and recorded rules their rates.
        for rule in ("instance_vm_pool:vgpu_gpu_share:ratio_rate5m", "instance_vm_pool:vgpu_due_share:ratio",
                     "instance_vm_pool:vgpu_lease_wait_seconds:p99_rate5m > 0", "instance_vm:vgpu_memory_used:ratio > 0.1"):
            wait_until(lambda rule=rule: len(cls.prometheus.query(rule)) >= 2, f"{rule} never has data")
        cls.exposed = cls.host.daemon.metrics_text()
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", cls.exposed, re.MULTILINE))
        cls.histograms = {name for name, kind in types.items() if kind == "histogram"}
        cls.exported = set(types)
        cls.rules = cls.prometheus.rules()
        cls.recorded = {rule["name"]: rule["query"] for rule in cls.rules if rule["type"] == "recording"}
        cls.alerts = {rule["name"]: rule["query"] for rule in cls.rules if rule["type"] == "alerting"}

    @classmethod
    def tearDownClass(cls):
        cls.host.stop_load()

    def asked(self):
        """Every expression of panels, rules and alerts, with where it stands."""
        for uid, board in dashboards().items():
            for panel, target in expressions(board):
                yield f"{uid}: {panel['title']}", target["expr"]
        for name, expression in {**self.recorded, **self.alerts}.items():
            yield name, expression

    def metrics_of(self, expression):
        known = self.exported | set(self.recorded)
        return {family(name, self.histograms) for name in names_in(expression, known)}

    def test_every_panel_has_data(self):
        for uid, board in dashboards().items():
            for panel, target in expressions(board):
                expression = substitute(target["expr"], {"vm": "111"})
                with self.subTest(dashboard=uid, panel=panel["title"], expression=expression):
                    wait_until(lambda: any(value == value for _, value in self.prometheus.query(expression)), "no data")

    def test_every_rule_works(self):
        self.assertGreater(len(self.recorded), 10)
        self.assertGreater(len(self.alerts), 10)
        for rule in self.prometheus.rules():
            self.assertEqual(rule["health"], "ok", rule)
        for name in self.recorded:
            with self.subTest(rule=name):
                wait_until(lambda: self.prometheus.query(name), "no data")

    def test_names_exist(self):
        for where, expression in self.asked():
            with self.subTest(where=where, expression=expression):
                unknown = self.metrics_of(substitute(expression, {"vm": "111"})) - self.exported - set(self.recorded)
                self.assertEqual(unknown - NOT_VGPUDS, set())

    def test_every_metric_is_in_a_panel_or_an_alert(self):
        seen, waiting = set(), list(self.alerts.values())
        waiting += [substitute(target["expr"], {"vm": "111"}) for board in dashboards().values()
                    for _, target in expressions(board)]
        while waiting:
            for name in self.metrics_of(waiting.pop()) - seen:
                seen.add(name)
                if name in self.recorded:
                    waiting.append(self.recorded[name])
        self.assertEqual(self.exported - seen, set())
        self.assertEqual(set(self.recorded) - seen, set(), "recorded for nobody")

    def test_metrics_are_as_prometheus_wants_them(self):
        status, said = promtool("check", "metrics", text=self.exposed)
        self.assertEqual((status, said), (0, ""))

    def test_alerts_of_this_host(self):
        """What was made to happen fires, and nothing that cannot be."""
        wanted = {"VgpuVmLimitRefused", "VgpuUnsupportedCalls", "VgpuGpuXid"}
        firing = 'ALERTS{alertstate="firing"}'
        wait_until(lambda: wanted <= set(self.prometheus.by("alertname", firing)),
                   lambda: f"only {self.prometheus.query(firing)}")
        self.assertEqual(set(self.prometheus.by("alertname", firing)) - wanted, set())
        self.assertEqual(self.prometheus.by("call", 'ALERTS{alertname="VgpuUnsupportedCalls"}'),
                         {"cuImportExternalMemory": 1})

    def test_vms_join_by_domain_and_gpus_by_uuid(self):
        self.assertEqual(self.prometheus.by("domain", 'vgpu_sessions * on (vm) group_left (domain) vgpu_vm_info{domain="training"}'),
                         {"training": 1})
        uuids = self.prometheus.by("uuid", "vgpu_pool_gpu_info * on (uuid) group_left (name) vgpu_gpu_info")
        self.assertEqual(len(uuids), 1)

    def test_who_holds_the_gpu_and_who_waits(self):
        """Two VMs that keep a fair pool busy: one has the GPU, the other one waits."""
        for state in ("held", "waiting"):
            wait_until(lambda: self.prometheus.query(f'sum(vgpu_leases{{pool="A", state="{state}"}}) == 1'), state)

    def test_series_stay_few(self):
        """docs/monitoring.md promises so many for each VM."""
        per_vm = [line for line in self.exposed.splitlines() if 'vm="112"' in line]
        self.assertLess(len(per_vm), 150)


if __name__ == "__main__":
    unittest.main()
