#include "softgpu/occupancy.hpp"

#include <algorithm>

#include "softgpu/device_attributes.hpp"
#include "softgpu/guard.hpp"
#include "softgpu/library.hpp"

using namespace vgpu::softgpu;

namespace {

std::size_t round_up(std::size_t value, std::size_t to) noexcept { return (value + to - 1) / to * to; }

unsigned registers_of_block(const ptx::KernelInfo& info, unsigned warps) noexcept {
  return warps * static_cast<unsigned>(round_up(std::size_t{info.registers} * limits::kWarp, limits::kRegisterUnit));
}

constexpr unsigned kOccupancyFlags = CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE;

template <class Then>
CUresult with_function(CUfunction handle, Then&& then) {
  return with_context([&](Context& context) {
    std::shared_ptr<Function> function;
    if (const CUresult error = find_function(context, handle, function); error != CUDA_SUCCESS) return error;
    return static_cast<CUresult>(then(*function));
  });
}

}  // namespace

namespace vgpu::softgpu {

unsigned blocks_per_multiprocessor(const ptx::KernelInfo& info, unsigned threads, std::size_t dynamic_shared) noexcept {
  if (threads > max_block_threads(info)) return 0;
  const unsigned warps = (threads + limits::kWarp - 1) / limits::kWarp;
  unsigned blocks = std::min(limits::kBlocksPerSm, limits::kWarpsPerSm / warps);
  if (info.registers != 0) blocks = std::min(blocks, limits::kRegistersPerSm / registers_of_block(info, warps));
  if (dynamic_shared > limits::kOptInShared || info.static_shared_bytes + dynamic_shared > limits::kOptInShared)
    return 0;
  const std::size_t shared =
      round_up(info.static_shared_bytes + dynamic_shared, limits::kSharedUnit) + limits::kReservedShared;
  return std::min(blocks, static_cast<unsigned>(limits::kSharedPerSm / shared));
}

}  // namespace vgpu::softgpu

CUresult CUDAAPI cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int block_size,
                                                             size_t dynamic_shared) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_size, dynamic_shared,
                                                              CU_OCCUPANCY_DEFAULT);
}

CUresult CUDAAPI cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction handle, int block_size,
                                                                      size_t dynamic_shared, unsigned int flags) {
  return with_function(handle, [&](Function& function) {
    if (blocks == nullptr || block_size <= 0 || (flags & ~kOccupancyFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    *blocks =
        static_cast<int>(blocks_per_multiprocessor(function.info(), static_cast<unsigned>(block_size), dynamic_shared));
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction function,
                                                  CUoccupancyB2DSize dynamic_shared_of, size_t dynamic_shared,
                                                  int limit) {
  return cuOccupancyMaxPotentialBlockSizeWithFlags(grid, block, function, dynamic_shared_of, dynamic_shared, limit,
                                                   CU_OCCUPANCY_DEFAULT);
}

CUresult CUDAAPI cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* block, CUfunction handle,
                                                           CUoccupancyB2DSize dynamic_shared_of, size_t dynamic_shared,
                                                           int limit, unsigned int flags) {
  return with_function(handle, [&](Function& function) {
    if (grid == nullptr || block == nullptr || limit < 0 || (flags & ~kOccupancyFlags) != 0)
      return CUDA_ERROR_INVALID_VALUE;
    unsigned most = max_block_threads(function.info());
    if (limit != 0) most = std::min(most, static_cast<unsigned>(limit));
    // From the largest block down; a smaller one must give more threads to be better.
    unsigned best_threads = 0;
    unsigned best_block = 0;
    unsigned best_blocks = 0;
    for (unsigned size = static_cast<unsigned>(round_up(most, limits::kWarp)); size >= limits::kWarp;
         size -= limits::kWarp) {
      const unsigned threads = std::min(size, most);
      const std::size_t shared =
          dynamic_shared_of != nullptr ? dynamic_shared_of(static_cast<int>(threads)) : dynamic_shared;
      const unsigned blocks = blocks_per_multiprocessor(function.info(), threads, shared);
      if (blocks * threads > best_threads) {
        best_threads = blocks * threads;
        best_block = threads;
        best_blocks = blocks;
      }
      if (best_threads >= limits::kThreadsPerSm) break;
    }
    *block = static_cast<int>(best_block);
    *grid = static_cast<int>(best_blocks * multiprocessors());
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, CUfunction handle, int blocks, int block_size) {
  return with_function(handle, [&](Function& function) {
    if (bytes == nullptr || blocks <= 0 || block_size <= 0) return CUDA_ERROR_INVALID_VALUE;
    const ptx::KernelInfo& info = function.info();
    if (blocks_per_multiprocessor(info, static_cast<unsigned>(block_size), 0) < static_cast<unsigned>(blocks)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::size_t each = limits::kSharedPerSm / static_cast<unsigned>(blocks);
    each = each / limits::kSharedUnit * limits::kSharedUnit - limits::kReservedShared;
    each = std::min<std::size_t>(each, limits::kOptInShared);
    *bytes = each > info.static_shared_bytes ? each - info.static_shared_bytes : 0;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuOccupancyMaxPotentialClusterSize(int* size, CUfunction handle, const CUlaunchConfig* config) {
  return with_function(handle, [&](Function&) {
    if (size == nullptr || config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *size = 1;  // the interpreter runs blocks one by one
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuOccupancyMaxActiveClusters(int* clusters, CUfunction handle, const CUlaunchConfig* config) {
  return with_function(handle, [&](Function& function) {
    if (clusters == nullptr || config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (config->numAttrs != 0 && config->attrs == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::uint64_t cluster = 1;
    for (unsigned i = 0; i < config->numAttrs; ++i) {
      if (config->attrs[i].id != CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) continue;
      const auto& dimension = config->attrs[i].value.clusterDim;
      if (dimension.x == 0 || dimension.y == 0 || dimension.z == 0) return CUDA_ERROR_INVALID_VALUE;
      cluster = std::max({dimension.x, dimension.y, dimension.z});
    }
    const std::uint64_t threads = std::uint64_t{config->blockDimX} * config->blockDimY * config->blockDimZ;
    if (config->blockDimX == 0 || config->blockDimY == 0 || config->blockDimZ == 0 ||
        threads > limits::kThreadsPerBlock) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const unsigned blocks =
        blocks_per_multiprocessor(function.info(), static_cast<unsigned>(threads), config->sharedMemBytes);
    *clusters = cluster == 1 ? static_cast<int>(blocks * multiprocessors()) : 0;
    return CUDA_SUCCESS;
  });
}
