# needs: numba numba_cuda
# about: Numba kernels: shared memory, atomics, cuda.reduce, device functions, vectorize, random numbers, grid sync
import math

import numba_names  # noqa: F401
import numpy
from numba import cuda, float32, vectorize
from numba.cuda.random import create_xoroshiro128p_states, xoroshiro128p_uniform_float32
from results import check, give


@cuda.jit(device=True)
def curve(value):
    return math.sin(value) * 2 + 1


@cuda.jit
def apply(source, out):
    index = cuda.grid(1)
    if index < source.size:
        out[index] = curve(source[index])


@cuda.jit
def product(a, b, c):
    left, right = cuda.shared.array((16, 16), float32), cuda.shared.array((16, 16), float32)
    x, y = cuda.grid(2)
    i, j = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0)
    for start in range(0, a.shape[1], 16):
        left[i, j] = a[x, start + j]
        right[i, j] = b[start + i, y]
        cuda.syncthreads()
        for k in range(16):
            total += left[i, k] * right[k, j]
        cuda.syncthreads()
    c[x, y] = total


@cuda.jit
def histogram(values, bins):
    index = cuda.grid(1)
    if index < values.size:
        cuda.atomic.add(bins, values[index], 1)


@cuda.reduce
def total(a, b):
    return a + b


@vectorize(["float64(float64, float64)"], target="cuda")
def hypotenuse(a, b):
    return math.sqrt(a * a + b * b)


@cuda.jit
def uniform(states, out):
    index = cuda.grid(1)
    if index < out.size:
        out[index] = xoroshiro128p_uniform_float32(states, index)


@cuda.jit
def everywhere(values):
    group = cuda.cg.this_grid()
    index = cuda.grid(1)
    values[index] += 1
    group.sync()
    if index == 0:
        values[0] = values[values.size - 1] + 10


random = numpy.random.default_rng(151)
x = random.standard_normal(10_000)
out = numpy.zeros_like(x)
apply[40, 256](x, out)
check("apply", out, numpy.sin(x) * 2 + 1, 1e-12)
give("apply", out)
a, b = (random.standard_normal((128, 128)).astype("f") for _ in range(2))
c = numpy.zeros((128, 128), "f")
product[(8, 8), (16, 16)](a, b, c)
check("product", c, a.astype("d") @ b.astype("d"), 1e-5)
give("product", c)
values = random.integers(0, 64, 20_000).astype("i4")
bins = numpy.zeros(64, "i4")
histogram[80, 256](values, bins)
check("histogram", bins, numpy.bincount(values, minlength=64), 0)
check("reduce", total(x), x.sum(), 1e-10)
check("vectorize", hypotenuse(x, x[::-1].copy()), numpy.hypot(x, x[::-1]), 1e-14)
states = create_xoroshiro128p_states(1024, seed=157)
numbers = numpy.zeros(1024, "f")
uniform[4, 256](states, numbers)
give("random", numbers)
counted = numpy.zeros(1024, "i4")
everywhere[8, 128](counted)
check("cooperative", counted[0], 11, 0)
print(cuda.get_current_device().name, cuda.current_context().get_memory_info())
