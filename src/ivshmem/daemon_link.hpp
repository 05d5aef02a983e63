#pragma once
#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "ivshmem/device.hpp"
#include "protocol/vm_link.h"

namespace vgpu::ivshmem {

/// Offers a device to vgpud as a vgpu-stub would (vm_link.h), and again whenever vgpud was gone. Thread of the
/// io_context; neither device nor io_context may go before it.
class DaemonLink {
 public:
  DaemonLink(asio::io_context& io, std::filesystem::path daemon, std::uint32_t vm, Device& device);
  ~DaemonLink();

 private:
  void connect();
  bool offer();
  void wait();
  void read();
  void lost(std::chrono::milliseconds pause);

  const std::filesystem::path daemon_;
  const std::uint32_t vm_;
  Device& device_;
  asio::local::stream_protocol::socket socket_;
  asio::steady_timer timer_;
  vgpu_vm_message message_{};
  std::size_t filled_ = 0;
  /// Held weakly by what the io_context may still call when this is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::string refusal_;  ///< the last text of the daemon, so that it is said once
};

}  // namespace vgpu::ivshmem
