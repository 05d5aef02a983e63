#include "executor/launch_attributes.hpp"

#include <cstring>

namespace vgpu::executor {

using namespace protocol;

static_assert(sizeof(CUlaunchAttribute) == sizeof(LaunchAttribute));
static_assert(offsetof(CUlaunchAttribute, value) == offsetof(LaunchAttribute, value));

bool is_carried_attribute(u32 id) noexcept {
  switch (id) {
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
    case 11:  // CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION (name since CUDA 12.8)
    case 14:  // CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT (name since CUDA 12.5)
      return true;
    default:
      return false;
  }
}

CUresult LaunchAttributes::read(Invocation& in, u32 count, std::string_view call) {
  if (count > kMaxLaunchAttributes || in.tail.size() < count * sizeof(LaunchAttribute))
    return in.violate(VGPU_END_BAD_REQUEST, "count of attributes");
  for (u32 i = 0; i < count; ++i) {
    LaunchAttribute attribute;
    std::memcpy(&attribute, in.tail.data() + i * sizeof attribute, sizeof attribute);
    if (attribute.zero != 0) return in.violate(VGPU_END_BAD_REQUEST, "a reserved field is not 0");
    if (!is_carried_attribute(attribute.id)) return in.refuse(call);
    std::memcpy(&attributes_[i], &attribute, sizeof attribute);
  }
  count_ = count;
  return CUDA_SUCCESS;
}

}  // namespace vgpu::executor
