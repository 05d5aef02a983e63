# needs: torch
# seconds: 240
# slots: 2
# about: PyTorch's database of modules (torch.testing, ModuleInfo): forward, backward in float32, GPU compared with CPU
import copy
import sys

import stand_ins
import torch
from outcomes import attempt

stand_ins.provide_expecttest()
sys.argv = sys.argv[:1]
# Before the import, which forbids it.
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
from torch.testing._internal.common_modules import module_db  # noqa: E402
from torch.utils._pytree import tree_leaves, tree_map  # noqa: E402

CASES = 2


def moved(value):
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().cuda().requires_grad_(value.requires_grad)


def gradients(inputs, outputs):
    floating = [value for value in tree_leaves(outputs) if isinstance(value, torch.Tensor) and value.requires_grad]
    if floating:
        sum(value.float().sum() for value in floating).backward()
    return [value.grad for value in tree_leaves(inputs) if isinstance(value, torch.Tensor) and value.grad is not None]


def compare(info):
    cases = info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=True, training=False)
    for _, case in zip(range(CASES), cases):
        if case.forward_input is None:
            continue
        torch.manual_seed(1)
        module = info.module_cls(*case.constructor_input.args, **case.constructor_input.kwargs)
        # cuDNN has no backward of an RNN in evaluation.
        module.train(isinstance(module, torch.nn.RNNBase))
        twin = copy.deepcopy(module).cuda()
        inputs = case.forward_input.args, case.forward_input.kwargs
        copies = tree_map(moved, inputs)
        wanted, got = module(*inputs[0], **inputs[1]), twin(*copies[0], **copies[1])
        pairs = list(zip(tree_leaves(wanted), tree_leaves(got)))
        pairs += zip(gradients(inputs, wanted), gradients(copies, got))
        if "Lazy" in info.formatted_name:  # each device draws its own weights at the first call
            continue
        for a, b in pairs:
            if isinstance(a, torch.Tensor):
                torch.testing.assert_close(b.cpu(), a, rtol=2e-3, atol=2e-3, equal_nan=True)


for module_info in module_db:
    attempt(module_info.formatted_name, lambda: compare(module_info))
