"""What bench/native_speed/run measures: a row for each thing, in the table's order."""

import fnmatch
from dataclasses import dataclass

CALLS, DECODE, TORCH, START, IDLE = "calls", "decode", "torch", "start", "idle"
# What needs the most time comes first: a budget that is too small leaves out what is measured in a moment.
PROGRAMS = (TORCH, START, DECODE, CALLS, IDLE)

# How an aim is worded; `value` is of the forwarded side.
TESTS = {
    "ratio <=": lambda native, forwarded, aim: forwarded / native <= aim,
    "ratio >=": lambda native, forwarded, aim: forwarded / native >= aim,
    "added <=": lambda native, forwarded, aim: forwarded - native <= aim,
    "value <=": lambda native, forwarded, aim: forwarded <= aim,
}


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str
    program: str  # which measures it
    aim: tuple = ()  # a word of TESTS and a number

    def met(self, native, forwarded):
        """None where there is no aim, or nothing to compare with."""
        if not self.aim or forwarded is None:
            return None
        if native in (None, 0) and not self.aim[0].startswith("value"):
            return None
        return TESTS[self.aim[0]](native, forwarded, self.aim[1])


def copies():
    for size, text, unit in (("4b", "4 B", "us"), ("64k", "64 KiB", "GB/s"), ("large", "256 MiB", "GB/s")):
        for kind, aim in (("pageable", 1.0), ("pinned", 0.98)):
            for way in ("HtoD", "DtoH"):
                yield Row(f"{way.lower()}_{size}_{kind}", f"{way} {text}, {kind}", unit, CALLS,
                          ("ratio >=", aim) if size == "large" else ())


ROWS = [
    Row("launch", "cuLaunchKernel, caller's thread", "us", CALLS, ("value <=", 0.5)),
    Row("launch_sync", "launch + cuStreamSynchronize", "us", CALLS, ("ratio <=", 1.25)),
    Row("stream_query", "idle cuStreamQuery", "us", CALLS, ("added <=", 2)),
    Row("stream_sync", "idle cuStreamSynchronize", "us", CALLS, ("added <=", 2)),
    Row("mem_get_info", "cuMemGetInfo", "us", CALLS, ("added <=", 2)),
    Row("event_record", "cuEventRecord", "us", CALLS),
    Row("event_query", "cuEventQuery, done", "us", CALLS, ("added <=", 2)),
    Row("alloc_free", "cuMemAlloc + cuMemFree, 1 MiB", "us", CALLS, ("ratio <=", 1.1)),
    Row("alloc_free_async", "cuMemAllocAsync + cuMemFreeAsync, 1 MiB", "us", CALLS),
    Row("module_load", "module load, first function, unload", "us", CALLS),
    Row("graph_launch", "cuGraphLaunch of 100 kernels, caller's thread", "us", CALLS),
    Row("graph_replay", "cuGraphLaunch of 100 kernels + cuStreamSynchronize", "us", CALLS, ("ratio <=", 1.02)),
    *copies(),
    Row("wait_cpu", "the program's CPU while it waits for a kernel of 1 s", "% of a core", CALLS, ("value <=", 5)),
    Row("start", "start of a program until its first kernel is done", "ms", START, ("ratio <=", 1.1)),
    Row("torch_start", "start of `import torch` until its first kernel is done", "ms", TORCH, ("ratio <=", 1.1)),
    Row("decode", "decode loop in plain CUDA, 1.2 billion parameters", "tokens/s", DECODE, ("ratio >=", 0.98)),
    Row("gpt2_decode", "GPT-2-small decode, eager PyTorch, fp16, batch 1", "tokens/s", TORCH, ("ratio >=", 0.98)),
    Row("gpt2_train", "GPT-2-small training step, bf16, 8 x 512", "ms", TORCH, ("ratio <=", 1.01)),
    Row("tiny_train", "launch-bound training step, 20 layers of 64", "ms", TORCH, ("ratio <=", 1.1)),
    Row("torch_graph", "replay of a graph of 100 small kernels, PyTorch", "us", TORCH, ("ratio <=", 1.02)),
    Row("conv_train", "training step of a convolution net, 64 x 3 x 64 x 64", "ms", TORCH, ("ratio <=", 1.01)),
    Row("conv_infer", "convolution net, one image of 224 x 224", "ms", TORCH, ("ratio <=", 1.1)),
    Row("idle_cpu", "idle session: CPU of guest and executor", "ms/s", IDLE, ("value <=", 0.1)),
    Row("idle_wakeups", "idle session: wake-ups of guest and executor", "1/s", IDLE, ("value <=", 0)),
    Row("daemon_cpu", "vgpud with one idle session: CPU", "ms/s", IDLE),
    Row("daemon_wakeups", "vgpud with one idle session: wake-ups", "1/s", IDLE),
]
BY_NAME = {row.name: row for row in ROWS}


def chosen(patterns):
    """The rows that match, or are of a program that does; all without any pattern. Raises ValueError naming a pattern
    that nothing matches."""
    if not patterns:
        return list(ROWS)
    for pattern in patterns:
        if not any(matches(row, pattern) for row in ROWS):
            raise ValueError(f"no row matches {pattern!r}; --list prints them")
    return [row for row in ROWS if any(matches(row, pattern) for pattern in patterns)]


def matches(row, pattern):
    return fnmatch.fnmatch(row.name, pattern) or row.program == pattern
