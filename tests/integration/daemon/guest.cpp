#include "guest.hpp"

#include <linux/futex.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <thread>

#include "common/unix_address.hpp"

namespace vgpu::test {
namespace {

bool readable(int fd, std::chrono::milliseconds limit) {
  pollfd waited{fd, POLLIN, 0};
  return ::poll(&waited, 1, static_cast<int>(limit.count())) == 1;
}

}  // namespace

Guest::Guest(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
  const auto address = unix_address(path);
  if (!address || ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
    socket_.reset();
}

Guest::~Guest() {
  if (mapping_ != nullptr) ::munmap(mapping_, VGPU_ARENA_OFFSET);
}

Guest::Guest(Guest&& other) noexcept
    : socket_(std::move(other.socket_)),
      region_(std::move(other.region_)),
      doorbell_(std::move(other.doorbell_)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      ring_(other.ring_) {}

void Guest::send(std::span<const std::byte> message) {
  [[maybe_unused]] const ssize_t sent = ::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL);
}

void Guest::send_hello(const protocol::Hello& hello) { send(std::as_bytes(std::span(&hello, 1))); }

std::optional<protocol::Welcome> Guest::welcome(std::chrono::milliseconds limit) {
  if (!readable(socket_.get(), limit)) return std::nullopt;
  protocol::Welcome welcome;
  iovec part{&welcome, sizeof welcome};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> ancillary{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary.data();
  message.msg_controllen = ancillary.size();
  if (::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC) != sizeof welcome) return std::nullopt;
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message);
      header != nullptr && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(2 * sizeof(int))) {
    std::array<int, 2> fds{};
    std::memcpy(fds.data(), CMSG_DATA(header), sizeof fds);
    region_.reset(fds[0]);
    doorbell_.reset(fds[1]);
    void* mapping = ::mmap(nullptr, VGPU_ARENA_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, region_.get(), 0);
    if (mapping != MAP_FAILED) {
      mapping_ = mapping;
      ring_ = protocol::RingWriter(&control(), static_cast<std::byte*>(mapping) + VGPU_RING_OFFSET);
    }
  }
  return welcome;
}

bool Guest::closed(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end) {
    if (!readable(socket_.get(), std::chrono::milliseconds(50))) continue;
    std::array<char, 4096> bytes;
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (got == 0 || (got < 0 && errno == ECONNRESET)) return true;
  }
  return false;
}

vgpu_slot& Guest::slot(unsigned index) const noexcept {
  return reinterpret_cast<vgpu_slot*>(static_cast<std::byte*>(mapping_) + VGPU_SLOTS_OFFSET)[index];
}

void Guest::call(unsigned count) {
  const protocol::CallInfo* info = nullptr;
  for (const protocol::CallInfo& candidate : protocol::kCalls)
    if (candidate.mode == protocol::Mode::async && candidate.request_bytes != 0) {
      info = &candidate;
      break;
    }
  const std::array<std::byte, protocol::kMaxRequestBytes> request{};
  bool ring = false;
  for (unsigned i = 0; i < count; ++i) {
    vgpu_record header{};
    header.bytes = protocol::record_bytes(info->request_bytes, 0);
    header.call = info->number;
    header.slot = VGPU_NO_SLOT;
    std::byte* place = nullptr;
    while ((place = ring_.reserve(header.bytes)) == nullptr) std::this_thread::yield();
    std::memcpy(place + sizeof header, request.data(), info->request_bytes);
    ring = ring_.publish(header, request.data(), info->request_bytes) || ring;
  }
  if (ring) ring_doorbell();
}

void Guest::corrupt() {
  std::memset(static_cast<std::byte*>(mapping_) + VGPU_RING_OFFSET + ring_.head() % VGPU_RING_BYTES, 0xee, 64);
  std::atomic_ref(control().head).store(ring_.head() + 64);
  ring_doorbell();
}

void Guest::ring_doorbell(std::uint64_t count) {
  [[maybe_unused]] const ssize_t written = ::write(doorbell_.get(), &count, sizeof count);
}

bool Guest::sleep_on_slot(unsigned index, std::chrono::milliseconds limit) {
  std::atomic_ref(slot(index).sleeping).store(1);
  if (state() == VGPU_STATE_ENDED) return true;
  const timespec wait{limit.count() / 1000, limit.count() % 1000 * 1'000'000};
  return ::syscall(SYS_futex, &slot(index).done, FUTEX_WAIT, slot(index).done, &wait, nullptr, 0) == 0;
}

std::uint32_t Guest::state() const noexcept { return std::atomic_ref(control().state).load(); }

bool Guest::reaches(std::uint32_t wanted, std::chrono::milliseconds limit) const {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (state() != wanted) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

protocol::Hello good_hello(std::uint32_t vm, const std::string& pool) {
  protocol::Hello hello;
  hello.vm = vm;
  hello.features = VGPU_FEATURE_ARENA;
  hello.pid = ::getpid();
  pool.copy(hello.pool.data(), hello.pool.size() - 1);
  std::string_view("daemon-test").copy(hello.process.data(), hello.process.size() - 1);
  return hello;
}

}  // namespace vgpu::test
