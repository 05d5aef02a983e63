#include "shim/channel.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "common/cuda_errors.hpp"
#include "protocol/device.h"
#include "protocol/end_reason.hpp"

namespace vgpu::shim {
namespace {

using protocol::shared;

constexpr std::int64_t kSecondNs = 1'000'000'000;

u64 now_ns() noexcept {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000u + static_cast<u64>(now.tv_nsec);
}

/// Spinning takes the processor from the executor when both share few. Else it costs less than what NVIDIA's driver
/// does, which by default spins until the GPU is done, and saves those who wait for short kernels a wake-up.
u64 spin_time_ns() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int cpus = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return cpus <= 1 ? 0 : cpus <= 3 ? 20'000 : 200'000;
}

}  // namespace

std::unique_ptr<Channel> Channel::open(std::unique_ptr<Carrier> carrier, CUresult& result, std::string& reason) {
  std::unique_ptr<Channel> channel(new Channel);
  channel->carrier_ = std::move(carrier);
  reason = channel->map();
  if (!reason.empty()) {
    result = CUDA_ERROR_NO_DEVICE;
    return nullptr;
  }
  channel->spin_ns_ = spin_time_ns();
  channel->owned_slots_.fill(0, kOwnedSlots);
  channel->borrowed_slots_.fill(kOwnedSlots, kThreadSlots - kOwnedSlots);
  result = CUDA_SUCCESS;
  return channel;
}

Channel::~Channel() {
  if (control_) ::munmap(control_, VGPU_CHANNEL_BYTES);
  if (arena_) ::munmap(arena_, arena_bytes_);
}

std::string Channel::map() {
  if (carrier_->region_bytes() < VGPU_ARENA_OFFSET) return "the shared memory that the daemon gave is too small";
  void* base =
      ::mmap(nullptr, VGPU_CHANNEL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, carrier_->region_fd(), 0);
  if (base == MAP_FAILED) return std::string("can't map the shared memory: ") + std::strerror(errno);
  ::madvise(base, VGPU_CHANNEL_BYTES, MADV_DONTFORK);
  auto* bytes = static_cast<std::byte*>(base);
  control_ = reinterpret_cast<vgpu_control*>(bytes + VGPU_CONTROL_OFFSET);
  slots_ = reinterpret_cast<vgpu_slot*>(bytes + VGPU_SLOTS_OFFSET);
  staging_ = bytes + VGPU_STAGING_OFFSET;
  if (control_->magic != VGPU_MAGIC) return "the shared memory that the daemon sent is no vgpu region";
  if (control_->version >> 16 != VGPU_VERSION_MAJOR)
    return "the daemon speaks another version of the protocol; install the same version of vgpu";
  if (control_->ring_bytes != VGPU_RING_BYTES || control_->slot_count != VGPU_SLOT_COUNT ||
      control_->record_max_bytes != VGPU_RECORD_MAX_BYTES || control_->staging_chunks != VGPU_STAGING_CHUNKS ||
      control_->region_bytes > carrier_->region_bytes() || control_->region_bytes < VGPU_ARENA_OFFSET ||
      control_->arena_bytes > control_->region_bytes - VGPU_ARENA_OFFSET)
    return "the sizes in the daemon's shared memory are not those of this protocol version";
  session_ = control_->session;
  writer_ = protocol::RingWriter(control_, bytes + VGPU_RING_OFFSET);
  map_arena();
  return {};
}

// The same address on both sides lets kernels use host pointers. Where this process has something else there, other
// places are offered to the executor, far from what a process usually maps; the last resort is any place at all,
// without the feature.
void Channel::map_arena() {
  arena_bytes_ = control_->arena_bytes;
  if (arena_bytes_ == 0) return;
  const bool on_demand = carrier_->arena_on_demand();
  const int fd = on_demand ? -1 : carrier_->region_fd();
  const off_t offset = on_demand ? 0 : VGPU_ARENA_OFFSET;
  const int protection = on_demand ? PROT_NONE : PROT_READ | PROT_WRITE;
  const int kind = MAP_NORESERVE | (on_demand ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
  constexpr u64 kStep = u64{1} << 40;
  if (control_->arena_address != 0) {
    for (u64 attempt = 0; attempt < 16; ++attempt) {
      auto* wanted = reinterpret_cast<void*>(control_->arena_address + attempt * kStep);
      void* at = ::mmap(wanted, arena_bytes_, protection, kind | MAP_FIXED_NOREPLACE, fd, offset);
      if (at == MAP_FAILED) continue;
      if (at != wanted) {  // a kernel that doesn't know MAP_FIXED_NOREPLACE takes it as a hint
        ::munmap(at, arena_bytes_);
        continue;
      }
      ::madvise(at, arena_bytes_, MADV_DONTFORK);
      arena_ = static_cast<std::byte*>(at);
      arena_in_place_ = true;
      return;
    }
  }
  void* anywhere = ::mmap(nullptr, arena_bytes_, protection, kind, fd, offset);
  if (anywhere == MAP_FAILED) {
    arena_bytes_ = 0;
    return;
  }
  ::madvise(anywhere, arena_bytes_, MADV_DONTFORK);
  arena_ = static_cast<std::byte*>(anywhere);
}

std::byte* Channel::wait_for_room(u32 bytes) noexcept {
  // The executor may have gone to sleep before it saw the last records: publish() rings only for what it published.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (shared(control_->executor_sleeping).exchange(0, std::memory_order_acq_rel) != 0) carrier_->ring_doorbell();
  const u64 start = now_ns();
  u64 looked = start;
  for (u64 round = 0;; ++round) {
    if (std::byte* room = writer_.reserve(bytes)) return room;
    if (has_ended()) return nullptr;
    const u64 now = now_ns();
    if (now - start < spin_ns_) {
      cpu_pause();
      continue;
    }
    if (now - looked > kSecondNs) {
      looked = now;
      if (look_for_death()) return nullptr;
    }
    const timespec nap{0, round < 1000 ? 20'000 : 200'000};
    ::nanosleep(&nap, nullptr);
  }
}

bool Channel::answered(u32 slot, u32 ticket) noexcept {
  return shared(slot_at(slot).done).load(std::memory_order_acquire) == ticket;
}

CUresult Channel::await(u32 index, u32 ticket, void* reply, u32 reply_bytes) noexcept {
  vgpu_slot& slot = slot_at(index);
  if (!answered(index, ticket) && spin_ns_ != 0) {
    const u64 start = now_ns();
    for (u32 round = 1; !answered(index, ticket); ++round) {
      cpu_pause();
      if (round % 32 == 0 && now_ns() - start > spin_ns_) break;
    }
  }
  while (!answered(index, ticket)) {
    if (has_ended()) {
      // The answer may have come just before the end.
      if (answered(index, ticket)) break;
      return ended();
    }
    const u32 seen = shared(slot.done).load(std::memory_order_acquire);
    if (seen == ticket) break;
    shared(slot.sleeping).store(1, std::memory_order_relaxed);
    // The executor writes `done`, fences and looks at `sleeping`; we do it the other way round.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!answered(index, ticket) && !carrier_->wait(slot, index, seen, ticket, kSecondNs)) look_for_death();
    shared(slot.sleeping).store(0, std::memory_order_relaxed);
  }
  const CUresult result = heed(static_cast<CUresult>(slot.result));
  if (reply_bytes != 0) {
    const u32 came = std::min({slot.reply_bytes, reply_bytes, u32{VGPU_SLOT_REPLY_BYTES}});
    std::memcpy(reply, slot.reply, came);
    std::memset(static_cast<std::byte*>(reply) + came, 0, reply_bytes - came);
  }
  return result;
}

bool Channel::has_ended() noexcept {
  return dead_.load(std::memory_order_relaxed) ||
         shared(control_->state).load(std::memory_order_acquire) == VGPU_STATE_ENDED;
}

bool Channel::look_for_death() noexcept {
  if (has_ended()) return true;
  if (carrier_->alive()) return false;
  // The daemon writes the reason before it closes the socket.
  if (shared(control_->state).load(std::memory_order_acquire) != VGPU_STATE_ENDED) dead_ = true;
  return true;
}

CUresult Channel::health() noexcept {
  if (has_ended()) return ended();
  return sticky_.load(std::memory_order_relaxed);
}

CUresult Channel::ended() noexcept {
  CUresult result = CUDA_ERROR_DEVICE_UNAVAILABLE;
  const char* reason = "the daemon is gone";
  if (shared(control_->state).load(std::memory_order_acquire) == VGPU_STATE_ENDED) {
    const auto given = static_cast<CUresult>(shared(control_->end_result).load(std::memory_order_relaxed));
    if (given != CUDA_SUCCESS) result = given;
    reason = protocol::end_reason_text(
        static_cast<vgpu_end_reason>(shared(control_->end_reason).load(std::memory_order_relaxed)));
  }
  if (!said_.exchange(true)) {
    const char* name = cuda_error_name(result);
    std::fprintf(stderr, "vgpu: session %u ended (%s); every CUDA call now returns %s\n", session_, reason,
                 name ? name : "an error");
  }
  return result;
}

CUresult Channel::take_error() noexcept {
  if (shared(control_->async_error).load(std::memory_order_relaxed) != 0) {
    const i32 error = shared(control_->async_error).exchange(0, std::memory_order_acq_rel);
    if (error != 0) return heed(static_cast<CUresult>(error));
  }
  if (late_error_.load(std::memory_order_relaxed) != 0) return static_cast<CUresult>(late_error_.exchange(0));
  return CUDA_SUCCESS;
}

void Channel::leave_error(CUresult result) noexcept {
  u32 none = 0;
  late_error_.compare_exchange_strong(none, static_cast<u32>(result));
}

}  // namespace vgpu::shim
