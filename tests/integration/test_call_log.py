"""Which calls did VM 111 make, did they reach the GPU, when did it connect: answered by grep on the log."""

import re
import unittest

from harness import DaemonTest, program, wait_until


class CallLog(DaemonTest):
    def find(self, pattern, *parts):
        """The lines that hold `parts` and match, or a wait in vain."""
        expression = re.compile(pattern)
        return wait_until(lambda: [line for line in self.daemon.log_lines(*parts) if expression.search(line)],
                          lambda: f"no line with {parts} and {pattern}; the log:\n{self.daemon.log()[-6000:]}")

    def test_calls_and_answers(self):
        self.assert_passes(self.daemon.run(program("vector_add"), "1000", vm=111, pool="A"), "vector_add")
        self.daemon.wait_idle()
        lines = self.find(r"\bresult=CUDA_SUCCESS\b", "vm=111", "pool=A", "call=cuMemAlloc ")
        self.assertEqual(len(lines), 3, lines)
        for line in lines:
            self.assertRegex(line, r"\bsession=\d+\b.*\bbytes=4000\b.*\bpointer=0x[0-9a-f]+\b")
        launch, = self.find(r"call=cuLaunchKernel\b", "vm=111", "pool=A")
        self.assertRegex(launch, r"grid_x=4\b.*block_x=256\b.*result=CUDA_SUCCESS")
        copies = self.find(r"call=cuMemcpyHtoD", "vm=111", "pool=A")
        self.assertEqual(sum("bytes=4000" in line for line in copies), 2, copies)

    def test_connections_and_sessions(self):
        self.assert_passes(self.daemon.run(program("vector_add"), "1000", vm=112, pool="B"), "vector_add")
        self.daemon.wait_idle()
        self.find(r"connection opened", "vm=112", "pool=B")
        self.find(r"session opened", "vm=112", "pool=B")
        self.find(r"session closed", "vm=112", "pool=B")
        self.find(r"connection closed", "vm=112", "pool=B")
        for line in self.daemon.log_lines("vm=112"):
            self.assertRegex(line, r"^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S* level=\w+ ", "a line has no time or level")

    def test_a_failed_call_says_so(self):
        with self.daemon.guest(program("steps"), vm=113, pool="A") as guest:
            self.assertEqual(guest.ask(f"alloc {1 << 60}"), "error cudaErrorMemoryAllocation")
            self.find(r"result=CUDA_ERROR_OUT_OF_MEMORY", "vm=113", "call=cuMemAlloc", f"bytes={1 << 60}")

    def test_an_unsupported_call_is_named_once(self):
        with self.daemon.guest(program("steps"), vm=114, pool="A") as guest:
            for _ in range(3):
                guest.ask("unsupported")
            guest.ask("work")
            lines = self.find("cuImportExternalMemory", "vm=114")
            self.assertEqual(len(lines), 1, lines)


class QuietLog(DaemonTest):
    LOG_LEVEL = "info"

    def test_no_calls_below_debug(self):
        self.assert_passes(self.daemon.run(program("vector_add"), "1000", vm=111, pool="A"), "vector_add")
        self.daemon.wait_idle()
        self.assertEqual(self.daemon.log_lines("call=cuMemAlloc"), [])
        self.assertTrue(self.daemon.log_lines("session opened", "vm=111"), self.daemon.log())


if __name__ == "__main__":
    unittest.main()
