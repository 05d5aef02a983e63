// Launches: looked up, checked, packed and published without an answer.
#include "shim/launch.hpp"

#include <cstring>

#include "shim/refuse_as.hpp"

namespace vgpu::shim {
namespace {

u32 limit(const protocol::DeviceInfo& info, CUdevice_attribute attribute) noexcept {
  return info.known[attribute] ? static_cast<u32>(info.attribute[attribute]) : ~0u;
}

const protocol::DeviceInfo* device_info(Context& context, CUresult& result) {
  const protocol::DeviceInfo* info = context.info.load(std::memory_order_acquire);
  if (info) [[likely]]
    return info;
  const Device* device = find_device(context.device, result);
  if (!device) return nullptr;
  context.info.store(&device->info, std::memory_order_release);
  return &device->info;
}

/// Learns what one launch of the function may ask for.
CUresult learn_limits(const Context& context, Callable& callable, u64 handle) {
  int threads = 0;
  CUresult result =
      function_attribute(context.index(), handle, callable, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, threads);
  if (result != CUDA_SUCCESS) return result;
  int shared = 0;
  result =
      function_attribute(context.index(), handle, callable, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared);
  if (result != CUDA_SUCCESS) return result;
  callable.facts.max_dynamic_shared.store(shared, std::memory_order_relaxed);
  callable.facts.max_threads.store(threads > 0 ? static_cast<u32>(threads) : ~0u, std::memory_order_release);
  return CUDA_SUCCESS;
}

/// The error for more threads than the function can have: too few registers for them, or more than it was compiled for
/// (__launch_bounds__), which an H100's driver calls CUDA_ERROR_INVALID_VALUE. Registers are given to warps in units of
/// 256 (CUDA C++ programming guide, "Compute capabilities").
CUresult too_many_threads(const Context& context, Callable& callable, u64 handle, const protocol::DeviceInfo& info,
                          u64 threads) {
  int registers = 0;
  const CUresult result = function_attribute(context.index(), handle, callable, CU_FUNC_ATTRIBUTE_NUM_REGS, registers);
  if (result != CUDA_SUCCESS) return result;
  const u64 a_warp = (u64{static_cast<u32>(registers)} * 32 + 255) / 256 * 256;
  return (threads + 31) / 32 * a_warp > limit(info, CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK)
             ? CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
             : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult check_shape(Context& context, Callable& callable, u64 handle, const Shape& shape) {
  CUresult result = CUDA_SUCCESS;
  const protocol::DeviceInfo* info = device_info(context, result);
  if (!info) return result;
  const auto within = [&](u32 value, CUdevice_attribute attribute) {
    return value != 0 && value <= limit(*info, attribute);
  };
  if (!within(shape.grid_x, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X) ||
      !within(shape.grid_y, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y) ||
      !within(shape.grid_z, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z) ||
      !within(shape.block_x, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X) ||
      !within(shape.block_y, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y) ||
      !within(shape.block_z, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z))
    return CUDA_ERROR_INVALID_VALUE;
  const u64 threads = u64{shape.block_x} * shape.block_y * shape.block_z;
  if (threads > limit(*info, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)) return CUDA_ERROR_INVALID_VALUE;

  u32 most_threads = callable.facts.max_threads.load(std::memory_order_acquire);
  if (most_threads == 0) [[unlikely]] {
    result = learn_limits(context, callable, handle);
    if (result != CUDA_SUCCESS) return result;
    most_threads = callable.facts.max_threads.load(std::memory_order_acquire);
  }
  // Another thread may have changed an attribute in between: then the host checks.
  if (most_threads != 0 && threads > most_threads) return too_many_threads(context, callable, handle, *info, threads);
  const i32 most_shared = callable.facts.max_dynamic_shared.load(std::memory_order_relaxed);
  if (most_shared >= 0 && shape.shared_bytes > static_cast<u32>(most_shared)) return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

CUresult Parameters::read(const Callable& callable, void** pointers, void** extra) noexcept {
  callable_ = &callable;
  if (pointers) {
    if (extra) return CUDA_ERROR_INVALID_VALUE;
    pointers_ = pointers;
    bytes_ = callable.parameter_bytes;
    return CUDA_SUCCESS;
  }
  if (!extra) return callable.parameters.empty() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  std::size_t size = 0;
  for (u32 i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
    if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER)
      buffer_ = extra[i + 1];
    else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE && extra[i + 1])
      size = *static_cast<const std::size_t*>(extra[i + 1]);
    else
      return CUDA_ERROR_INVALID_VALUE;
  }
  if (size > protocol::kMaxParameterBytes || (size != 0 && !buffer_)) return CUDA_ERROR_INVALID_VALUE;
  bytes_ = static_cast<u32>(size);
  return CUDA_SUCCESS;
}

void Parameters::write(std::byte* to) const noexcept {
  if (buffer_) {
    std::memcpy(to, buffer_, bytes_);
    return;
  }
  if (bytes_ == 0) return;
  if (!callable_->dense) std::memset(to, 0, bytes_);
  const protocol::ParameterLayout* layout = callable_->parameters.data();
  const std::size_t count = callable_->parameters.size();
  for (std::size_t i = 0; i < count; ++i) {
    std::byte* place = to + layout[i].offset;
    // Nearly all parameters have one of these sizes, whose copies are single instructions.
    switch (layout[i].size) {
      case 8:
        std::memcpy(place, pointers_[i], 8);
        break;
      case 4:
        std::memcpy(place, pointers_[i], 4);
        break;
      default:
        std::memcpy(place, pointers_[i], layout[i].size);
    }
  }
}

CUresult read_attributes(const CUlaunchConfig& config,
                         std::array<protocol::LaunchAttribute, protocol::kMaxLaunchAttributes>& out,
                         u32& count) noexcept {
  count = 0;
  if (config.numAttrs == 0) return CUDA_SUCCESS;
  if (!config.attrs || config.numAttrs > out.size()) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const CUlaunchAttribute& attribute = config.attrs[i];
    static_assert(sizeof attribute.value == 64);
    CUevent event = nullptr;
    switch (static_cast<int>(attribute.id)) {
      case CU_LAUNCH_ATTRIBUTE_IGNORE:
        continue;
      case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
        event = attribute.value.programmaticEvent.event;
        if (!state().events.find(reinterpret_cast<u64>(event))) return CUDA_ERROR_INVALID_HANDLE;
        break;
      case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
        event = attribute.value.launchCompletionEvent.event;
        if (!state().events.find(reinterpret_cast<u64>(event))) return CUDA_ERROR_INVALID_HANDLE;
        break;
      case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
        return refuse_as("cuLaunchKernelEx", "a kernel node that kernels update");
      default:
        break;
    }
    protocol::LaunchAttribute& wire = out[count++];
    wire.id = static_cast<u32>(attribute.id);
    wire.zero = 0;
    std::memcpy(wire.value.data(), &attribute.value, sizeof attribute.value);
  }
  return CUDA_SUCCESS;
}

namespace {

template <typename Call>
CUresult launch(CUfunction function, const Shape& shape, CUstream stream, void** pointers, void** extra) noexcept {
  return with_stream(stream, [&](Context& context, StreamHandle resolved) -> CUresult {
    const u64 handle = reinterpret_cast<u64>(function);
    Callable* callable = find_callable(handle);
    if (!callable) return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = check_shape(context, *callable, handle, shape);
    if (result != CUDA_SUCCESS) return result;
    Parameters parameters;
    result = parameters.read(*callable, pointers, extra);
    if (result != CUDA_SUCCESS) return result;
    const typename Call::Request request{{handle},           resolved,          shape.grid_x,  shape.grid_y,
                                         shape.grid_z,       shape.block_x,     shape.block_y, shape.block_z,
                                         shape.shared_bytes, parameters.bytes()};
    return state().channel->post<Call>(context.index(), request, parameters.bytes(),
                                       [&](std::byte* to) { parameters.write(to); });
  });
}

}  // namespace
}  // namespace vgpu::shim

using namespace vgpu::shim;

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                        unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared_bytes,
                        CUstream stream, void** parameters, void** extra) {
  return launch<call::cuLaunchKernel>(function, {grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes},
                                      stream, parameters, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                                   unsigned int block_x, unsigned int block_y, unsigned int block_z,
                                   unsigned int shared_bytes, CUstream stream, void** parameters) {
  return launch<call::cuLaunchCooperativeKernel>(
      function, {grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes}, stream, parameters, nullptr);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** pointers, void** extra) {
  if (!config) return guarded([] { return CUDA_ERROR_INVALID_VALUE; });
  return with_stream(config->hStream, [&](Context& context, StreamHandle stream) -> CUresult {
    const u64 handle = reinterpret_cast<u64>(function);
    Callable* callable = find_callable(handle);
    if (!callable) return CUDA_ERROR_INVALID_HANDLE;
    const Shape shape{config->gridDimX,  config->gridDimY,  config->gridDimZ,      config->blockDimX,
                      config->blockDimY, config->blockDimZ, config->sharedMemBytes};
    CUresult result = check_shape(context, *callable, handle, shape);
    if (result != CUDA_SUCCESS) return result;
    std::array<vgpu::protocol::LaunchAttribute, vgpu::protocol::kMaxLaunchAttributes> attributes;
    u32 count = 0;
    result = read_attributes(*config, attributes, count);
    if (result != CUDA_SUCCESS) return result;
    Parameters parameters;
    result = parameters.read(*callable, pointers, extra);
    if (result != CUDA_SUCCESS) return result;
    const u32 attribute_bytes = count * static_cast<u32>(sizeof attributes[0]);
    return state().channel->post<call::cuLaunchKernelEx>(context.index(),
                                                         {{handle},
                                                          stream,
                                                          shape.grid_x,
                                                          shape.grid_y,
                                                          shape.grid_z,
                                                          shape.block_x,
                                                          shape.block_y,
                                                          shape.block_z,
                                                          shape.shared_bytes,
                                                          parameters.bytes(),
                                                          count,
                                                          0},
                                                         attribute_bytes + parameters.bytes(), [&](std::byte* to) {
                                                           std::memcpy(to, attributes.data(), attribute_bytes);
                                                           parameters.write(to + attribute_bytes);
                                                         });
  });
}
