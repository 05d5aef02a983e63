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

CUgraphConditionalHandle create_condition() {
  Conditions& all = conditions();
  const std::lock_guard lock(all.mutex);
  all.values[++all.last] = 0;
  return all.last;
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
