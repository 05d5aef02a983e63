#pragma once
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <functional>

#include "common/unique_fd.hpp"

namespace vgpu::daemon {

/// Accepts connections on a listening descriptor. Thread of the io_context.
class Acceptor {
 public:
  /// Takes a duplicate of `listening`. `accepted` is called for each connection.
  Acceptor(asio::io_context& io, int listening, std::function<void(UniqueFd)> accepted);
  void close();

 private:
  void wait();
  void accept_all();

  asio::posix::stream_descriptor socket_;
  asio::steady_timer pause_;
  std::function<void(UniqueFd)> accepted_;
};

}  // namespace vgpu::daemon
