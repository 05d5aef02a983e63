#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/unique_fd.hpp"
#include "protocol/device.h"

namespace vgpu::ivshmem {

/// What a vgpu-stub has in QEMU, for a VM whose QEMU has none: the guest's memory, and for each channel a doorbell and
/// an interrupt. One for each start of a VM.
class Device {
 public:
  /// Null: `error` says what the system refused. `bytes`: a power of two.
  static std::unique_ptr<Device> create(std::uint64_t bytes, std::uint32_t channels, std::string& error);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  int memory_fd() const noexcept { return memory_.get(); }
  std::uint64_t bytes() const noexcept { return bytes_; }
  std::uint32_t channels() const noexcept { return static_cast<std::uint32_t>(doorbells_.size()); }
  int doorbell_fd(std::uint32_t channel) const noexcept { return doorbells_[channel].get(); }
  int interrupt_fd(std::uint32_t channel) const noexcept { return interrupts_[channel].get(); }

  /// Tells the guest's driver that no daemon is there.
  void set_absent() noexcept;

 private:
  Device() = default;
  UniqueFd memory_;
  std::uint64_t bytes_ = 0;
  vgpu_device_page* page_ = nullptr;
  std::vector<UniqueFd> doorbells_;
  std::vector<UniqueFd> interrupts_;
};

/// Sends all of `bytes`, with `fds` beside the first of them, waiting while the socket is full. False: the peer is
/// gone, or takes nothing for five seconds.
bool send_with_fds(int socket, const void* data, std::size_t bytes, const std::vector<int>& fds);

}  // namespace vgpu::ivshmem
