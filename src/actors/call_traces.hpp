#pragma once
#include <cstdint>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "actors/metrics_store.hpp"
#include "protocol/call_trace.hpp"

namespace vgpu::daemon {

/// VMs whose calls somebody watches, so that sessions which they open meanwhile tell of their calls from the first one
/// on. Any thread.
class CallTraces {
 public:
  /// False: it is watched already.
  bool begin(std::uint32_t vm) {
    const std::lock_guard lock(mutex_);
    return vms_.insert(vm).second;
  }
  void end(std::uint32_t vm) {
    const std::lock_guard lock(mutex_);
    vms_.erase(vm);
    std::erase_if(joined_, [&](const SessionRecordPtr& record) { return record->vm == vm; });
  }
  /// A session opens. What is to be told of its calls: bits of protocol::CallWatch.
  std::uint32_t join(const SessionRecordPtr& record) {
    const std::lock_guard lock(mutex_);
    if (!vms_.contains(record->vm)) return 0;
    joined_.push_back(record);
    return protocol::kWatchTrace;
  }
  /// The sessions of this VM that have opened since the last call.
  std::vector<SessionRecordPtr> take_joined(std::uint32_t vm) {
    const std::lock_guard lock(mutex_);
    std::vector<SessionRecordPtr> taken, others;
    for (SessionRecordPtr& record : joined_) (record->vm == vm ? taken : others).push_back(std::move(record));
    joined_ = std::move(others);
    return taken;
  }

 private:
  std::mutex mutex_;
  std::set<std::uint32_t> vms_;
  std::vector<SessionRecordPtr> joined_;
};

}  // namespace vgpu::daemon
