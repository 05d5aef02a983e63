// Occupancy: asked of the host; the block size that fills the GPU best is found here, by the documented rule.
#include <algorithm>

#include "shim/launch.hpp"

using namespace vgpu::shim;

namespace {

template <typename F>
CUresult with_function(CUfunction function, F&& f) noexcept {
  return with_context([&](Context& context) -> CUresult {
    const u64 handle = reinterpret_cast<u64>(function);
    Callable* found = find_callable(handle);
    return found ? f(context, *found, handle) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult active_blocks(const Context& context, u64 handle, Callable& callable, int block_size, u64 shared_bytes,
                       u32 flags, int& blocks) {
  CallableFacts::Occupancy occupancy{context.id, shared_bytes, block_size, flags, 0};
  CUresult result = CUDA_SUCCESS;
  if (!callable.facts.find(occupancy)) {
    const u32 version = callable.facts.version();
    call::cuOccupancyMaxActiveBlocksPerMultiprocessor::Reply reply{};
    result = ask<call::cuOccupancyMaxActiveBlocksPerMultiprocessor>(
        context.index(), {{handle}, shared_bytes, block_size, flags}, &reply);
    occupancy.blocks = reply.blocks;
    if (result == CUDA_SUCCESS) callable.facts.remember(occupancy, version);
  }
  if (result == CUDA_SUCCESS) blocks = occupancy.blocks;
  return result;
}

template <typename Call>
CUresult cluster_query(int* value, CUfunction function, const CUlaunchConfig* config,
                       i32 Call::Reply::*field) noexcept {
  return with_function(function, [&](Context& context, Callable&, u64 handle) -> CUresult {
    if (!value || !config) return CUDA_ERROR_INVALID_VALUE;
    std::array<vgpu::protocol::LaunchAttribute, vgpu::protocol::kMaxLaunchAttributes> attributes;
    u32 count = 0;
    CUresult result = read_attributes(*config, attributes, count);
    if (result != CUDA_SUCCESS) return result;
    typename Call::Reply reply{};
    result = ask<Call>(context.index(),
                       {{handle},
                        config->gridDimX,
                        config->gridDimY,
                        config->gridDimZ,
                        config->blockDimX,
                        config->blockDimY,
                        config->blockDimZ,
                        config->sharedMemBytes,
                        count},
                       &reply, bytes_of(attributes.data(), count * sizeof attributes[0]));
    if (result == CUDA_SUCCESS) *value = reply.*field;
    return result;
  });
}

}  // namespace

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function, int block_size,
                                                              size_t shared_bytes, unsigned int flags) {
  return with_function(function, [&](Context& context, Callable& callable, u64 handle) -> CUresult {
    if (!blocks || block_size <= 0 || (flags & ~static_cast<unsigned>(CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)) != 0)
      return CUDA_ERROR_INVALID_VALUE;
    return active_blocks(context, handle, callable, block_size, shared_bytes, flags, *blocks);
  });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int block_size,
                                                     size_t shared_bytes) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_size, shared_bytes, 0);
}

// CUDA driver API, "Occupancy": the block size with which the most threads are resident, and the smallest grid that
// fills the device with such blocks. Larger blocks are preferred; sizes are multiples of a warp, but for the limit
// itself.
CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int* min_grid, int* block_size, CUfunction function,
                                                   CUoccupancyB2DSize shared_of_block, size_t shared_bytes, int limit,
                                                   unsigned int flags) {
  return with_function(function, [&](Context& context, Callable& callable, u64 handle) -> CUresult {
    if (!min_grid || !block_size || limit < 0) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = CUDA_SUCCESS;
    const Device* device = find_device(context.device, result);
    if (!device) return result;
    int function_limit = 0;
    result =
        function_attribute(context.index(), handle, callable, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function_limit);
    if (result != CUDA_SUCCESS) return result;
    const int warp = std::max(device_attribute(*device, CU_DEVICE_ATTRIBUTE_WARP_SIZE), 1);
    const int resident = device_attribute(*device, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR);
    int most = std::min(device_attribute(*device, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK), function_limit);
    if (limit != 0) most = std::min(most, limit);
    int best_threads = 0;
    int best_size = 0;
    int best_blocks = 0;
    for (int size = (most + warp - 1) / warp * warp; size > 0; size -= warp) {
      const int tried = std::min(size, most);
      const size_t shared = shared_of_block ? shared_of_block(tried) : shared_bytes;
      int blocks = 0;
      result = active_blocks(context, handle, callable, tried, shared, flags, blocks);
      if (result != CUDA_SUCCESS) return result;
      if (blocks * tried > best_threads) {
        best_threads = blocks * tried;
        best_size = tried;
        best_blocks = blocks;
      }
      if (best_threads == resident) break;
    }
    *block_size = best_size;
    *min_grid = best_blocks * device_attribute(*device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxPotentialBlockSize(int* min_grid, int* block_size, CUfunction function,
                                          CUoccupancyB2DSize shared_of_block, size_t shared_bytes, int limit) {
  return cuOccupancyMaxPotentialBlockSizeWithFlags(min_grid, block_size, function, shared_of_block, shared_bytes, limit,
                                                   0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, CUfunction function, int blocks, int block_size) {
  return with_function(function, [&](Context& context, Callable&, u64 handle) -> CUresult {
    if (!bytes || blocks <= 0 || block_size <= 0) return CUDA_ERROR_INVALID_VALUE;
    call::cuOccupancyAvailableDynamicSMemPerBlock::Reply reply{};
    const CUresult result =
        ask<call::cuOccupancyAvailableDynamicSMemPerBlock>(context.index(), {{handle}, blocks, block_size}, &reply);
    if (result == CUDA_SUCCESS) *bytes = reply.bytes;
    return result;
  });
}

CUresult cuOccupancyMaxActiveClusters(int* clusters, CUfunction function, const CUlaunchConfig* config) {
  using Call = call::cuOccupancyMaxActiveClusters;
  return cluster_query<Call>(clusters, function, config, &Call::Reply::clusters);
}

CUresult cuOccupancyMaxPotentialClusterSize(int* size, CUfunction function, const CUlaunchConfig* config) {
  using Call = call::cuOccupancyMaxPotentialClusterSize;
  return cluster_query<Call>(size, function, config, &Call::Reply::size);
}
