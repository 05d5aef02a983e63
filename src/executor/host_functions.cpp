#include "executor/host_functions.hpp"

namespace vgpu::executor {

using protocol::u64;

void HostFunctions::tell(const Due& due) {
  if (askers_.empty()) {
    due_.push_back(due);
    return;
  }
  const Answer answer = askers_.front();
  askers_.pop_front();
  fetch_(answer, due);
}

void HostFunctions::wait(std::unique_lock<std::mutex>& lock, const Due& due) {
  waiting_.fetch_add(1, std::memory_order_acq_rel);
  reached_();
  tell(due);
  changed_.wait(lock, [&] { return ended_ || !running_.contains(due.run); });
  waiting_.fetch_sub(1, std::memory_order_acq_rel);
}

void HostFunctions::run(u64 id, CUresult status) {
  std::unique_lock lock(mutex_);
  if (ended_ || !running_.insert(id).second) return;
  wait(lock, {id, status, protocol::kHostFunctionOnce, id});
}

void HostFunctions::run_again(u64 id) {
  std::unique_lock lock(mutex_);
  const u64 run = next_run_++;
  if (ended_ || !running_.insert(run).second) return;
  wait(lock, {id, CUDA_SUCCESS, protocol::kHostFunctionAgain, run});
}

void HostFunctions::ends(u64 id) {
  std::lock_guard lock(mutex_);
  if (!ended_) tell({id, CUDA_SUCCESS, protocol::kHostFunctionEnds, 0});
}

void HostFunctions::next(Answer answer) {
  std::lock_guard lock(mutex_);
  if (due_.empty()) {
    askers_.push_back(answer);
    return;
  }
  const Due due = due_.front();
  due_.pop_front();
  fetch_(answer, due);
}

bool HostFunctions::done(u64 run) {
  std::lock_guard lock(mutex_);
  if (running_.erase(run) == 0) return false;
  changed_.notify_all();
  return true;
}

void HostFunctions::end() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

}  // namespace vgpu::executor
