# needs: cupy
# about: CuPy RawKernel, RawModule with constants, texture, ElementwiseKernel, ReductionKernel, fusion, jit, nvcc
import cupy
import numpy
from cupyx import jit
from results import check, give

SOURCE = r"""
__constant__ float table[16];
extern "C" __global__ void polynomial(const float* x, float* y, int n) {
  int i = blockDim.x * blockIdx.x + threadIdx.x;
  if (i >= n) return;
  float sum = 0;
  for (int k = 15; k >= 0; --k) sum = sum * x[i] + table[k];
  y[i] = sum;
}
extern "C" __global__ void block_sum(const float* x, float* y) {
  extern __shared__ float part[];
  part[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
  for (int step = blockDim.x / 2; step > 0; step /= 2) {
    __syncthreads();
    if (threadIdx.x < step) part[threadIdx.x] += part[threadIdx.x + step];
  }
  if (threadIdx.x == 0) y[blockIdx.x] = part[0];
}
template <typename T> __global__ void twice(T* x, int n) {
  int i = blockDim.x * blockIdx.x + threadIdx.x;
  if (i < n) x[i] += x[i];
}
"""
a = numpy.random.default_rng(139).random(4096).astype("f")
x, y = cupy.asarray(a), cupy.zeros(4096, "f")
module = cupy.RawModule(code=SOURCE, options=("-std=c++17",), name_expressions=["twice<int>", "twice<double>"])
twice = module.get_function("twice<int>")
numbers = cupy.arange(100, dtype="i")
twice((1,), (128,), (numbers, 100))
check("template", numbers, numpy.arange(100) * 2, 0)
table = cupy.ndarray(16, "f", module.get_global("table"))
table[...] = cupy.arange(16, dtype="f") / 16
module.get_function("polynomial")((16,), (256,), (x, y, 4096))
check("constants", y, sum(k / 16 * a.astype("d") ** k for k in range(16)), 1e-5)
give("constants", y)
module.get_function("block_sum")((16,), (256,), (x, y), shared_mem=1024)
check("shared", y[:16], a.reshape(16, 256).sum(1), 1e-5)

raw = cupy.RawKernel('extern "C" __global__ void add(const float* a, float b, float* c) {'
                     "int i = threadIdx.x + blockIdx.x * blockDim.x; c[i] = a[i] + b; }", "add")
raw((16,), (256,), (x, numpy.float32(2.5), y))
check("raw", y, a + numpy.float32(2.5), 0)
elementwise = cupy.ElementwiseKernel("T x, T y", "T z", "z = x > y ? x * x : y", "vgpu_elementwise")
check("elementwise", elementwise(x, x[::-1]), numpy.where(a > a[::-1], a * a, a[::-1]), 0)
reduction = cupy.ReductionKernel("T x", "T y", "x * x", "a + b", "y = sqrt(a)", "0", "vgpu_norm")
check("reduction", reduction(x), numpy.linalg.norm(a), 1e-5)


@cupy.fuse()
def fused(p, q):
    return cupy.exp(-p) * q + p


check("fused", fused(x, y), numpy.exp(-a) * (a + 2.5) + a, 1e-6)


@jit.rawkernel()
def compiled(source, out, size):
    index = jit.grid(1)
    if index < size:
        out[index] = source[index] * 3


compiled((16,), (256,), (x, y, numpy.uint32(4096)))
check("jit", y, a * 3, 0)

channel = cupy.cuda.texture.ChannelFormatDescriptor(32, 0, 0, 0, cupy.cuda.runtime.cudaChannelFormatKindFloat)
array = cupy.cuda.texture.CUDAarray(channel, 64, 64)
array.copy_from(x.reshape(64, 64))
runtime = cupy.cuda.runtime
resource = cupy.cuda.texture.ResourceDescriptor(runtime.cudaResourceTypeArray, cuArr=array)
sampling = cupy.cuda.texture.TextureDescriptor((runtime.cudaAddressModeClamp,) * 2, runtime.cudaFilterModePoint,
                                               runtime.cudaReadModeElementType)
texture = cupy.cuda.texture.TextureObject(resource, sampling)
fetch = cupy.RawKernel('extern "C" __global__ void fetch(cudaTextureObject_t t, float* out) {'
                       "int i = threadIdx.x + blockIdx.x * blockDim.x;"
                       "out[i] = tex2D<float>(t, i % 64 + .5f, i / 64 + .5f); }", "fetch")
fetch((16,), (256,), (texture, y))
check("texture", y, a, 0)

by_nvcc = cupy.RawModule(code='extern "C" __global__ void three(float* x) { x[threadIdx.x] = 3; }', backend="nvcc")
by_nvcc.get_function("three")((1,), (32,), (y,))
check("nvcc", y[:32], numpy.full(32, 3.0), 0)
