# needs: torch
# about: cuDNN convolutions in 1 to 3 dimensions, grouped, transposed, forward and backward; batch norm, pooling, RNN
import torch
from results import check, give

torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.deterministic = True


def layer(name, module, shape, tolerance=1e-4, against_cpu=True):
    module = module.cuda()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(7)).cuda().requires_grad_()
    out = module(x)
    out = out[0] if isinstance(out, tuple) else out
    weight = torch.linspace(-1, 1, out.numel(), device="cuda").view_as(out)
    (out * weight).sum().backward()
    if against_cpu:
        reference = module.cpu()(x.detach().cpu())
        check(name, out, reference[0] if isinstance(reference, tuple) else reference, tolerance)
    give(f"{name}-out", out, tolerance)
    give(f"{name}-dx", x.grad, tolerance)
    for index, parameter in enumerate(module.parameters()):
        give(f"{name}-dw{index}", parameter.grad, tolerance)


torch.manual_seed(5)
nn = torch.nn
layer("conv1d", nn.Conv1d(8, 16, 5, padding=2), (4, 8, 100))
layer("conv2d", nn.Conv2d(16, 32, 3, padding=1), (8, 16, 56, 56))
layer("strided", nn.Conv2d(32, 64, 3, stride=2, dilation=2), (4, 32, 57, 57))
layer("grouped", nn.Conv2d(32, 32, 3, padding=1, groups=32), (4, 32, 28, 28))
layer("transposed", nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), (4, 16, 20, 20))
layer("conv3d", nn.Conv3d(4, 8, 3, padding=1), (2, 4, 12, 12, 12))
layer("batchnorm", nn.BatchNorm2d(32), (8, 32, 28, 28), against_cpu=False)
layer("maxpool", nn.MaxPool2d(2), (4, 8, 32, 32))
layer("lstm", nn.LSTM(32, 64, num_layers=2), (20, 8, 32))
layer("gru", nn.GRU(32, 48, bidirectional=True), (15, 8, 32))

for kind in (torch.float16, torch.bfloat16):
    module = nn.Sequential(nn.Conv2d(16, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 16, 1)).cuda().to(kind)
    module = module.to(memory_format=torch.channels_last)
    x = torch.randn(8, 16, 32, 32, generator=torch.Generator().manual_seed(9)).cuda().to(kind)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    out = module(x)
    out.float().square().mean().backward()
    name = str(kind).removeprefix("torch.")
    give(f"{name}-out", out, 1e-2)
    give(f"{name}-dx", x.grad, 2e-2)

torch.backends.cudnn.deterministic = False
torch.backends.cudnn.benchmark = True
module = nn.Conv2d(16, 32, 5, padding=2).cuda()
x = torch.randn(8, 16, 40, 40, generator=torch.Generator().manual_seed(11))
check("benchmarked", module(x.cuda()), module.cpu()(x), 1e-4)
print("conv: ok, cuDNN", torch.backends.cudnn.version())
