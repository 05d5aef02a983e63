#pragma once
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "common/unique_fd.hpp"
#include "protocol/ring.hpp"
#include "protocol/session.hpp"

namespace vgpu::test {

/// A guest process's side of the socket, without any CUDA.
class Guest {
 public:
  /// Connects; the descriptor is -1 if nobody listens.
  explicit Guest(const std::string& socket);
  ~Guest();
  Guest(Guest&&) noexcept;
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  Guest& operator=(Guest&&) = delete;

  bool connected() const noexcept { return static_cast<bool>(socket_); }
  void send(std::span<const std::byte> message);
  void send_hello(const protocol::Hello& hello);

  /// The next message, or nothing if the daemon closed or said nothing for so long. Descriptors are mapped.
  std::optional<protocol::Welcome> welcome(std::chrono::milliseconds limit = std::chrono::seconds(10));
  /// True once the daemon has closed the socket.
  bool closed(std::chrono::milliseconds limit = std::chrono::seconds(10));
  void close() { socket_.reset(); }

  vgpu_control& control() const noexcept { return *static_cast<vgpu_control*>(mapping_); }
  vgpu_slot& slot(unsigned index) const noexcept;
  bool mapped() const noexcept { return mapping_ != nullptr; }
  int doorbell() const noexcept { return doorbell_.get(); }
  int region() const noexcept { return region_.get(); }

  /// Publishes `count` records of a call without slot, and rings if the executor sleeps.
  void call(unsigned count = 1);
  /// Publishes bytes that are no record.
  void corrupt();
  void ring_doorbell(std::uint64_t count = 1);
  /// Sleeps on a slot as the shim does, until it is woken or the limit passes. True: woken.
  bool sleep_on_slot(unsigned index, std::chrono::milliseconds limit);
  std::uint32_t state() const noexcept;
  bool reaches(std::uint32_t wanted, std::chrono::milliseconds limit = std::chrono::seconds(10)) const;

 private:
  UniqueFd socket_;
  UniqueFd region_;
  UniqueFd doorbell_;
  void* mapping_ = nullptr;
  protocol::RingWriter ring_;
};

/// A Hello as the shim sends it.
protocol::Hello good_hello(std::uint32_t vm = protocol::kNoVm, const std::string& pool = "");

}  // namespace vgpu::test
