#pragma once
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <functional>

#include "actors/ports.hpp"

namespace vgpu::daemon {

/// Accepts guests on a listening descriptor. Thread of the io_context.
class Acceptor {
 public:
  /// Takes a duplicate of `listening`. `accepted` is called for each guest.
  Acceptor(asio::io_context& io, int listening, std::function<void(GuestSocketPtr)> accepted);
  void close();

 private:
  void wait();
  void accept_all();

  asio::io_context& io_;
  asio::posix::stream_descriptor socket_;
  asio::steady_timer pause_;
  std::function<void(GuestSocketPtr)> accepted_;
};

}  // namespace vgpu::daemon
