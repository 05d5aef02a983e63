"""Allocations that grow, shrink and cross streams, for each way PyTorch has to get memory; no row of its own."""

import torch
from results import check, give


def run():
    cuda = torch.cuda
    torch.manual_seed(83)
    generator = torch.Generator().manual_seed(83)
    kept, total = [], 0.0
    for step in range(60):
        size = int(torch.randint(1, 24 << 20, (1,), generator=generator))
        block = torch.full((size,), float(step), device="cuda")
        kept.append((step, size, block))
        if step % 3 == 2:
            del kept[int(torch.randint(0, len(kept), (1,), generator=generator))]
        if step % 20 == 19:
            cuda.empty_cache()
    for step, size, block in kept:
        assert block[0].item() == step and block[size - 1].item() == step, step
        total += block[::1000].double().sum().item()
    give("kept", [total, len(kept)])
    del kept, block
    cuda.synchronize()
    cuda.empty_cache()

    model = torch.nn.Linear(1024, 1024).cuda()
    torch.nn.init.constant_(model.weight, 0.01)
    side = cuda.Stream()
    x = torch.randn(512, 1024, generator=generator).cuda()
    with cuda.stream(side):
        side.wait_stream(cuda.default_stream())
        y = model(x).relu()
        x.record_stream(side)
    cuda.current_stream().wait_stream(side)
    y.sum().backward()
    give("gradient", model.weight.grad, 1e-6)

    graph = cuda.CUDAGraph()
    a = torch.ones(1000, device="cuda")
    with cuda.graph(graph):
        b = (a * 3).cumsum(0)
    a.fill_(2)
    graph.replay()
    check("graph", b[-1], torch.tensor(6000.0), 1e-6)
    give("graph", b)
    print("allocated", cuda.memory_allocated(), "reserved", cuda.memory_reserved())
