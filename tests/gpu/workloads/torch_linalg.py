# needs: torch
# about: torch.linalg through cuSOLVER and cuBLAS: solve, Cholesky, QR, LU, SVD, eigenvalues, inverse, least squares
import torch
from results import check, give

linalg = torch.linalg
generator = torch.Generator().manual_seed(71)
a = torch.randn(6, 64, 64, generator=generator, dtype=torch.float64)
positive = a @ a.transpose(1, 2) + 64 * torch.eye(64, dtype=torch.float64)
b = torch.randn(6, 64, 5, generator=generator, dtype=torch.float64)

calls = {
    "solve": lambda m, r: linalg.solve(m, r), "inv": lambda m, r: linalg.inv(m), "det": lambda m, r: linalg.det(m / 8),
    "cholesky": lambda m, r: linalg.cholesky(m @ m.mT + 64 * torch.eye(64, dtype=m.dtype, device=m.device)),
    "svdvals": lambda m, r: linalg.svdvals(m), "lstsq": lambda m, r: linalg.lstsq(m[:, :, :32], r).solution,
    "eigvalsh": lambda m, r: linalg.eigvalsh(m + m.mT), "matrix_exp": lambda m, r: linalg.matrix_exp(m / 64),
    "qr": lambda m, r: linalg.qr(m).R.abs(), "pinv": lambda m, r: linalg.pinv(m[:, :, :20]),
    "triangular": lambda m, r: linalg.solve_triangular(m.triu() + 64 * torch.eye(64, dtype=m.dtype, device=m.device), r,
                                                       upper=True),
}
for kind, tolerance in ((torch.float64, 1e-9), (torch.float32, 2e-2)):
    for name, call in calls.items():
        label = f"{name}-{str(kind).removeprefix('torch.')}"
        got = call(a.to(kind).cuda(), b.to(kind).cuda())
        check(label, got, call(a, b), tolerance)
        give(label, got, tolerance / 100)

big = torch.randn(700, 700, generator=generator, dtype=torch.float64)
symmetric = big + big.T
for name, got in {"big-svd": linalg.svd(big.cuda()).S, "big-eigh": linalg.eigh(symmetric.cuda()).eigenvalues,
                  "big-lu": linalg.lu_factor(big.cuda()).LU, "big-qr": linalg.qr(big.cuda()).R.abs()}.items():
    give(name, got, 1e-10)
vectors = linalg.eigh(symmetric.cuda())
check("eigh", (vectors.eigenvectors * vectors.eigenvalues) @ vectors.eigenvectors.T, symmetric, 1e-10)
general = linalg.eigvals(big.cuda())
check("eigvals", general.sum().real, big.diagonal().sum(), 1e-8)
rhs = positive.cuda()
factor = linalg.cholesky(rhs)
check("cholesky_solve", rhs @ torch.cholesky_solve(b.cuda(), factor), b, 1e-10)
