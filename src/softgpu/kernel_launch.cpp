#include "softgpu/kernel_launch.hpp"

#include <algorithm>

#include "softgpu/conditional.hpp"
#include "softgpu/device_attributes.hpp"
#include "softgpu/driver.hpp"
#include "softgpu/log.hpp"
#include "softgpu/occupancy.hpp"

namespace vgpu::softgpu {
namespace {

CUresult result_of(ptx::Fault fault) noexcept {
  switch (fault) {
    case ptx::Fault::none:
    case ptx::Fault::cancelled:  // another kernel's fault is what counts
      return CUDA_SUCCESS;
    case ptx::Fault::illegal_address:
      return CUDA_ERROR_ILLEGAL_ADDRESS;
    case ptx::Fault::misaligned_address:
      return CUDA_ERROR_MISALIGNED_ADDRESS;
    case ptx::Fault::assertion:
      return CUDA_ERROR_ASSERT;
    case ptx::Fault::trap:
      return CUDA_ERROR_LAUNCH_FAILED;
    case ptx::Fault::illegal_instruction:
      return CUDA_ERROR_ILLEGAL_INSTRUCTION;
    case ptx::Fault::invalid_pc:
      return CUDA_ERROR_INVALID_PC;
    case ptx::Fault::timeout:
      return CUDA_ERROR_LAUNCH_TIMEOUT;
  }
  return CUDA_ERROR_UNKNOWN;
}

/// The buffer that `extra` names: pairs of a key and a value, up to CU_LAUNCH_PARAM_END.
CUresult read_extra(void** extra, const void*& buffer, std::size_t& bytes) {
  constexpr int kMostPairs = 8;
  buffer = nullptr;
  bytes = 0;
  for (int pair = 0; pair < kMostPairs; ++pair, extra += 2) {
    const auto key = reinterpret_cast<std::uintptr_t>(extra[0]);
    if (key == CU_LAUNCH_PARAM_END_AS_INT) return CUDA_SUCCESS;
    if (key == CU_LAUNCH_PARAM_BUFFER_POINTER_AS_INT) {
      buffer = extra[1];
    } else if (key == CU_LAUNCH_PARAM_BUFFER_SIZE_AS_INT) {
      if (extra[1] == nullptr) return CUDA_ERROR_INVALID_VALUE;
      bytes = *static_cast<const std::size_t*>(extra[1]);
    } else {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult pack(const ptx::KernelInfo& info, void** parameters, void** extra, std::byte* packed) {
  if (parameters != nullptr && extra != nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (info.parameters.empty()) return CUDA_SUCCESS;
  if (parameters != nullptr) {
    for (std::size_t i = 0; i < info.parameters.size(); ++i) {
      if (parameters[i] == nullptr) return CUDA_ERROR_INVALID_VALUE;
      std::memcpy(packed + info.parameters[i].offset, parameters[i], info.parameters[i].size);
    }
    return CUDA_SUCCESS;
  }
  if (extra == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const void* buffer = nullptr;
  std::size_t bytes = 0;
  if (const CUresult error = read_extra(extra, buffer, bytes); error != CUDA_SUCCESS) return error;
  // A buffer may end in padding; what the kernel takes must be there.
  if (buffer == nullptr || bytes < info.parameter_bytes) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(packed, buffer, info.parameter_bytes);
  return CUDA_SUCCESS;
}

}  // namespace

void KernelLaunch::operator()() const noexcept {
  Driver& self = driver();
  if (self.fault() != CUDA_SUCCESS) return;
  CUresult result = CUDA_SUCCESS;
  try {
    ptx::Launch launch;
    launch.module = &module->code();
    launch.kernel = kernel;
    launch.grid = shape.grid;
    launch.block = shape.block;
    launch.dynamic_shared_bytes = shape.dynamic_shared;
    launch.cooperative = shape.cooperative;
    launch.parameters = parameters.view();
    launch.memory = &self.memory.map_of(module->context().device());
    if (module->code().kernels()[kernel].uses_heap) launch.heap = module->context().kernel_heap();
    launch.set_condition = &set_condition;
    launch.resources = &resource_table();
    launch.cancel = &self.cancel();
    launch.brake = module->context().device().brake();
    if (const unsigned seconds = self.settings.launch_timeout_seconds; seconds != 0) {
      launch.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    }
    const ptx::Outcome outcome = self.pool().run(launch);
    result = result_of(outcome.fault);
    if (result != CUDA_SUCCESS) {
      const char* name = "CUDA_ERROR_UNKNOWN";
      cuGetErrorName(result, &name);
      log(LogLevel::error, "kernel fault error={} address={:#x} kernel={} line={} {}", name, outcome.address,
          outcome.kernel, outcome.line, outcome.detail);
    }
  } catch (const std::exception& error) {
    log(LogLevel::error, "kernel not run reason=\"{}\" kernel={}", error.what(), module->code().kernels()[kernel].name);
    result = CUDA_ERROR_LAUNCH_FAILED;
  }
  if (result != CUDA_SUCCESS) self.set_fault(result);
}

CUresult check_launch_shape(const Function& function, const LaunchShape& shape) {
  const ptx::Dim3& grid = shape.grid;
  const ptx::Dim3& block = shape.block;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (grid.x > limits::kGridX || grid.y > limits::kGridY || grid.z > limits::kGridZ) return CUDA_ERROR_INVALID_VALUE;
  if (block.x > limits::kBlockX || block.y > limits::kBlockY || block.z > limits::kBlockZ)
    return CUDA_ERROR_INVALID_VALUE;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  const ptx::KernelInfo& info = function.info();
  if (threads > max_block_threads(info)) return CUDA_ERROR_INVALID_VALUE;
  if (shape.dynamic_shared > function.max_dynamic_shared()) return CUDA_ERROR_INVALID_VALUE;
  const unsigned resident = blocks_per_multiprocessor(info, static_cast<unsigned>(threads), shape.dynamic_shared);
  if (resident == 0) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  if (shape.cooperative) {
    const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y;
    const std::uint64_t most = std::uint64_t{resident} * multiprocessors();
    if (blocks > most || blocks * grid.z > most) return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
  }
  for (const auto& cluster : function.settings().cluster) {
    if (cluster.load(std::memory_order_relaxed) > 1) return CUDA_ERROR_NOT_SUPPORTED;
  }
  return CUDA_SUCCESS;
}

CUresult prepare_launch(const Function& function, const LaunchShape& shape, void** parameters, void** extra,
                        std::optional<KernelLaunch>& launch) {
  if (const CUresult error = check_launch_shape(function, shape); error != CUDA_SUCCESS) return error;
  launch.emplace(
      KernelLaunch{function.module(), function.index(), shape, LaunchParameters(function.info().parameter_bytes)});
  return pack(function.info(), parameters, extra, launch->parameters.data());
}

CUresult read_launch_attributes(const CUlaunchAttribute* attributes, unsigned count, LaunchShape& shape) {
  if (count != 0 && attributes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    const CUlaunchAttribute& attribute = attributes[i];
    switch (attribute.id) {
      case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
        shape.cooperative = attribute.value.cooperative != 0;
        break;
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
      case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION: {
        const auto& cluster = attribute.value.clusterDim;
        if (cluster.x == 0 || cluster.y == 0 || cluster.z == 0) return CUDA_ERROR_INVALID_VALUE;
        if (cluster.x > 1 || cluster.y > 1 || cluster.z > 1) {
          log(LogLevel::error, "launch refused reason=\"clusters are not supported\" cluster={}x{}x{}",
              unsigned{cluster.x}, unsigned{cluster.y}, unsigned{cluster.z});
          return CUDA_ERROR_NOT_SUPPORTED;
        }
        break;
      }
      case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
      case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
      case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
        log(LogLevel::error, "launch refused reason=\"attribute not supported\" attribute={}",
            static_cast<int>(attribute.id));
        return CUDA_ERROR_NOT_SUPPORTED;
      case CU_LAUNCH_ATTRIBUTE_IGNORE:
      case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
      case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
      case CU_LAUNCH_ATTRIBUTE_PRIORITY:
      case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
      case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
      case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        break;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace vgpu::softgpu
