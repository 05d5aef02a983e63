# needs: torch
# seconds: 300
# slots: 2
# about: PyTorch's database of operators (torch.testing, OpInfo): samples of each in float32, GPU compared with CPU
import sys

import stand_ins
import torch
from outcomes import attempt, record

stand_ins.provide_expecttest()
sys.argv = sys.argv[:1]
# Before the import, which forbids it.
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

SAMPLES = 2
# What CPU and GPU need not agree on: random numbers, memory that nobody has filled, signs of vectors, views beyond a
# copy. They are run all the same.
UNCOMPARED = {
    "_native_batch_norm_legit", "as_strided", "bernoulli", "cauchy", "empty", "empty_like", "empty_permuted",
    "empty_strided", "exponential", "geometric", "linalg.eig", "linalg.eigh", "linalg.svd", "log_normal", "multinomial",
    "native_batch_norm", "new_empty", "new_empty_strided", "nn.functional.alpha_dropout", "nn.functional.dropout",
    "nn.functional.feature_alpha_dropout", "nn.functional.fractional_max_pool3d",
    "nn.functional.multi_head_attention_forward", "nn.functional.rrelu", "normal", "pca_lowrank", "rand_like", "randint",
    "randint_like", "randn", "randn_like", "svd", "svd_lowrank", "uniform"}


def on_gpu(value):
    return value.cuda() if isinstance(value, torch.Tensor) else value


def compare(operator):
    for index, sample in zip(range(SAMPLES), operator.sample_inputs("cpu", torch.float32)):
        moved = sample.transform(on_gpu)
        torch.manual_seed(index)
        got = operator(moved.input, *moved.args, **moved.kwargs)
        torch.cuda.synchronize()
        if operator.name in UNCOMPARED or operator.name.startswith("jiterator"):  # which the GPU alone has
            continue
        wanted = operator(sample.input, *sample.args, **sample.kwargs)
        wanted, got = torch.utils._pytree.tree_leaves(wanted), torch.utils._pytree.tree_leaves(got)
        assert len(wanted) == len(got)
        for a, b in zip(wanted, got):
            if isinstance(a, torch.Tensor):
                torch.testing.assert_close(b.to_dense().cpu() if b.layout != torch.strided else b.cpu(),
                                           a.to_dense() if a.layout != torch.strided else a, rtol=2e-3, atol=2e-3,
                                           equal_nan=True)


for operator in op_db:
    name = f"{operator.name} {operator.variant_test_name}".strip()
    if operator.supports_dtype(torch.float32, "cuda") and operator.supports_dtype(torch.float32, "cpu"):
        attempt(name, lambda: compare(operator))
    else:
        record("skipped", name)
