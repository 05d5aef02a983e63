#pragma once
#include <asio/io_context.hpp>
#include <filesystem>
#include <memory>
#include <vector>

#include "actors/config.hpp"

namespace vgpu::daemon {

/// The vgpu-ivshmem processes of the VMs that have an ivshmem socket: started, and started again when one fails. A
/// server whose QEMU is connected goes on when this process ends, and serves the next vgpud. Thread of the io_context.
class IvshmemServers {
 public:
  /// Null: `error` says why a server could not be started.
  static std::unique_ptr<IvshmemServers> start(asio::io_context& io, const Config& config, std::string& error);
  ~IvshmemServers();

 private:
  struct Server;
  IvshmemServers() = default;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace vgpu::daemon
