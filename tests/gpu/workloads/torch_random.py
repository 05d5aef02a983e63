# needs: torch
# about: random numbers of every distribution, sorting, scans, reductions, indexing, unique (CUB), interpolation
import torch
import torch.nn.functional as functional
from results import check, give

torch.cuda.manual_seed(89)
device = "cuda"
for name, values in {
    "rand": torch.rand(10_000, device=device), "randn": torch.randn(10_000, device=device),
    "randint": torch.randint(0, 1000, (10_000,), device=device), "randperm": torch.randperm(10_000, device=device),
    "bernoulli": torch.bernoulli(torch.full((10_000,), 0.3, device=device)),
    "poisson": torch.poisson(torch.full((10_000,), 4.0, device=device)),
    "exponential": torch.empty(10_000, device=device).exponential_(),
    "multinomial": torch.multinomial(torch.arange(1.0, 101, device=device), 50),
    "dropout": functional.dropout(torch.ones(10_000, device=device), 0.4),
    "gamma": torch.distributions.Gamma(torch.tensor(2.0, device=device), 1.0).sample((1000,)),
}.items():
    give(name, values, 1e-6)

x = torch.randn(200_000, generator=torch.Generator().manual_seed(97))
y = x.cuda()
for name, call in {
    "sort": lambda v: v.sort().values, "argsort": lambda v: v.argsort(stable=True),
    "topk": lambda v: v.topk(100).values,
    "cumsum": lambda v: v.double().cumsum(0), "unique": lambda v: (v * 50).round().unique(), "median": torch.median,
    "histc": lambda v: v.histc(64, -3, 3), "nonzero": lambda v: (v > 2).nonzero(), "var": torch.var,
    "scatter": lambda v: torch.zeros(100, dtype=torch.float64, device=v.device).index_add_(
        0, torch.arange(200_000, device=v.device) % 100, v.double()),
    "interpolate": lambda v: functional.interpolate(v.view(1, 2, 250, 400), scale_factor=1.5, mode="bilinear"),
    "grid": lambda v: functional.grid_sample(v[:20_000].view(1, 2, 100, 100), v[:5000].view(1, 50, 50, 2).tanh(),
                                             align_corners=False),
    "kthvalue": lambda v: v.kthvalue(500).values,
    "searchsorted": lambda v: torch.searchsorted(v[:1000].sort().values, v),
}.items():
    got = call(y)
    check(name, got, call(x), 1e-4)
    give(name, got, 1e-6)
