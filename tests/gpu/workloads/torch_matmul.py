# needs: torch
# about: matrix products: fp32, TF32, fp16, bf16, fp8, int8; batched; in two streams
"""Each product is compared with the CPU's in float64."""

import torch
from results import check, give

# Of the sum of the products' sizes' rounding, about.
KINDS = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
SIZES = [(16, 16, 16), (33, 65, 127), (256, 256, 256), (1024, 512, 768), (2048, 2048, 2048)]


def inputs(rows, inner, columns):
    generator = torch.Generator().manual_seed(rows * 31 + inner * 7 + columns)
    return [torch.rand(shape, generator=generator) * 2 - 1 for shape in ((rows, inner), (inner, columns))]


def main():
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name(0)}")
    for allow_tf32 in (False, True):
        torch.backends.cuda.matmul.allow_tf32 = allow_tf32
        for kind, tolerance in {torch.float32: 2e-3}.items() if allow_tf32 else KINDS.items():
            for size in SIZES:
                a, b = (values.to(kind) for values in inputs(*size))
                name = f"{'tf32' if allow_tf32 else str(kind).removeprefix('torch.')}-{'x'.join(map(str, size))}"
                result = a.cuda() @ b.cuda()
                check(name, result, a.double() @ b.double(), tolerance)
                give(name, result)
    torch.backends.cuda.matmul.allow_tf32 = False

    a, b = inputs(512, 1024, 256)
    a8, b8 = (a * 127).to(torch.int8), (b * 127).to(torch.int8)
    result = torch._int_mm(a8.cuda(), b8.cuda())
    check("int8", result, a8.double() @ b8.double(), 0)
    give("int8", result)

    if torch.cuda.get_device_capability() >= (8, 9):
        one = torch.ones((), device="cuda")
        f8 = a.cuda().to(torch.float8_e4m3fn), b.cuda().to(torch.float8_e4m3fn).t().contiguous().t()
        result = torch._scaled_mm(*f8, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
        check("fp8", result, f8[0].cpu().double() @ f8[1].cpu().double(), 1e-2)
        give("fp8", result)

    batches = torch.rand(32, 64, 48, generator=torch.Generator().manual_seed(3)).cuda()
    give("batched", torch.bmm(batches, batches.transpose(1, 2)))
    give("addmm", torch.addmm(batches[0, :, :48], batches[1], batches[2].t()[:, :48]))

    a = torch.rand(512, 512, generator=torch.Generator().manual_seed(1)).cuda()
    side = torch.cuda.Stream()
    first = a @ a
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        second = first @ a
    torch.cuda.current_stream().wait_stream(side)
    check("two-streams", second, a.cpu().double() @ a.cpu().double() @ a.cpu().double(), 1e-5)
    give("two-streams", second)


main()
