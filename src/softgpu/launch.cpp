#include "softgpu/capture.hpp"
#include "softgpu/guard.hpp"
#include "softgpu/kernel_launch.hpp"
#include "softgpu/library.hpp"

using namespace vgpu::softgpu;

namespace {

CUresult launch(CUfunction handle, const LaunchShape& shape, CUstream stream_handle, void** parameters, void** extra) {
  return with_context([&](Context& context) {
    std::shared_ptr<Function> function;
    if (const CUresult error = find_function(context, handle, function); error != CUDA_SUCCESS) return error;
    const std::shared_ptr<Stream> stream = find_stream(context, stream_handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (&function->context() != &context || &stream->context() != &context) return CUDA_ERROR_INVALID_HANDLE;
    std::optional<KernelLaunch> work;
    if (const CUresult error = prepare_launch(*function, shape, parameters, extra, work); error != CUDA_SUCCESS) {
      return error;
    }
    const auto make = [&] {
      std::vector<CUlaunchAttribute> attributes;
      if (shape.cooperative) {
        attributes.emplace_back().id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
        attributes.back().value.cooperative = 1;
      }
      const auto kernel = reinterpret_cast<CUkernel>(handle);
      const bool of_library = driver().kernels.is_kind(kernel);
      return share(KernelNode{of_library ? nullptr : handle, of_library ? kernel : nullptr, function, std::move(*work),
                              std::move(attributes)});
    };
    if (const auto result = captured(*stream, make)) return *result;
    stream->submit(std::move(*work));
    return CUDA_SUCCESS;
  });
}

CUresult launch_ex(const CUlaunchConfig* config, CUfunction function, void** parameters, void** extra,
                   bool own_stream) {
  return with_context([&](Context&) {
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    LaunchShape shape{{config->gridDimX, config->gridDimY, config->gridDimZ},
                      {config->blockDimX, config->blockDimY, config->blockDimZ},
                      config->sharedMemBytes,
                      false};
    if (const CUresult error = read_launch_attributes(config->attrs, config->numAttrs, shape); error != CUDA_SUCCESS)
      return error;
    const CUstream stream = own_stream ? per_thread(config->hStream) : config->hStream;
    return launch(function, shape, stream, parameters, extra);
  });
}

}  // namespace

#undef cuLaunchKernel
#undef cuLaunchKernelEx
#undef cuLaunchCooperativeKernel

VGPU_CUDA_EXPORT CUresult CUDAAPI cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                                                 unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                                 unsigned int block_z, unsigned int shared, CUstream stream,
                                                 void** parameters, void** extra) {
  return launch(function, {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, false}, stream, parameters,
                extra);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x,
                                                            unsigned int grid_y, unsigned int grid_z,
                                                            unsigned int block_x, unsigned int block_y,
                                                            unsigned int block_z, unsigned int shared, CUstream stream,
                                                            void** parameters) {
  return launch(function, {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, true}, stream, parameters,
                nullptr);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** parameters,
                                                   void** extra) {
  return launch_ex(config, function, parameters, extra, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuLaunchKernel_ptsz(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                                                      unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                                      unsigned int block_z, unsigned int shared, CUstream stream,
                                                      void** parameters, void** extra) {
  return launch(function, {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, false}, per_thread(stream),
                parameters, extra);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuLaunchCooperativeKernel_ptsz(CUfunction function, unsigned int grid_x,
                                                                 unsigned int grid_y, unsigned int grid_z,
                                                                 unsigned int block_x, unsigned int block_y,
                                                                 unsigned int block_z, unsigned int shared,
                                                                 CUstream stream, void** parameters) {
  return launch(function, {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, true}, per_thread(stream),
                parameters, nullptr);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuLaunchKernelEx_ptsz(const CUlaunchConfig* config, CUfunction function,
                                                        void** parameters, void** extra) {
  return launch_ex(config, function, parameters, extra, true);
}
