# needs: torch
# about: scaled_dot_product_attention: flash, efficient, cuDNN, math; forward and backward, causal and masked
import torch
import torch.nn.functional as functional
from results import check, give
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION,
            "cudnn": SDPBackend.CUDNN_ATTENTION, "math": SDPBackend.MATH}

for name, backend in BACKENDS.items():
    for kind in (torch.float16, torch.bfloat16):
        for causal in (False, True):
            generator = torch.Generator().manual_seed(17)
            q, k, v = (torch.randn(2, 8, 256, 64, generator=generator).to(kind) for _ in range(3))
            on_gpu = [x.cuda().requires_grad_() for x in (q, k, v)]
            with sdpa_kernel(backend):
                out = functional.scaled_dot_product_attention(*on_gpu, is_causal=causal)
            out.float().sin().sum().backward()
            label = f"{name}-{str(kind).removeprefix('torch.')}-{'causal' if causal else 'full'}"
            precise = [x.double() for x in (q, k, v)]
            reference = functional.scaled_dot_product_attention(*precise, is_causal=causal)
            check(label, out, reference, 2e-2)
            give(f"{label}-out", out, 1e-3)
            for part, x in zip("qkv", on_gpu):
                give(f"{label}-d{part}", x.grad, 1e-2)

generator = torch.Generator().manual_seed(19)
q, k, v = (torch.randn(2, 4, 128, 32, generator=generator) for _ in range(3))
mask = torch.rand(2, 1, 128, 128, generator=generator) > 0.3
for name in ("efficient", "math"):
    with sdpa_kernel(BACKENDS[name]):
        out = functional.scaled_dot_product_attention(q.cuda(), k.cuda(), v.cuda(), attn_mask=mask.cuda())
    wanted = functional.scaled_dot_product_attention(q.double(), k.double(), v.double(), mask)
    check(f"masked-{name}", out, wanted, 1e-3)
    give(f"masked-{name}", out, 1e-4)
