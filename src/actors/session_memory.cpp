#include "actors/session_memory.hpp"

#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>

#include "actors/sealed_memory.hpp"

namespace vgpu::daemon {
namespace {

constexpr std::size_t kMappedBytes = VGPU_RING_OFFSET;
/// Free in any process of 47-bit user addresses, whatever its layout: programs and libraries lie at 0x5… and 0x7….
constexpr std::uint64_t kArenaAddress = 0x300000000000;

std::nullptr_t failed(const char* what, std::string& error) {
  error = std::string(what) + ": " + std::strerror(errno);
  return nullptr;
}

}  // namespace

std::shared_ptr<SessionMemory> SessionMemory::create(std::uint64_t region_bytes, std::uint32_t session,
                                                     std::uint32_t vm, std::uint64_t features, std::string& error) {
  std::shared_ptr<SessionMemory> memory(new SessionMemory);
  memory->region_bytes_ = region_bytes;
  memory->region_ = sealed_memory("vgpu-region", region_bytes);
  if (!memory->region_) return failed("region", error);
  memory->doorbell_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!memory->doorbell_) return failed("doorbell", error);
  if (!memory->map(error)) return nullptr;
  memory->fill_control(session, vm, features);
  return memory;
}

std::shared_ptr<SessionMemory> SessionMemory::create_in_vm(std::shared_ptr<VmMemory> vm, std::uint32_t channel,
                                                           std::uint32_t session, std::uint64_t features,
                                                           std::string& error) {
  std::shared_ptr<SessionMemory> memory(new SessionMemory);
  memory->vm_ = std::move(vm);
  memory->channel_ = channel;
  memory->region_bytes_ = memory->vm_->region_bytes();
  // Another process of the guest may have had this channel.
  if (!memory->vm_->discard_channel(channel)) return failed("zeroing the channel", error);
  if (!memory->map(error)) return nullptr;
  memory->fill_control(session, memory->vm_->vm(), features);
  return memory;
}

bool SessionMemory::map(std::string& error) {
  stats_fd_ = sealed_memory("vgpu-stats", sizeof(protocol::SessionStats));
  if (!stats_fd_) {
    failed("counters", error);
    return false;
  }
  void* mapping = ::mmap(nullptr, kMappedBytes, PROT_READ | PROT_WRITE, MAP_SHARED, region_fd(),
                         static_cast<off_t>(region_offset()));
  if (mapping == MAP_FAILED) {
    failed("mapping of the region", error);
    return false;
  }
  mapping_ = mapping;
  void* stats = ::mmap(nullptr, sizeof(protocol::SessionStats), PROT_READ, MAP_SHARED, stats_fd_.get(), 0);
  if (stats == MAP_FAILED) {
    failed("mapping of the counters", error);
    return false;
  }
  stats_ = static_cast<protocol::SessionStats*>(stats);
  return true;
}

void SessionMemory::fill_control(std::uint32_t session, std::uint32_t vm, std::uint64_t features) noexcept {
  vgpu_control& shared = control();
  shared.magic = VGPU_MAGIC;
  shared.version = VGPU_VERSION;
  shared.features = features;
  shared.region_bytes = region_bytes_;
  shared.arena_bytes = region_bytes_ - VGPU_ARENA_OFFSET;
  shared.arena_address = kArenaAddress;
  shared.ring_bytes = VGPU_RING_BYTES;
  shared.slot_count = VGPU_SLOT_COUNT;
  shared.record_max_bytes = VGPU_RECORD_MAX_BYTES;
  shared.staging_chunks = VGPU_STAGING_CHUNKS;
  shared.session = session;
  shared.vm = vm;
  shared.executor_sleeping = 1;  // nobody reads the ring before the first lease: the guest's first record must ring
  shared.state = VGPU_STATE_OPENING;
}

SessionMemory::~SessionMemory() {
  if (mapping_ != nullptr) ::munmap(mapping_, kMappedBytes);
  if (stats_ != nullptr) ::munmap(stats_, sizeof(protocol::SessionStats));
}

bool SessionMemory::write_status(const protocol::Status& status, std::string& error) noexcept {
  // The memory reads as zeros: what no process fills needs no writing.
  const std::size_t bytes =
      offsetof(protocol::Status, processes) + status.process_count * sizeof(protocol::StatusProcess);
  const auto at = static_cast<off_t>(region_offset() + VGPU_STAGING_OFFSET);
  if (::pwrite(region_fd(), &status, bytes, at) == static_cast<ssize_t>(bytes)) return true;
  failed("writing the status", error);
  return false;
}

void SessionMemory::open() noexcept {
  std::uint32_t expected = VGPU_STATE_OPENING;
  std::atomic_ref(control().state).compare_exchange_strong(expected, VGPU_STATE_OPEN, std::memory_order_acq_rel);
}

void SessionMemory::end(vgpu_end_reason reason, std::int32_t result) noexcept {
  std::atomic_ref state(control().state);
  if (state.load(std::memory_order_acquire) != VGPU_STATE_ENDED) {
    std::atomic_ref(control().end_reason).store(reason, std::memory_order_relaxed);
    std::atomic_ref(control().end_result).store(result, std::memory_order_relaxed);
    state.store(VGPU_STATE_ENDED, std::memory_order_release);
  }
  wake_all();
}

void SessionMemory::wake_all() noexcept {
  if (vm_ != nullptr) return vm_->interrupt(channel_);
  auto* slots = reinterpret_cast<vgpu_slot*>(static_cast<std::byte*>(mapping_) + VGPU_SLOTS_OFFSET);
  for (std::uint32_t i = 0; i < VGPU_SLOT_COUNT; ++i)
    ::syscall(SYS_futex, &slots[i].done, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace vgpu::daemon
