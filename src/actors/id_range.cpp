#include "actors/id_range.hpp"

namespace vgpu::daemon {

std::shared_ptr<IdRange> IdRange::make(std::uint32_t first, std::uint32_t last) {
  return std::shared_ptr<IdRange>(new IdRange(first, last));
}

std::unique_ptr<IdRange::Id> IdRange::take() {
  const std::lock_guard lock(mutex_);
  if (taken_.size() > last_ - first_) return nullptr;
  const auto following = [&](std::uint32_t number) { return number == last_ ? first_ : number + 1; };
  while (taken_.contains(next_)) next_ = following(next_);
  const std::uint32_t number = next_;
  taken_.insert(number);
  next_ = following(number);
  return std::make_unique<Id>(shared_from_this(), number);
}

void IdRange::give_back(std::uint32_t number) {
  const std::lock_guard lock(mutex_);
  taken_.erase(number);
}

}  // namespace vgpu::daemon
