#include "actors/session_memory.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>

namespace vgpu::daemon {
namespace {

constexpr std::size_t kMappedBytes = VGPU_RING_OFFSET;
/// Free in any process of 47-bit user addresses, whatever its layout: programs and libraries lie at 0x5… and 0x7….
constexpr std::uint64_t kArenaAddress = 0x300000000000;

UniqueFd sealed_memory(const char* name, std::uint64_t bytes) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd && (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
             ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)) {
    const int kept = errno;
    fd.reset();
    errno = kept;
  }
  return fd;
}

}  // namespace

std::shared_ptr<SessionMemory> SessionMemory::create(std::uint64_t region_bytes, std::uint32_t session,
                                                     std::uint32_t vm, std::uint64_t features, std::string& error) {
  std::shared_ptr<SessionMemory> memory(new SessionMemory);
  const auto failed = [&](const char* what) {
    error = std::string(what) + ": " + std::strerror(errno);
    return nullptr;
  };
  memory->region_bytes_ = region_bytes;
  memory->region_ = sealed_memory("vgpu-region", region_bytes);
  if (!memory->region_) return failed("region");
  memory->stats_fd_ = sealed_memory("vgpu-stats", sizeof(protocol::SessionStats));
  if (!memory->stats_fd_) return failed("counters");
  memory->doorbell_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!memory->doorbell_) return failed("doorbell");
  void* mapping = ::mmap(nullptr, kMappedBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory->region_.get(), 0);
  if (mapping == MAP_FAILED) return failed("mapping of the region");
  memory->mapping_ = mapping;
  void* stats = ::mmap(nullptr, sizeof(protocol::SessionStats), PROT_READ, MAP_SHARED, memory->stats_fd_.get(), 0);
  if (stats == MAP_FAILED) return failed("mapping of the counters");
  memory->stats_ = static_cast<protocol::SessionStats*>(stats);

  vgpu_control& control = memory->control();
  control.magic = VGPU_MAGIC;
  control.version = VGPU_VERSION;
  control.features = features;
  control.region_bytes = region_bytes;
  control.arena_bytes = region_bytes - VGPU_ARENA_OFFSET;
  control.arena_address = kArenaAddress;
  control.ring_bytes = VGPU_RING_BYTES;
  control.slot_count = VGPU_SLOT_COUNT;
  control.record_max_bytes = VGPU_RECORD_MAX_BYTES;
  control.staging_chunks = VGPU_STAGING_CHUNKS;
  control.session = session;
  control.vm = vm;
  control.executor_sleeping = 1;  // nobody reads the ring before the first lease: the guest's first record must ring
  control.state = VGPU_STATE_OPENING;
  return memory;
}

SessionMemory::~SessionMemory() {
  if (mapping_ != nullptr) ::munmap(mapping_, kMappedBytes);
  if (stats_ != nullptr) ::munmap(stats_, sizeof(protocol::SessionStats));
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
  auto* slots = reinterpret_cast<vgpu_slot*>(static_cast<std::byte*>(mapping_) + VGPU_SLOTS_OFFSET);
  for (std::uint32_t i = 0; i < VGPU_SLOT_COUNT; ++i)
    ::syscall(SYS_futex, &slots[i].done, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace vgpu::daemon
