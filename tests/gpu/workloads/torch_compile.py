# needs: torch triton
# seconds: 180
# slots: 2
# env: TORCHINDUCTOR_COMPILE_THREADS=4
# about: torch.compile with Triton kernels: pointwise, reduction, training, dynamic shapes; with CUDA graphs
import torch
from results import check, give
from torch import nn


def pointwise(x, y):
    return torch.where(x > 0, x.sin() * y, y.exp() - 1).softmax(-1) + x.mean(-1, keepdim=True)


generator = torch.Generator().manual_seed(51)
x, y = (torch.randn(512, 768, generator=generator).cuda() for _ in range(2))
compiled = torch.compile(pointwise)
check("pointwise", compiled(x, y), pointwise(x, y), 1e-5)
give("pointwise", compiled(x, y), 1e-6)

reduced = torch.compile(pointwise, mode="reduce-overhead")
for _ in range(4):
    out = reduced(x, y)
give("reduce-overhead", out, 1e-6)

torch.manual_seed(53)
model = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.LayerNorm(256), nn.Linear(256, 16)).cuda()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
step = torch.compile(lambda batch, target: nn.functional.cross_entropy(model(batch), target))
losses = []
for _ in range(20):
    batch = torch.randn(64, 64, generator=generator).cuda()
    target = torch.randint(0, 16, (64,), generator=generator).cuda()
    loss = step(batch, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.detach())
give("training-losses", torch.stack(losses), 1e-4)

dynamic = torch.compile(lambda value: (value * 2).cumsum(-1).relu(), dynamic=True)
for size in (64, 100, 1000):
    value = torch.randn(4, size, generator=generator).cuda()
    check(f"dynamic-{size}", dynamic(value), (value * 2).cumsum(-1).relu(), 1e-4)
