# needs: torch
# seconds: 240
# slots: 2
# about: a C++/CUDA extension compiled by torch.utils.cpp_extension, a kernel compiled by NVRTC, TorchScript
import torch
from results import check, give
from torch.utils.cpp_extension import load_inline

KERNEL = """
__global__ void scale(const float* in, float* out, double factor, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = in[i] * factor;
}
"""
x = torch.arange(10_000, dtype=torch.float32, device="cuda")
out = torch.empty_like(x)
kernel = torch.cuda._compile_kernel('extern "C" ' + KERNEL.strip(), "scale")
kernel(grid=(40, 1, 1), block=(256, 1, 1), args=(x, out, 3.0, 10_000))
check("compiled", out, x * 3, 0)


@torch.jit.script
def scripted(a, b):
    return (a * b + 1).relu().sum(-1)


for _ in range(4):
    got = scripted(x.view(100, 100), x.view(100, 100))
give("scripted", got, 1e-6)

extension = load_inline(
    "vgpu_scale", cpp_sources="torch::Tensor scaled(torch::Tensor in, double factor);", functions=["scaled"],
    cuda_sources="#include <torch/types.h>\n#include <c10/cuda/CUDAStream.h>\n" + KERNEL + """
torch::Tensor scaled(torch::Tensor in, double factor) {
  auto out = torch::empty_like(in);
  int count = in.numel();
  scale<<<(count + 255) / 256, 256, 0, c10::cuda::getCurrentCUDAStream()>>>(
      in.data_ptr<float>(), out.data_ptr<float>(), factor, count);
  return out;
}
""")
check("extension", extension.scaled(x, 2.5), x * 2.5, 0)
give("extension", extension.scaled(x, 2.5))
