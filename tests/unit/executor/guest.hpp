#pragma once
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/cuda_names.hpp"
#include "executor/commands.hpp"
#include "executor/ring_loop.hpp"
#include "executor/session.hpp"
#include "fake_cuda.hpp"
#include "protocol/ring.hpp"

namespace vgpu::test {

using namespace vgpu::protocol;
using namespace std::chrono_literals;

inline constexpr u64 kRegionBytes = (64u << 20) + (16u << 20);
inline constexpr auto kPatience = 20s;
// Where a guest puts its arena. ThreadSanitizer keeps most addresses for itself, AddressSanitizer others.
#ifdef __SANITIZE_THREAD__
inline constexpr u64 kArena = 0x4000000000;
#else
inline constexpr u64 kArena = 0x300000000000;
#endif

/// Wakes nobody, but counts.
class CountingWaker final : public executor::Waker {
 public:
  void wake(vgpu_slot&) noexcept override { ++woken; }
  std::atomic<unsigned> woken{0};
};

/// A guest process, the daemon and an executor in one process: the executor's reader thread reads a real ring.
class Guest {
 public:
  explicit Guest(FakeCuda& fake_cuda, executor::SessionConfig config = {}, bool lease = true)
      : Guest(fake_cuda.driver(), std::move(config), lease) {}
  explicit Guest(const executor::Driver& driver, executor::SessionConfig config = {}, bool lease = true,
                 std::chrono::microseconds spin = 200us)
      : Guest(driver, own_region(), kRegionBytes, {}, std::move(config), lease, spin) {}
  /// In memory of somebody else.
  Guest(FakeCuda& fake_cuda, int memory, u64 region_bytes, const executor::Region::Place& place)
      : Guest(fake_cuda.driver(), dup(memory), region_bytes, place, {}, true, 200us) {}
  ~Guest() {
    stop();
    session->host_functions.end();
    if (FakeCuda::current != nullptr) FakeCuda::current->finish();
    loop_.reset();
    commands_.reset();
    session.reset();
    close(daemon_fd);
    close(region_fd_);
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  void stop() {
    if (!thread_.joinable()) return;
    send(ExecutorCommand::Type::stop);
    session->host_functions.end();
    thread_.join();
    commands_->finished();
  }
  /// The reader thread came back by itself.
  void join() { thread_.join(); }

  void send(ExecutorCommand::Type type, u64 quantum_microseconds = 0) {
    ExecutorCommand command;
    command.type = type;
    command.quantum_microseconds = quantum_microseconds;
    command.backlog_microseconds = backlog_microseconds;
    static_cast<void>(::send(daemon_fd, &command, sizeof command, MSG_NOSIGNAL));
  }
  /// The next event that the daemon gets; nothing if none comes.
  std::optional<ExecutorEvent> event(std::chrono::milliseconds patience = kPatience) {
    timeval limit{patience.count() / 1000, static_cast<suseconds_t>(patience.count() % 1000 * 1000)};
    setsockopt(daemon_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ExecutorEvent event;
    if (recv(daemon_fd, &event, sizeof event, 0) != sizeof event) return {};
    return event;
  }
  /// The next event of this type.
  std::optional<ExecutorEvent> event(ExecutorEvent::Type type) {
    for (;;) {
      const auto got = event();
      if (!got || got->type == type) return got;
    }
  }

  /// Publishes a record; rings the daemon as a shim would if the executor sleeps.
  template <typename Call>
  void publish(const typename Call::Request& request, u32 slot = VGPU_NO_SLOT, std::span<const std::byte> tail = {},
               u16 flags = 0) {
    const u32 request_bytes = wire_bytes<typename Call::Request>();
    const u32 bytes = record_bytes(request_bytes, tail.size());
    std::byte* place = reserve(bytes);
    std::memcpy(place + sizeof(vgpu_record), &request, request_bytes);
    if (!tail.empty()) std::memcpy(place + sizeof(vgpu_record) + request_bytes, tail.data(), tail.size());
    vgpu_record header{};
    header.bytes = bytes;
    header.call = Call::number;
    header.flags = flags;
    header.slot = slot;
    header.ticket = slot == VGPU_NO_SLOT ? 0 : ++ticket_;
    header.context = context;
    header.tail_bytes = static_cast<u32>(tail.size());
    if (writer.publish(header, place + sizeof(vgpu_record), request_bytes) && rings) send(ExecutorCommand::Type::run);
  }
  std::byte* reserve(u32 bytes) {
    for (;;) {
      if (std::byte* place = writer.reserve(bytes); place != nullptr) return place;
      std::this_thread::yield();
    }
  }

  /// Waits for an answer to the last publish() with this slot. False: none came.
  bool wait(u32 slot, u32 ticket, std::chrono::milliseconds patience = kPatience) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (std::atomic_ref(region.slots()[slot].done).load(std::memory_order_acquire) != ticket) {
      if (std::chrono::steady_clock::now() > end) return false;
      if (shared(control->state).load(std::memory_order_acquire) == VGPU_STATE_ENDED) return false;
      std::this_thread::yield();
    }
    return true;
  }
  u32 ticket() const { return ticket_; }

  /// A call and its answer.
  template <typename Call>
  CUresult call(const typename Call::Request& request, typename Call::Reply* reply = nullptr,
                std::span<const std::byte> tail = {}, u32 slot = 0) {
    publish<Call>(request, slot, tail);
    if (!wait(slot, ticket_)) return static_cast<CUresult>(-1);
    const vgpu_slot& answer = region.slots()[slot];
    if constexpr (!std::is_empty_v<typename Call::Reply>)
      if (reply != nullptr) std::memcpy(reply, answer.reply, sizeof *reply);
    return static_cast<CUresult>(answer.result);
  }

  /// A primary context, current from here on.
  void make_context() {
    call<call::cuDevicePrimaryCtxRetain>({ContextHandle::make(1, 1), 0, 0});
    context = 1;
  }
  u64 allocate(u64 bytes) {
    call::cuMemAlloc::Reply reply{};
    return call<call::cuMemAlloc>({bytes}, &reply) == CUDA_SUCCESS ? static_cast<u64>(reply.pointer) : 0;
  }
  StreamHandle make_stream(u32 index) {
    const auto stream = StreamHandle::make(index, 1);
    publish<call::cuStreamCreateWithPriority>({stream, 0, 0});
    return stream;
  }
  /// How often a function was refused because it is not carried.
  u64 unsupported(std::string_view name) const {
    const auto index = cuda_name_index(name);
    return index ? stats->unsupported_by_name[*index].load() : 0;
  }
  /// Everything published so far has been read.
  void settle() { call<call::vgpuBye>({0}, nullptr, {}, 1023); }

  u32 state() const { return shared(control->state).load(std::memory_order_acquire); }
  vgpu_end_reason reason() const {
    return static_cast<vgpu_end_reason>(shared(control->end_reason).load(std::memory_order_acquire));
  }

 private:
  Guest(const executor::Driver& driver, int region_fd, u64 region_bytes, const executor::Region::Place& place,
        executor::SessionConfig config, bool lease, std::chrono::microseconds spin)
      : region_fd_(region_fd), stats(std::make_unique<SessionStats>()) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
    daemon_fd = pair[0];
    link_ = std::make_unique<executor::Link>(pair[1]);
    std::string error;
    if (!region.map(region_fd_, region_bytes, place, error)) std::abort();
    control = region.control();
    writer = RingWriter(control, const_cast<std::byte*>(region.ring()));
    config.session = 3;
    config.pool = "A";
    session = std::make_unique<executor::Session>(config, driver, region, *stats, *link_, waker);
    commands_ = std::make_unique<executor::Commands>(*link_, session->signal, session->watch, [] {});
    loop_ = std::make_unique<executor::RingLoop>(*session, *commands_, spin);
    thread_ = std::thread([this] { loop_->run(); });
    if (lease) send(ExecutorCommand::Type::run);
  }
  static int own_region() {
    const int fd = memfd_create("region", MFD_CLOEXEC);
    if (ftruncate(fd, static_cast<off_t>(kRegionBytes)) != 0) std::abort();
    return fd;
  }

  int region_fd_;

 public:
  u64 backlog_microseconds = 0;  ///< of each lease
  bool rings = true;             ///< the daemon hears its doorbell, and gives it a lease
  int daemon_fd = -1;
  executor::Region region;
  std::unique_ptr<SessionStats> stats;
  CountingWaker waker;
  vgpu_control* control = nullptr;
  RingWriter writer;
  std::unique_ptr<executor::Session> session;
  u32 context = 0;

 private:
  u32 ticket_ = 0;
  std::unique_ptr<executor::Link> link_;
  std::unique_ptr<executor::Commands> commands_;
  std::unique_ptr<executor::RingLoop> loop_;
  std::thread thread_;
};

inline std::vector<std::byte> bytes_of(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

}  // namespace vgpu::test
