#pragma once
#include <sys/types.h>

#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <filesystem>
#include <memory>
#include <optional>

#include "common/socket_file.hpp"
#include "ivshmem/daemon_link.hpp"
#include "ivshmem/device.hpp"

namespace vgpu::ivshmem {

struct Options {
  std::filesystem::path socket;
  mode_t socket_mode = 0600;
  std::optional<gid_t> socket_group;  ///< nothing: the process's own
  std::filesystem::path daemon;       ///< vgpud's socket for devices
  std::uint32_t vm = 0;
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;
  std::uint32_t channels = VGPU_DEFAULT_CHANNELS;
  int lifeline = -1;  ///< closed at its other end when whoever started us is gone
};

/// Serves one VM's ivshmem-doorbell device: QEMU's ivshmem protocol on one side, vm_link.h on the other. It outlives
/// vgpud while a QEMU is connected, because nobody but it holds the VM's memory and eventfds; the server that the next
/// vgpud starts waits at the socket's lock until then. Thread of the io_context.
class Server {
 public:
  Server(asio::io_context& io, Options options);
  ~Server();

 private:
  struct Vm;

  void listen();
  void accept();
  void take(asio::local::stream_protocol::socket qemu);
  bool set_up(Vm& vm);
  void watch_qemu();
  void watch_lifeline();
  void end_if_needless();

  asio::io_context& io_;
  const Options options_;
  std::unique_ptr<SocketFile> file_;
  asio::local::stream_protocol::acceptor acceptor_;
  asio::posix::stream_descriptor lifeline_;
  asio::steady_timer timer_;
  std::unique_ptr<Vm> vm_;
  bool alone_ = false;  ///< whoever started us is gone
  std::string said_;    ///< why the socket can't be had, so that it is said once
};

}  // namespace vgpu::ivshmem
