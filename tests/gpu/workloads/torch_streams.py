# needs: torch
# about: several streams and events with priorities, timing, waits, per-thread work, external streams, pinned copies
import threading

import torch
from results import check, give

generator = torch.Generator().manual_seed(67)
inputs = [torch.randn(256, 256, generator=generator) for _ in range(8)]
streams = [torch.cuda.Stream(priority=-(index % 2)) for index in range(8)]
events = [torch.cuda.Event(enable_timing=True) for _ in range(9)]
outputs = []
events[0].record()
for index, (stream, host) in enumerate(zip(streams, inputs)):
    with torch.cuda.stream(stream):
        value = host.pin_memory().to("cuda", non_blocking=True)
        for _ in range(5):
            value = (value @ value).div_(16)
        events[index + 1].record()
    outputs.append(value)
for event in events[1:]:
    torch.cuda.current_stream().wait_event(event)
total = torch.stack(outputs)
give("chains", total, 1e-5)
torch.cuda.synchronize()
assert all(event.query() and events[0].elapsed_time(event) >= 0 for event in events[1:])
assert all(stream.query() for stream in streams)

results = {}


def work(index):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        value = inputs[index].cuda()
        for _ in range(20):
            value = torch.tanh(value @ value / 16)
        stream.synchronize()
        results[index] = value.cpu()


threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
give("threads", torch.stack([results[index] for index in range(6)]), 1e-5)

external = torch.cuda.ExternalStream(streams[0].cuda_stream)
with torch.cuda.stream(external):
    value = inputs[0].cuda() + 1
external.synchronize()
check("external", value, inputs[0] + 1, 0)

event = torch.cuda.Event(blocking=True)
torch.cuda._sleep(1_000_000)
event.record()
event.synchronize()
assert event.query()
print("least and greatest priority", torch.cuda.Stream.priority_range())
