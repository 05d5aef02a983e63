# needs: torch
# about: sparse COO, CSR, BSR through cuSPARSE: products, conversions, gradients; 2:4 structured through cuSPARSELt
import warnings

import torch
from results import check, give

warnings.filterwarnings("ignore")
generator = torch.Generator().manual_seed(79)
dense = torch.randn(300, 200, generator=generator) * (torch.rand(300, 200, generator=generator) < 0.05)
other = torch.randn(200, 40, generator=generator)
wanted = dense.double() @ other.double()
for name, convert in {"coo": torch.Tensor.to_sparse, "csr": torch.Tensor.to_sparse_csr,
                      "csc": torch.Tensor.to_sparse_csc,
                      "bsr": lambda value: value.to_sparse_bsr((20, 20))}.items():
    matrix = convert(dense.cuda())
    check(f"{name}-dense", matrix.to_dense(), dense, 0)
    got = matrix @ other.cuda()
    check(f"{name}-product", got, wanted, 1e-5)
    give(f"{name}-product", got, 1e-6)
csr = dense.cuda().to_sparse_csr()
check("sparse-sparse", (csr @ dense.t().contiguous().cuda().to_sparse_csr()).to_dense(), dense @ dense.t(), 1e-5)
check("vector", csr @ other[:, 0].cuda(), wanted[:, 0], 1e-5)
coo = dense.cuda().to_sparse()
check("sum", (coo + coo * 2).coalesce().to_dense(), dense * 3, 1e-6)
check("addmm", torch.sparse.addmm(torch.ones(300, 40, device="cuda"), coo, other.cuda()), wanted + 1, 1e-5)
sampled = torch.sparse.sampled_addmm(csr, torch.ones(300, 8, device="cuda"), torch.ones(8, 200, device="cuda"))
give("sampled", sampled.values(), 1e-6)
leaf = dense.cuda().to_sparse().requires_grad_()
torch.sparse.mm(leaf, other.cuda()).sum().backward()
give("gradient", leaf.grad.to_dense(), 1e-6)
weights = torch.nn.Embedding(100, 16, sparse=True).cuda()
torch.nn.init.constant_(weights.weight, 1.0)
optimizer = torch.optim.SparseAdam(weights.parameters(), lr=0.1)
weights(torch.arange(0, 100, 7, device="cuda")).square().sum().backward()
optimizer.step()
give("sparse-adam", weights.weight, 1e-6)
triangle = torch.tril(torch.randn(64, 64, generator=generator)) + 8 * torch.eye(64)
solved = torch.triangular_solve(torch.ones(64, 2, device="cuda"), triangle.cuda().to_sparse_csr(), upper=False).solution
check("triangular", triangle.cuda() @ solved, torch.ones(64, 2), 1e-4)

from torch.sparse import to_sparse_semi_structured  # noqa: E402

half = torch.randn(128, 128, generator=generator).half()
half = half * torch.tensor([1, 0, 1, 0]).repeat(32).half()
structured = to_sparse_semi_structured(half.cuda())
right = torch.randn(128, 64, generator=generator).half()
got = structured @ right.cuda()
check("structured", got, half.double() @ right.double(), 2e-3)
give("structured", got, 1e-3)
