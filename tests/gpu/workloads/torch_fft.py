# needs: torch
# about: torch.fft through cuFFT: real and complex, 1 to 3 dimensions, odd sizes, half, gradients
import torch
from results import check, give

generator = torch.Generator().manual_seed(73)
for size in ((1024,), (3, 1000), (7, 997), (64, 64), (4, 48, 60), (16, 20, 24)):
    label = "x".join(map(str, size))
    x = torch.randn(size, generator=generator)
    z = torch.complex(x, torch.randn(size, generator=generator))
    for name, call, value in (("fftn", torch.fft.fftn, z), ("rfftn", torch.fft.rfftn, x), ("fft", torch.fft.fft, z),
                              ("ifftn", torch.fft.ifftn, z)):
        got = call(value.cuda())
        check(f"{name}-{label}", got, call(value), 1e-5)
        give(f"{name}-{label}", got, 1e-6)
    check(f"back-{label}", torch.fft.irfftn(torch.fft.rfftn(x.cuda()), s=size), x, 1e-5)
x = torch.randn(8, 4096, generator=generator, dtype=torch.float64)
give("double", torch.fft.rfft(x.cuda()), 1e-12)
give("half", torch.view_as_real(torch.fft.fft(x.cuda().to(torch.complex32))).float(), 1e-3)
x = x.float().cuda().requires_grad_()
torch.fft.rfft(x).abs().square().sum().backward()
give("gradient", x.grad, 1e-6)
window = torch.hann_window(256, device="cuda")
spectrum = torch.stft(x.detach(), 256, window=window, return_complex=True)
check("istft", torch.istft(spectrum, 256, window=window, length=4096), x.detach(), 1e-4)
