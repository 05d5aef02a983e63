# needs: cupy
# about: CuPy FFT through cuFFT: 1 to 3 dimensions, real and complex, plans, batches
import cupy
import numpy
from results import check, give

random = numpy.random.default_rng(127)
for shape in ((1000,), (5, 1024), (60, 48), (17, 19, 23), (8, 16, 32)):
    a = random.standard_normal(shape) + 1j * random.standard_normal(shape)
    label = "x".join(map(str, shape))
    for kind, tolerance in (("D", 1e-12), ("F", 1e-5)):
        x = cupy.asarray(a.astype(kind))
        for name in ("fft", "ifft", "fftn"):
            got = getattr(cupy.fft, name)(x)
            check(f"{name}-{label}-{kind}", got, getattr(numpy.fft, name)(a), tolerance)
            give(f"{name}-{label}-{kind}", got, tolerance)
    check(f"rfftn-{label}", cupy.fft.rfftn(cupy.asarray(a.real)), numpy.fft.rfftn(a.real), 1e-12)
    check(f"back-{label}", cupy.fft.irfftn(cupy.fft.rfftn(cupy.asarray(a.real)), a.shape), a.real, 1e-12)
plan = cupy.cuda.cufft.Plan1d(512, cupy.cuda.cufft.CUFFT_Z2Z, 20)
x = cupy.asarray(random.standard_normal((20, 512)) + 0j)
with plan:
    got = cupy.fft.fft(x)
check("planned", got, numpy.fft.fft(x.get()), 1e-12)
