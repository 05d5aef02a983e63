#include "softgpu/conditional.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace vgpu::softgpu {
namespace {

struct Conditions {
  std::mutex mutex;
  CUgraphConditionalHandle last = 0;
  std::unordered_map<CUgraphConditionalHandle, std::uint32_t> values;
};

Conditions& conditions() {
  static auto* const all = new Conditions;  // threads may still run while the process ends
  return *all;
}

}  // namespace

ConditionHolder create_condition() {
  Conditions& all = conditions();
  std::unique_ptr<const CUgraphConditionalHandle> made;
  {
    const std::lock_guard lock(all.mutex);
    made = std::make_unique<const CUgraphConditionalHandle>(all.last + 1);
    all.values[++all.last] = 0;
  }
  return ConditionHolder(made.release(), [](const CUgraphConditionalHandle* handle) {
    Conditions& those = conditions();
    {
      const std::lock_guard those_lock(those.mutex);
      those.values.erase(*handle);
    }
    delete handle;
  });
}

bool set_condition(CUgraphConditionalHandle handle, std::uint32_t value) noexcept {
  Conditions& all = conditions();
  const std::lock_guard lock(all.mutex);
  const auto found = all.values.find(handle);
  if (found == all.values.end()) return false;
  found->second = value;
  return true;
}

std::uint32_t condition_value(CUgraphConditionalHandle handle) noexcept {
  Conditions& all = conditions();
  const std::lock_guard lock(all.mutex);
  const auto found = all.values.find(handle);
  return found == all.values.end() ? 0 : found->second;
}

}  // namespace vgpu::softgpu
