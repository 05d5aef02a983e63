# needs: torch triton
# seconds: 180
# slots: 2
# env: TORCHINDUCTOR_COMPILE_THREADS=4
# about: flex_attention, compiled to a Triton template: causal and sliding window, forward and backward
import torch
from results import check, give
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

generator = torch.Generator().manual_seed(197)
q, k, v = (torch.randn(2, 4, 512, 64, generator=generator).half().cuda().requires_grad_() for _ in range(3))


def window(_batch, _head, query, key):
    return (query >= key) & (query - key < 128)


mask = create_block_mask(window, None, None, 512, 512)
compiled = torch.compile(flex_attention)
out = compiled(q, k, v, block_mask=mask)
where = torch.arange(512, device="cuda")
dense = window(None, None, where[:, None], where[None, :])
wanted = torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=dense)
check("window", out, wanted, 5e-3)
out.float().square().sum().backward()
give("window", out, 1e-3)
give("dq", q.grad, 1e-2)
