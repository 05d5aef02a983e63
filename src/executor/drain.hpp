#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "executor/session.hpp"

namespace vgpu::executor {

/// Waits on a worker thread until contexts have no work left. Reader thread.
class Drain {
 public:
  explicit Drain(Session& session) : session_(session) {}

  /// One that was begun has not ended; Session::signal is raised when it does.
  bool under_way() const noexcept { return job_done_ != nullptr && !job_done_->load(std::memory_order_acquire); }
  /// None is under way.
  void begin(std::vector<protocol::u32> contexts);

 private:
  Session& session_;
  std::shared_ptr<std::atomic<bool>> job_done_;
};

}  // namespace vgpu::executor
