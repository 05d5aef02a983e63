#pragma once
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "actors/executor_process.hpp"

namespace vgpu::daemon {

/// Executors that wait for a session, their driver initialized: a program starts sooner by what that takes, 0.2 s with
/// NVIDIA's. They know nothing of any tenant, hold no device memory, and cost nothing while they wait. Each serves one
/// session, like any other. Any thread.
class SpareExecutors : public std::enable_shared_from_this<SpareExecutors> {
 public:
  /// Starts one with these handlers. Null: the text says why.
  using Launch =
      std::function<PreparedExecutorPtr(const Driver& driver, ExecutorProcess::Handlers handlers, std::string& error)>;

  /// Processes are started by the thread of `io`, with which they would die.
  static std::shared_ptr<SpareExecutors> make(asio::io_context& io, Launch launch);
  virtual ~SpareExecutors() = default;

  /// From now on `each` wait for each of these drivers, and none for another.
  virtual void keep(std::vector<Driver> drivers, std::size_t each) = 0;
  /// One whose driver is this, or is about to be. Null: none waits. Another one takes its place soon.
  virtual PreparedExecutorPtr take(const Driver& driver) = 0;
  /// How many wait.
  virtual std::size_t waiting() const = 0;
};

}  // namespace vgpu::daemon
