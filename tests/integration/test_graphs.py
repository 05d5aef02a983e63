"""Stream capture and graphs by the driver API."""

import unittest

from harness import BUILD, DaemonTest


class Graphs(DaemonTest):
    def test_captures_replay_and_are_broken_as_the_driver_has_it(self):
        self.assert_passes(self.daemon.run(BUILD / "tests/graph-capture", pool="A", vm=1), "graph_capture")


if __name__ == "__main__":
    unittest.main()
