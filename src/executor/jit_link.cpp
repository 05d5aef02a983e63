#include "executor/jit_link.hpp"

#include "executor/jit_options.hpp"

namespace vgpu::executor {

using namespace protocol;

JitLink::JitLink() : options(std::make_unique<JitOptions>()) {}
JitLink::~JitLink() = default;

bool JitLinks::put(LinkHandle handle, std::shared_ptr<JitLink> link) {
  const std::lock_guard lock(mutex_);
  if (!handle.well_formed() || links_.size() >= handle_limit(Kind::link)) return false;
  return links_.try_emplace(handle.value, std::move(link)).second;
}

std::shared_ptr<JitLink> JitLinks::find(LinkHandle handle) {
  const std::lock_guard lock(mutex_);
  const auto found = links_.find(handle.value);
  return found != links_.end() ? found->second : nullptr;
}

std::shared_ptr<JitLink> JitLinks::take(LinkHandle handle) {
  const std::lock_guard lock(mutex_);
  const auto node = links_.extract(handle.value);
  return node.empty() ? nullptr : node.mapped();
}

}  // namespace vgpu::executor
