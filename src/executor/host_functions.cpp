#include "executor/host_functions.hpp"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "executor/pause.hpp"
#include "protocol/record.hpp"
#include "protocol/ring.hpp"

namespace vgpu::executor {

using namespace protocol;
using namespace std::chrono_literals;

HostFunctions::~HostFunctions() {
  end();
  if (thread_.joinable()) thread_.join();
}

void HostFunctions::run(const Due& due) {
  std::unique_lock lock(mutex_);
  if (ended_) return;
  bool finished = false;
  due_.push_back({due, &finished});
  waiting_.fetch_add(1, std::memory_order_release);
  changed_.notify_all();
  changed_.wait(lock, [&] { return ended_ || finished; });
  waiting_.fetch_sub(1, std::memory_order_release);
}

bool HostFunctions::admit() noexcept {
  if (admitted_.fetch_add(1, std::memory_order_relaxed) < kMostAdmitted) return true;
  withdraw();
  return false;
}

void HostFunctions::ends(u64 id) {
  std::lock_guard lock(mutex_);
  if (ended_) return;
  due_.push_back({{id, CUDA_SUCCESS, kHostFunctionEnds}, nullptr});
  changed_.notify_all();
}

bool HostFunctions::serve(Answer first) {
  if (thread_.joinable()) return false;
  try {
    thread_ = std::thread([this, first] { work(first); });
  } catch (const std::system_error&) {
    return false;
  }
  return true;
}

void HostFunctions::work(Answer answer) {
  std::unique_lock lock(mutex_);
  for (;; answer.ticket = next_ticket(answer.ticket)) {
    changed_.wait(lock, [&] { return ended_ || !due_.empty(); });
    if (ended_) return;
    const Item item = due_.front();
    due_.pop_front();
    lock.unlock();
    if (item.due.due == kHostFunctionEnds) withdraw();
    deliver_(answer, item.due);
    await(answer.ticket);
    lock.lock();
    if (ended_) return;  // whoever waited for it is gone
    if (item.finished == nullptr) continue;
    *item.finished = true;
    changed_.notify_all();
  }
}

void HostFunctions::await(u32 ticket) const noexcept {
  constexpr auto kSpin = 30us;
  constexpr auto kLongestNap = 500us;
  Pause pause;
  const auto start = std::chrono::steady_clock::now();
  const auto over = [&] { return ended_ || shared(done_).load(std::memory_order_acquire) == ticket; };
  while (!over()) {
    const auto waited = std::chrono::steady_clock::now() - start;
    if (waited < kSpin)
      pause.step();
    else
      std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(waited / 8, kLongestNap));
  }
}

void HostFunctions::end() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

}  // namespace vgpu::executor
