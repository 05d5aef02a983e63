#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

class Context;
class MemoryPool;
struct Settings;
namespace ptx {
class Brake;
}

/// One of the process's software GPUs: its identity, its primary context, and how much of its memory is taken. All
/// devices share the process's addresses, its table of allocations and its CPU cores. Thread-safe.
class Device {
 public:
  Device(int ordinal, const Settings& settings);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const int ordinal;
  const int identity;  ///< which of the machine's software GPUs it is: see identity.hpp
  CUuuid uuid() const noexcept;
  unsigned pci_bus() const noexcept;

  std::uint64_t total_memory() const noexcept { return total_; }
  std::uint64_t available_memory() const noexcept { return total_ - used_.load(std::memory_order_relaxed); }
  /// Counts memory as taken; false if the device doesn't have that much. Each charge is refunded once.
  bool charge(std::uint64_t bytes) noexcept;
  void refund(std::uint64_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }

  /// What holds the device's launches back; null where nothing does.
  ptx::Brake* brake() const noexcept { return brake_.get(); }

  std::shared_ptr<Context> primary;
  std::mutex primary_mutex;
  unsigned primary_retains = 0;  ///< guarded by primary_mutex

  std::shared_ptr<MemoryPool> default_pool;
  /// The pool for cuMemAllocAsync: the default one unless cuDeviceSetMemPool said otherwise.
  std::shared_ptr<MemoryPool> current_pool();
  void set_current_pool(std::shared_ptr<MemoryPool> pool);

 private:
  const std::uint64_t total_;
  const std::unique_ptr<ptx::Brake> brake_;
  std::atomic<std::uint64_t> used_{0};
  std::mutex pool_mutex_;
  std::shared_ptr<MemoryPool> current_pool_;
};

}  // namespace vgpu::softgpu
