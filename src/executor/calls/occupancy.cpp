#include "executor/callable.hpp"
#include "executor/launch_attributes.hpp"

namespace vgpu::executor {

using namespace protocol;

VGPU_HANDLER(cuOccupancyMaxActiveBlocksPerMultiprocessor) {
  const CUfunction function = find_callable(in.session, request.function);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return in.cuda.cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&reply.blocks, function, request.block_size,
                                                                      request.shared_bytes, request.flags);
}

VGPU_HANDLER(cuOccupancyAvailableDynamicSMemPerBlock) {
  const CUfunction function = find_callable(in.session, request.function);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::size_t bytes = 0;
  const CUresult result =
      in.cuda.cuOccupancyAvailableDynamicSMemPerBlock(&bytes, function, request.blocks, request.block_size);
  reply.bytes = bytes;
  return result;
}

namespace {

/// Asks one of the driver's questions about a launch with attributes.
template <typename Request, typename Function>
CUresult ask(Invocation& in, const Request& request, Function function, std::string_view call, int& value) {
  if (in.tail.size() != u64{request.attribute_count} * sizeof(LaunchAttribute))
    return in.violate(VGPU_END_BAD_REQUEST, "count of attributes");
  LaunchAttributes attributes;
  const CUresult result = attributes.read(in, request.attribute_count, call);
  if (result != CUDA_SUCCESS) return result;
  const CUfunction callable = find_callable(in.session, request.function);
  if (callable == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const CUlaunchConfig config = launch_config(request, nullptr, attributes);
  return function(&value, callable, &config);
}

}  // namespace

VGPU_HANDLER(cuOccupancyMaxActiveClusters) {
  return ask(in, request, in.cuda.cuOccupancyMaxActiveClusters, "cuOccupancyMaxActiveClusters", reply.clusters);
}

VGPU_HANDLER(cuOccupancyMaxPotentialClusterSize) {
  return ask(in, request, in.cuda.cuOccupancyMaxPotentialClusterSize, "cuOccupancyMaxPotentialClusterSize", reply.size);
}

}  // namespace vgpu::executor
