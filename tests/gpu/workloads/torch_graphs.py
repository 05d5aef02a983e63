# needs: torch
# about: CUDA graphs: capture, replay, private pools, make_graphed_callables, a captured training step, random numbers
import torch
from results import check, give
from torch import nn

torch.manual_seed(31)


def simple():
    x = torch.zeros(1024, device="cuda")
    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        (x * 2 + 1).relu_()
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        y = (x * 2 + 1).relu_()
        z = y.cumsum(0)
    for step in range(5):
        x.copy_(torch.arange(1024, dtype=torch.float32) - 500 + step)
        graph.replay()
        check(f"replay {step}", z, (x.cpu() * 2 + 1).relu().cumsum(0), 1e-5)
    give("replayed", z)


def pools():
    pool = torch.cuda.graph_pool_handle()
    graphs, outputs = [], []
    x = torch.ones(256, 256, device="cuda")
    x @ x
    torch.cuda.synchronize()
    for index in range(3):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            outputs.append((x @ x) * (index + 1))
        graphs.append(graph)
    for graph in graphs:
        graph.replay()
    give("pools", torch.stack([value.sum() for value in outputs]))
    for graph in graphs:
        graph.reset()


def streams_inside():
    x = torch.randn(512, 512, generator=torch.Generator().manual_seed(1)).cuda()
    side = torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    x @ x
    with torch.cuda.stream(side):
        x @ x
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        main = torch.cuda.current_stream()
        side.wait_stream(main)
        a = x.sin()
        with torch.cuda.stream(side):
            b = x @ x
        main.wait_stream(side)
        c = a + b
    graph.replay()
    give("forked", c, 1e-6)


def random_numbers():
    torch.cuda.manual_seed(37)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        noise = torch.randn(1000, device="cuda")
    values = []
    for _ in range(3):
        graph.replay()
        values.append(noise.clone())
    assert not torch.equal(values[0], values[1])
    give("random", torch.stack(values))


def training_step():
    torch.manual_seed(41)
    model = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.LayerNorm(128), nn.Linear(128, 8)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, capturable=True)
    x, y = torch.zeros(32, 64, device="cuda"), torch.zeros(32, 8, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()
    generator = torch.Generator().manual_seed(43)
    losses = []
    for _ in range(30):
        x.copy_(torch.randn(32, 64, generator=generator))
        y.copy_(x[:, :8].tanh())
        graph.replay()
        losses.append(loss.clone())
    give("training-losses", torch.stack(losses), 1e-4)


def graphed_callables():
    torch.manual_seed(47)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)).cuda()
    sample = torch.randn(16, 32, device="cuda", requires_grad=True)
    graphed = torch.cuda.make_graphed_callables(model, (sample,))
    x = torch.randn(16, 32, generator=torch.Generator().manual_seed(2)).cuda().requires_grad_()
    out = graphed(x)
    out.square().sum().backward()
    give("graphed-out", out, 1e-6)
    give("graphed-dx", x.grad, 1e-5)


simple()
pools()
streams_inside()
random_numbers()
training_step()
graphed_callables()
