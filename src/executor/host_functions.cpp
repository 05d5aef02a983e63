#include "executor/host_functions.hpp"

namespace vgpu::executor {

using protocol::u64;

void HostFunctions::run(u64 id, CUresult status) {
  std::unique_lock lock(mutex_);
  if (ended_ || !running_.insert(id).second) return;
  waiting_.fetch_add(1, std::memory_order_acq_rel);
  reached_();
  if (askers_.empty()) {
    due_.push_back({id, status});
  } else {
    const Answer answer = askers_.front();
    askers_.pop_front();
    fetch_(answer, id, status);
  }
  changed_.wait(lock, [&] { return ended_ || !running_.contains(id); });
  waiting_.fetch_sub(1, std::memory_order_acq_rel);
}

void HostFunctions::next(Answer answer) {
  std::lock_guard lock(mutex_);
  if (due_.empty()) {
    askers_.push_back(answer);
    return;
  }
  const Due due = due_.front();
  due_.pop_front();
  fetch_(answer, due.id, due.status);
}

bool HostFunctions::done(u64 id) {
  std::lock_guard lock(mutex_);
  if (running_.erase(id) == 0) return false;
  changed_.notify_all();
  return true;
}

void HostFunctions::end() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

}  // namespace vgpu::executor
