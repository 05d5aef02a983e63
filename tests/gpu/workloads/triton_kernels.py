# needs: torch triton
# about: hand-written Triton kernels: addition, softmax, matrix product with autotuning, atomics
import torch
import triton
import triton.language as tl
from results import check, give


@triton.jit
def add(a, b, out, count, block: tl.constexpr):
    where = tl.program_id(0) * block + tl.arange(0, block)
    mask = where < count
    tl.store(out + where, tl.load(a + where, mask) + tl.load(b + where, mask), mask)


@triton.jit
def softmax(source, out, columns, block: tl.constexpr):
    row, where = tl.program_id(0), tl.arange(0, block)
    mask = where < columns
    values = tl.load(source + row * columns + where, mask, other=-float("inf"))
    powers = tl.exp(values - tl.max(values, 0))
    tl.store(out + row * columns + where, powers / tl.sum(powers, 0), mask)


@triton.autotune([triton.Config({"block": 64}, num_warps=4), triton.Config({"block": 32}, num_warps=2)], ["n"])
@triton.jit
def product(a, b, c, n, block: tl.constexpr):
    rows = tl.program_id(0) * block + tl.arange(0, block)
    columns = tl.program_id(1) * block + tl.arange(0, block)
    total = tl.zeros((block, block), tl.float32)
    for start in range(0, n, block):
        inner = start + tl.arange(0, block)
        left = tl.load(a + rows[:, None] * n + inner[None, :])
        right = tl.load(b + inner[:, None] * n + columns[None, :])
        total += tl.dot(left, right)
    tl.store(c + rows[:, None] * n + columns[None, :], total)


@triton.jit
def histogram(values, bins, count, block: tl.constexpr):
    where = tl.program_id(0) * block + tl.arange(0, block)
    mask = where < count
    tl.atomic_add(bins + tl.load(values + where, mask, other=0), 1, mask)


generator = torch.Generator().manual_seed(61)
a, b = (torch.randn(100_003, generator=generator).cuda() for _ in range(2))
out = torch.empty_like(a)
add[(triton.cdiv(a.numel(), 1024),)](a, b, out, a.numel(), 1024)
check("add", out, a + b, 0)
give("add", out)

x = torch.randn(333, 700, generator=generator).cuda()
out = torch.empty_like(x)
softmax[(333,)](x, out, 700, 1024)
check("softmax", out, x.softmax(-1), 1e-5)
give("softmax", out)

a, b = (torch.randn(512, 512, generator=generator).half().cuda() for _ in range(2))
c = torch.empty(512, 512, device="cuda")
product[lambda meta: (512 // meta["block"], 512 // meta["block"])](a, b, c, 512)
check("product", c, a.cpu().double() @ b.cpu().double(), 1e-3)
give("product", c, 1e-5)

values = torch.randint(0, 50, (20_000,), generator=generator).int().cuda()
bins = torch.zeros(50, dtype=torch.int32, device="cuda")
histogram[(triton.cdiv(20_000, 256),)](values, bins, 20_000, 256)
check("histogram", bins, torch.bincount(values, minlength=50), 0)
give("histogram", bins)
