#include "hostile_session.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "common/unix_address.hpp"
#include "protocol/catalogue.hpp"

namespace vgpu::hostile {
namespace {

using Clock = std::chrono::steady_clock;

template <typename T>
T load(T& word) {
  return std::atomic_ref<T>(word).load(std::memory_order_acquire);
}

}  // namespace

vgpu_record header_of(const Bytes& record) {
  vgpu_record header;
  std::memcpy(&header, record.data(), sizeof header);
  return header;
}

void set_header(Bytes& record, vgpu_record header, std::size_t request_bytes) {
  header.check = protocol::check_word(header, record.data() + sizeof header, request_bytes);
  std::memcpy(record.data(), &header, sizeof header);
}

protocol::Hello good_hello(std::uint32_t vm) {
  protocol::Hello hello;
  hello.vm = vm;
  hello.features = VGPU_FEATURE_ARENA | VGPU_FEATURE_HOST_FUNCTIONS;
  hello.pid = ::getpid();
  std::memcpy(hello.process.data(), "hostile", 7);
  return hello;
}

Session::Session(const std::string& socket, const void* message, std::size_t bytes) {
  const auto address = unix_address(socket);
  if (!address) throw std::runtime_error("the socket path is too long");
  socket_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
    throw std::runtime_error("no daemon at " + socket + ": " + std::strerror(errno));
  if (bytes != 0 && ::send(socket_.get(), message, bytes, MSG_NOSIGNAL) < 0) return;
  if (bytes == 0) ::shutdown(socket_.get(), SHUT_WR);
  if (!receive_welcome() || welcome_.result != 0) return;
  mapped_ = VGPU_ARENA_OFFSET;
  void* region = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
  if (region != MAP_FAILED) region_ = region;
}

Session::~Session() {
  if (region_ != nullptr) ::munmap(region_, mapped_);
}

bool Session::receive_welcome() {
  pollfd events{socket_.get(), POLLIN, 0};
  if (::poll(&events, 1, 60000) <= 0) throw std::runtime_error("the daemon did not answer within a minute");
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 2)] = {};
  iovec piece{&welcome_, sizeof welcome_};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  if (::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC) < static_cast<ssize_t>(sizeof welcome_)) return false;
  answered_ = true;
  const cmsghdr* part = CMSG_FIRSTHDR(&header);
  if (part == nullptr || part->cmsg_type != SCM_RIGHTS || part->cmsg_len < CMSG_LEN(2 * sizeof(int))) return true;
  int fds[2];
  std::memcpy(fds, CMSG_DATA(part), sizeof fds);
  memory_.reset(fds[0]);
  doorbell_.reset(fds[1]);
  return true;
}

void Session::publish(const Bytes& record, std::uint64_t published) {
  std::memcpy(at(VGPU_RING_OFFSET + position_ % VGPU_RING_BYTES), record.data(), record.size());
  position_ += published != 0 ? published : record.size();
  set_head(position_);
}

void Session::set_head(std::uint64_t head) {
  std::atomic_ref<std::uint64_t>(control().head).store(head, std::memory_order_seq_cst);
  ring_doorbell();
}

void Session::ring_doorbell() {
  const std::uint64_t one = 1;
  if (::write(doorbell_.get(), &one, sizeof one) < 0 && errno != EAGAIN)
    throw std::runtime_error("the doorbell can't be rung");
}

bool Session::attach() {
  const Bytes record = record_of<protocol::call::vgpuAttach>({0, VGPU_VERSION, 0}, position_);
  const std::uint32_t ticket = header_of(record).ticket;
  publish(record);
  return wait_answer(ticket) && reinterpret_cast<vgpu_slot*>(at(VGPU_SLOTS_OFFSET))->result == 0;
}

bool Session::wait_answer(std::uint32_t ticket, int milliseconds) {
  auto* slot = reinterpret_cast<vgpu_slot*>(at(VGPU_SLOTS_OFFSET));
  const auto deadline = Clock::now() + std::chrono::milliseconds(milliseconds);
  while (load(slot->done) != ticket) {
    if (load(control().state) == VGPU_STATE_ENDED || Clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

Outcome Session::wait_end(int milliseconds) {
  Outcome outcome;
  pollfd events{socket_.get(), POLLRDHUP, 0};
  outcome.ended = ::poll(&events, 1, milliseconds) > 0;
  if (region_ != nullptr) {
    outcome.state = load(control().state);
    outcome.reason = load(control().end_reason);
    outcome.result = load(control().end_result);
  }
  return outcome;
}

}  // namespace vgpu::hostile
