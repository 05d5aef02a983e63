#include <algorithm>

#include "softgpu/device_attributes.hpp"
#include "softgpu/module.hpp"

namespace vgpu::softgpu {
namespace {

bool within(int value, int least, int most) noexcept { return value >= least && value <= most; }

}  // namespace

Function::Function(std::shared_ptr<Module> module, std::uint32_t index, std::shared_ptr<FunctionSettings> settings)
    : module_(std::move(module)),
      index_(index),
      info_(&module_->code().kernels()[index]),
      settings_(std::move(settings)) {}

Context& Function::context() const noexcept { return module_->context(); }

unsigned Function::max_dynamic_shared() const noexcept {
  const int set = settings_->max_dynamic_shared.load();
  if (set >= 0) return static_cast<unsigned>(set);
  const unsigned taken = info_->static_shared_bytes;
  return taken >= limits::kStaticShared ? 0 : limits::kStaticShared - taken;
}

CUresult Function::get_attribute(CUfunction_attribute attribute, int& value) const {
  const auto give = [&](auto number) {
    value = static_cast<int>(number);
    return CUDA_SUCCESS;
  };
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      return give(max_block_threads(*info_));
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      return give(info_->static_shared_bytes);
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES: {
      std::uint64_t bytes = 0;
      for (const ptx::Variable& variable : module_->code().variables()) bytes += variable.constant ? variable.bytes : 0;
      return give(bytes);
    }
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      return give(info_->local_bytes);
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      return give(info_->registers);
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      return give(info_->target);
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      return give(limits::kComputeMajor * 10 + limits::kComputeMinor);
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
      return give(0);
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      return give(max_dynamic_shared());
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      return give(settings_->carveout.load());
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
      return give(settings_->cluster[attribute - CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH].load());
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
      return give(settings_->non_portable_cluster.load());
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      return give(settings_->cluster_policy.load());
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult Function::set_attribute(CUfunction_attribute attribute, int value) const {
  return set_function_attribute(*settings_, *info_, attribute, value);
}

CUresult set_function_attribute(FunctionSettings& settings, const ptx::KernelInfo& info, CUfunction_attribute attribute,
                                int value) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: {
      const int most = static_cast<int>(limits::kOptInShared) - static_cast<int>(info.static_shared_bytes);
      if (!within(value, 0, most)) return CUDA_ERROR_INVALID_VALUE;
      settings.max_dynamic_shared = value;
      return CUDA_SUCCESS;
    }
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      if (!within(value, -1, 100)) return CUDA_ERROR_INVALID_VALUE;
      settings.carveout = value;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
      if (!within(value, 0, 16)) return CUDA_ERROR_INVALID_VALUE;
      settings.cluster[attribute - CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH] = value;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
      if (!within(value, 0, 1)) return CUDA_ERROR_INVALID_VALUE;
      settings.non_portable_cluster = value;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      if (!within(value, CU_CLUSTER_SCHEDULING_POLICY_DEFAULT, CU_CLUSTER_SCHEDULING_POLICY_LOAD_BALANCING)) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      settings.cluster_policy = value;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult get_parameter(const ptx::KernelInfo& info, std::size_t index, std::size_t* offset, std::size_t* size) {
  if (offset == nullptr || index >= info.parameters.size()) return CUDA_ERROR_INVALID_VALUE;
  *offset = info.parameters[index].offset;
  if (size != nullptr) *size = info.parameters[index].size;
  return CUDA_SUCCESS;
}

unsigned max_block_threads(const ptx::KernelInfo& info) noexcept {
  unsigned most = limits::kThreadsPerBlock;
  if (info.max_threads_per_block != 0) most = std::min(most, info.max_threads_per_block);
  return most;
}

}  // namespace vgpu::softgpu
