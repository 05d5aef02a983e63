"""What a workload's results go through: give() keeps an array for the comparison of the two sides, check() compares
with a reference here and now."""

import os
import sys
from pathlib import Path

import numpy

FOLDER = os.environ.get("VGPU_RESULTS")


def to_numpy(values):
    """Of PyTorch, CuPy, JAX, NumPy or plain numbers."""
    if type(values).__module__.split(".")[0] == "torch":
        import torch

        values = values.detach().cpu()
        if values.dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2):
            values = values.float()
        return values.contiguous().numpy()
    return values.get() if type(values).__module__.split(".")[0] == "cupy" else numpy.asarray(values)


def give(name, values, tolerance=0.0):
    """Both sides must give this: equal, or apart by at most `tolerance` times the largest element."""
    if FOLDER:
        numpy.save(Path(FOLDER) / f"{name}.npy", to_numpy(values), allow_pickle=False)
    print(f"result {name} {tolerance:g}")


def check(name, got, wanted, tolerance):
    """Exits with 1 where `got` is further from `wanted` than `tolerance` times its largest element."""
    got, wanted = (to_numpy(values).astype(numpy.complex128) for values in (got, wanted))
    apart = numpy.abs(got - wanted).max() / max(numpy.abs(wanted).max(), 1e-30) if got.size else 0.0
    if got.shape != wanted.shape or not apart <= tolerance:
        print(f"FAILED: {name}: {apart:.2e} from the reference, more than {tolerance:.1e}")
        print(f"shapes {got.shape}, {wanted.shape}")
        sys.exit(1)
    print(f"{name}: {apart:.1e} from the reference")
