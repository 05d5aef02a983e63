#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/unique_fd.hpp"
#include "protocol/layout.h"
#include "protocol/record.hpp"
#include "protocol/session.hpp"

/// A guest without a shim: opens a session by hand and writes whatever it likes into the shared memory.
namespace vgpu::hostile {

using Bytes = std::vector<std::byte>;

/// A record with a right header, sequence and check word, for position `position` of the ring.
template <typename Call>
Bytes record_of(const typename Call::Request& request, std::uint64_t position, const Bytes& tail = {}) {
  vgpu_record header{};
  header.bytes = protocol::record_bytes(sizeof request, tail.size());
  header.call = Call::number;
  header.slot = 0;
  header.ticket = static_cast<std::uint32_t>(position) + 1;
  header.tail_bytes = static_cast<std::uint32_t>(tail.size());
  header.sequence = static_cast<std::uint32_t>(position);
  header.check = protocol::check_word(header, &request, sizeof request);
  Bytes bytes(header.bytes);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &request, sizeof request);
  if (!tail.empty()) std::memcpy(bytes.data() + sizeof header + sizeof request, tail.data(), tail.size());
  return bytes;
}

vgpu_record header_of(const Bytes& record);
/// Writes `header` back with a check word that fits it and the request of `request_bytes` that follows.
void set_header(Bytes& record, vgpu_record header, std::size_t request_bytes);

/// How a session came to its end.
struct Outcome {
  bool ended = false;  ///< the daemon closed the socket
  std::uint32_t state = 0;
  std::uint32_t reason = 0;
  std::int32_t result = 0;
};

class Session {
 public:
  /// Connects and sends `message` as it is; throws std::runtime_error when there is no daemon.
  Session(const std::string& socket, const void* message, std::size_t bytes);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  /// True when the daemon gave a session; else welcome() says what it answered, if it did.
  bool open() const noexcept { return region_ != nullptr; }
  bool answered() const noexcept { return answered_; }
  const protocol::Welcome& welcome() const noexcept { return welcome_; }

  vgpu_control& control() noexcept { return *static_cast<vgpu_control*>(region_); }
  std::byte* at(std::uint64_t offset) noexcept { return static_cast<std::byte*>(region_) + offset; }
  std::uint64_t region_bytes() const noexcept { return welcome_.region_bytes; }
  int region_fd() const noexcept { return memory_.get(); }
  int socket_fd() const noexcept { return socket_.get(); }
  std::uint64_t position() const noexcept { return position_; }

  /// Writes `record` at the ring's present position and moves head by `published` bytes (record.size() if 0).
  void publish(const Bytes& record, std::uint64_t published = 0);
  void set_head(std::uint64_t head);
  void ring_doorbell();

  /// The first record of each honest guest. False if it was not answered with success.
  bool attach();
  /// Waits until slot 0 holds `ticket` or the session ends. True: answered.
  bool wait_answer(std::uint32_t ticket, int milliseconds = 20000);
  /// Waits until the daemon closes the socket, at most so long.
  Outcome wait_end(int milliseconds);

 private:
  bool receive_welcome();

  UniqueFd socket_;
  UniqueFd memory_;
  UniqueFd doorbell_;
  void* region_ = nullptr;
  std::uint64_t mapped_ = 0;
  std::uint64_t position_ = 0;
  bool answered_ = false;
  protocol::Welcome welcome_{};
};

protocol::Hello good_hello(std::uint32_t vm);

}  // namespace vgpu::hostile
