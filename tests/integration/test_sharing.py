"""Many sessions on one GPU: shares by weight, priorities, what idle neighbours cost, hangs, reloads, accounts."""

import contextlib
import json
import time
import unittest

from harness import SANITIZER, DaemonTest, program, wait_until

POOLS = """
[[pool]]
name = "A"
"""


def vm(number, **keys):
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join([f"[[vm]]\nid = {number}", 'pool = "A"', *lines]) + "\n"


# The shim of a sanitized build is too slow for guests to keep their rings full, so that they would not compete.
competition = unittest.skipIf(SANITIZER, "guests of a sanitized build do not saturate a GPU")


class SharingTest(DaemonTest):
    LOG_LEVEL = "info"

    @contextlib.contextmanager
    def saturating(self, *numbers):
        """Guests of these VMs that want the GPU without end."""
        with contextlib.ExitStack() as stack:
            guests = [stack.enter_context(self.daemon.guest(program("steps"), vm=number)) for number in numbers]
            for guest in guests:
                answer = guest.ask("launch")
                self.assertEqual(answer[:2], "ok", f"{answer}\n{self.log_tail()}")
            for guest in guests:
                guest.tell("saturate")
            for guest in guests:
                self.assertEqual(guest.answer(), "ok saturating")
            yield guests
            # All at once: who ends while the others go on waits for its turns.
            for guest in guests:
                guest.process.stdin.close()
            for guest in guests:
                self.assertEqual(guest.finish(), 0)

    def gpu_seconds(self):
        seconds = self.daemon.metrics().by("vgpu_gpu_seconds_total", "vm")
        return {int(number): value for number, value in seconds.items() if number != "other"}

    def shares(self, numbers, seconds):
        """What part of the GPU time that they used together each of these VMs had."""
        before = self.gpu_seconds()
        time.sleep(seconds)  # of competition: what is measured
        after = self.gpu_seconds()
        used = {number: after[number] - before[number] for number in numbers}
        total = sum(used.values())
        self.assertGreater(total, 0)
        return {number: used[number] / total for number in numbers}

    def assert_shares(self, weights, seconds, tolerance=0.02):
        """That shares are as weights while all of them compete. Guests need the CPU to keep their rings full; where
        something else took it, they did not compete, and another window is looked at."""
        total = sum(weights.values())
        seen = []
        for _ in range(4):
            seen.append(self.shares(weights, seconds))
            if all(abs(seen[-1][number] - weight / total) <= tolerance for number, weight in weights.items()):
                return
        self.fail(f"shares are not as the weights {weights}: {seen}")


@competition
class Shares(SharingTest):
    FEW = {1: 100, 2: 300}
    EIGHT = {10 + i: weight for i, weight in enumerate((50, 100, 100, 150, 200, 200, 300, 400))}
    CONFIG = POOLS + "".join(vm(number, weight=weight) for number, weight in {**FEW, **EIGHT}.items())

    def test_two(self):
        with self.saturating(*self.FEW):
            self.assert_shares(self.FEW, 10)

    def test_eight(self):
        with self.saturating(*self.EIGHT):
            self.assert_shares(self.EIGHT, 10)

    def test_an_idle_neighbour_costs_nothing(self):
        with self.daemon.guest(program("steps"), vm=2) as idle:
            self.assertEqual(idle.ask("work")[:2], "ok")
            with self.saturating(1):
                self.assertGreater(self.shares([1, 2], 2)[1], 0.999)
            self.assertEqual(idle.ask("work")[:2], "ok")


@competition
class Hundred(SharingTest):
    """A quantum of 2 ms: with 10 ms each would have ten turns in ten seconds, which is too coarse to look at."""

    WEIGHTS = {100 + i: (50, 100, 200, 400)[i % 4] for i in range(100)}
    CONFIG = POOLS + "quantum_microseconds = 2000\n" + "".join(vm(n, weight=weight) for n, weight in WEIGHTS.items())

    def test_a_hundred(self):
        with self.saturating(*self.WEIGHTS):
            total = sum(self.WEIGHTS.values())
            seen = []
            for _ in range(3):
                shares = self.shares(self.WEIGHTS, 10)
                errors = {number: shares[number] - weight / total for number, weight in self.WEIGHTS.items()}
                # What some had too much, together: others had too little by as much.
                seen.append(sum(map(abs, errors.values())) / 2)
                if seen[-1] <= 0.03 and max(map(abs, errors.values())) <= 0.003:
                    return
        self.fail(f"of the GPU's time so much went to others than it should: {seen}")


@competition
class Priorities(SharingTest):
    CONFIG = """
[[pool]]
name = "A"
floor_percent = 10
""" + vm(1, priority="high") + vm(2, priority="low", weight=1000) + vm(3, priority="low", weight=1000)

    def test_floor_under_a_saturating_priority(self):
        with self.saturating(1, 2, 3):
            shares = self.shares([1, 2, 3], 6)
        # By weight alone it would be the other way round, and without a floor nothing.
        self.assertGreater(shares[2] + shares[3], 0.08)
        self.assertGreater(shares[1], 0.6)


class Charges(SharingTest):
    WAYS = {1: "poll", 2: "synchronize", 3: "event", 4: "copy"}
    CONFIG = POOLS + "".join(map(vm, WAYS))

    def test_gpu_time_counts_however_a_program_waits_for_it(self):
        for number, way in self.WAYS.items():
            with self.subTest(way), self.daemon.guest(program("steps"), vm=number) as guest:
                begin = time.monotonic()
                answer = guest.ask(f"wait {way}")
                self.assertEqual(answer[:3], "ok ")
                taken = int(answer[3:]) / 1e6
                # From the answer on until the GPU is known to be drained.
                wait_until(lambda vm=number, taken=taken: self.gpu_seconds()[vm] > taken / 2,
                           lambda vm=number, taken=taken: f"{self.gpu_seconds()[vm]} s are charged of {taken}", 10)
                self.assertLess(self.gpu_seconds()[number], time.monotonic() - begin)


class Hangs(SharingTest):
    CONFIG = POOLS + vm(1, max_kernel_seconds=1) + vm(2) + vm(3)

    def test_a_kernel_that_never_ends_is_ended_when_others_want_the_gpu(self):
        with self.daemon.guest(program("steps"), vm=2) as other, self.daemon.guest(program("steps"), vm=1) as hanging:
            self.assertEqual(other.ask("work")[:2], "ok")
            self.assertEqual(hanging.ask("work")[:2], "ok")
            hanging.tell("hang")
            wait_until(lambda: self.daemon.metrics().value("vgpu_calls_by_name_total", call="cuLaunchKernel") > 0,
                       "nothing was launched")
            self.assertEqual(other.ask("work")[:2], "ok")
            self.assertEqual(hanging.answer(), "error cudaErrorLaunchTimeout")
            # It stays.
            self.assertEqual(hanging.ask("work"), "error cudaErrorLaunchTimeout")
            hanging.finish()
            self.assertEqual(other.ask("work")[:2], "ok")
            wait_until(lambda: self.daemon.metrics().value("vgpu_faults_total", vm=1, reason="watchdog") == 1,
                       lambda: str(self.daemon.metrics().select("vgpu_faults_total")))
            self.assertTrue(self.daemon.log_lines("vm=1", "a lease did not end in time"), self.log_tail())
        # A new session of the same VM is served.
        self.assert_passes(self.daemon.run(program("vector_add"), vm=1), "vector_add")


class Waits(SharingTest):
    CONFIG = POOLS + vm(1) + vm(2)

    def test_a_kernel_that_polls_for_its_guest_while_others_want_the_gpu(self):
        with self.saturating(2):
            self.assert_passes(self.daemon.run(program("streams_events"), vm=1), "streams_events")


class Reload(SharingTest):
    CONFIG = POOLS + vm(1) + vm(2) + '[unregistered]\nallow = true\n'

    @competition
    def test_weights_change_while_sessions_run(self):
        with self.saturating(1, 2):
            self.assert_shares({1: 100, 2: 100}, 3, tolerance=0.04)
            said = self.daemon.reload(POOLS + vm(1, weight=400) + vm(2))
            self.assertIn("was reloaded", said)
            self.assert_shares({1: 400, 2: 100}, 3, tolerance=0.04)

    def test_a_bad_file_changes_nothing(self):
        said = self.daemon.reload(POOLS + vm(1, weight=5000) + '[[vm]]\nid = 9\npool = "nowhere"\n')
        self.assertIn("not reloaded", said)
        self.assertIn("from 1 to 1000", said)
        wait_until(lambda: self.daemon.log_lines("nowhere"), "the second mistake is not named")
        self.assert_passes(self.daemon.run(program("vector_add"), vm=1), "vector_add")

    def test_what_needs_a_restart_is_named(self):
        said = self.daemon.reload(POOLS + '[[pool]]\nname = "B"\n' + vm(1))
        self.assertIn("not reloaded", said)
        self.assertIn("[[pool]]", said)

    def test_unregistered_vms_are_refused_from_now_on(self):
        self.assert_passes(self.daemon.run(program("vector_add"), vm=7), "vector_add")
        self.daemon.reload(POOLS + vm(1) + vm(2) + '[unregistered]\nallow = false\n')
        result = self.daemon.run(program("vector_add"), vm=7)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("is not registered", result.stdout)
        self.assert_passes(self.daemon.run(program("vector_add"), vm=2), "vector_add")
        self.daemon.reload(self.CONFIG)


class Accounts(SharingTest):
    CONFIG = POOLS + vm(5) + '[daemon]\nstate = "@FOLDER@/state"\n'

    def test_what_a_vm_used_is_in_the_file_of_the_day(self):
        self.assert_passes(self.daemon.run(program("vector_add"), vm=5), "vector_add")
        self.daemon.wait_idle()
        shown = self.daemon.metrics()
        self.assertEqual(self.daemon.stop(), 0)
        lines = [json.loads(line) for file in sorted((self.daemon.folder / "state/accounting").iterdir())
                 for line in file.read_text().splitlines()]
        self.assertTrue(all(line["vm"] == 5 and line["pool"] == "A" for line in lines), lines)
        for key, name in (("gpu_seconds", "vgpu_gpu_seconds_total"), ("calls", "vgpu_calls_processed_total"),
                          ("kernels", "vgpu_kernels_launched_total"), ("leases", "vgpu_lease_wait_seconds_count")):
            self.assertAlmostEqual(sum(line[key] for line in lines), shown.value(name, vm=5), places=6, msg=key)
        self.assertGreater(sum(line["calls"] for line in lines), 0)
        # Its memory lived for milliseconds, which no sample sees.
        self.assertGreater(sum(line["memory_byte_seconds"] for line in lines), 0)
        self.setUpClass()


if __name__ == "__main__":
    unittest.main()
