#include "actors/vm_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace vgpu::daemon {
namespace {

template <class T>
T load(T& shared) noexcept {
  return std::atomic_ref(shared).load(std::memory_order_acquire);
}
template <class T>
void store(T& shared, T value) noexcept {
  std::atomic_ref(shared).store(value, std::memory_order_release);
}

/// Waiting on another kind of file could spin for ever, or take what is not ours.
bool is_eventfd(int fd) {
  std::array<char, 64> target{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size() - 1);
  return length > 0 && std::string_view(target.data()) == "anon_inode:[eventfd]";
}

bool set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

}  // namespace

std::shared_ptr<VmMemory> VmMemory::create(VmDescriptors descriptors, std::uint32_t vm, std::uint64_t memory_bytes,
                                           std::string& error) {
  const auto failed = [&](const std::string& what) {
    error = what;
    return nullptr;
  };
  const std::size_t channels = descriptors.channels.size();
  if (channels == 0 || channels > VGPU_MAX_CHANNELS)
    return failed("a device has 1 to " + std::to_string(VGPU_MAX_CHANNELS) + " channels, not " +
                  std::to_string(channels));
  for (const auto& channel : descriptors.channels)
    for (const int fd : {channel.doorbell.get(), channel.interrupt.get()})
      if (!is_eventfd(fd) || !set_nonblocking(fd)) return failed("a channel's descriptor is no eventfd");
  struct stat status {};
  if (::fstat(descriptors.memory.get(), &status) != 0 || static_cast<std::uint64_t>(status.st_size) < memory_bytes)
    return failed("the memory is smaller than the device says");
  if (memory_bytes < VGPU_MIN_MEMORY(channels) || memory_bytes % VGPU_PAGE != 0)
    return failed("the memory is too small for " + std::to_string(channels) + " channels: it needs " +
                  std::to_string(VGPU_MIN_MEMORY(channels) >> 20) + " MiB");
  // Memory that shrinks would end this process at the next touch.
  if (const int seals = ::fcntl(descriptors.memory.get(), F_GET_SEALS); seals < 0 || (seals & F_SEAL_SHRINK) == 0)
    return failed("the memory is not sealed against shrinking");
  void* area = ::mmap(nullptr, VGPU_DEVICE_AREA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptors.memory.get(), 0);
  if (area == MAP_FAILED) return failed(std::string("the memory cannot be mapped: ") + std::strerror(errno));

  std::shared_ptr<VmMemory> memory(new VmMemory);
  memory->descriptors_ = std::move(descriptors);
  memory->vm_ = vm;
  memory->memory_bytes_ = memory_bytes;
  memory->area_ = static_cast<std::byte*>(area);
  memory->handled_.resize(channels);
  const std::uint64_t granules = (memory_bytes - memory->arena_offset()) / VGPU_ARENA_GRANULE;
  memory->arena_bytes_ = std::min<std::uint64_t>(granules, VGPU_MAX_GRANULES) * VGPU_ARENA_GRANULE;
  return memory;
}

VmMemory::~VmMemory() {
  if (area_ != nullptr) ::munmap(area_, VGPU_DEVICE_AREA_BYTES);
}

vgpu_device_page& VmMemory::page() const noexcept {
  return *reinterpret_cast<vgpu_device_page*>(area_ + VGPU_DEVICE_PAGE_OFFSET);
}

vgpu_mailbox& VmMemory::mailbox(std::uint32_t channel) const noexcept {
  return reinterpret_cast<vgpu_mailbox*>(area_ + VGPU_MAILBOXES_OFFSET)[channel];
}

std::span<vgpu_granule> VmMemory::granules() const noexcept {
  return {reinterpret_cast<vgpu_granule*>(area_ + VGPU_GRANULES_OFFSET), arena_bytes_ / VGPU_ARENA_GRANULE};
}

void VmMemory::adopt() {
  for (std::uint32_t channel = 0; channel < channels(); ++channel) handled_[channel] = load(mailbox(channel).request);
  for (vgpu_granule& granule : granules()) store(granule.held, std::uint16_t{0});
  vgpu_device_page& shared = page();
  reset_ = load(shared.guest_reset);
  shared.magic = VGPU_MAGIC;
  shared.version = VGPU_VERSION;
  shared.vm = vm_;
  shared.channels = channels();
  shared.memory_bytes = memory_bytes_;
  shared.arena_offset = arena_offset();
  shared.arena_bytes = arena_bytes_;
  // From the memory at first: an earlier daemon may have counted there.
  epoch_ = (epoch_ == 0 ? load(shared.host_epoch) : epoch_) + 1;
  if (epoch_ == 0) epoch_ = 1;
  store(shared.host_epoch, epoch_);
  store(shared.reset_done, reset_);
  store(shared.host_state, std::uint32_t{VGPU_HOST_READY});
  for (std::uint32_t channel = 0; channel < channels(); ++channel) interrupt(channel);
}

bool VmMemory::reset_wanted() const noexcept { return load(page().guest_reset) != reset_; }

bool VmMemory::discard(std::uint64_t offset, std::uint64_t bytes) noexcept {
  return ::fallocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                     static_cast<off_t>(bytes)) == 0;
}

void VmMemory::discard_all() noexcept {
  static_cast<void>(discard(VGPU_CHANNEL_OFFSET(0), memory_bytes_ - VGPU_CHANNEL_OFFSET(0)));
}

bool VmMemory::discard_channel(std::uint32_t channel) noexcept {
  return discard(VGPU_CHANNEL_OFFSET(channel), VGPU_CHANNEL_STRIDE);
}

std::optional<VmMemory::Request> VmMemory::take_request(std::uint32_t channel) {
  vgpu_mailbox& shared = mailbox(channel);
  Request request;
  request.number = load(shared.request);
  if (request.number == handled_[channel]) return std::nullopt;
  handled_[channel] = request.number;
  const std::uint32_t type = load(shared.type);
  if (type == VGPU_REQUEST_CLOSE) return request;
  if (type != VGPU_REQUEST_OPEN) return std::nullopt;
  request.open = true;
  request.uid = load(shared.uid);
  request.hello.version = load(shared.version);
  request.hello.vm = vm_;
  request.hello.features = load(shared.features);
  request.hello.pid = load(shared.pid);
  static_assert(sizeof shared.process <= sizeof request.hello.process);
  std::memcpy(request.hello.process.data(), shared.process, sizeof shared.process);
  request.hello.process[sizeof shared.process - 1] = '\0';
  return request;
}

void VmMemory::answer(std::uint32_t channel, std::uint32_t number) noexcept {
  store(mailbox(channel).answered, number);
  interrupt(channel);
}

void VmMemory::answer_open(std::uint32_t channel, std::uint32_t number, const protocol::Welcome& welcome) {
  if (number != handled_[channel]) return;
  vgpu_mailbox& shared = mailbox(channel);
  shared.result = welcome.result;
  shared.reason = welcome.reason;
  shared.session = welcome.session;
  shared.region_bytes = welcome.region_bytes;
  const std::size_t length = std::min(::strnlen(welcome.text.data(), welcome.text.size()), sizeof shared.text - 1);
  std::memcpy(shared.text, welcome.text.data(), length);
  std::memset(shared.text + length, 0, sizeof shared.text - length);
  answer(channel, number);
}

void VmMemory::answer_close(std::uint32_t channel, std::uint32_t number) {
  if (number == handled_[channel]) answer(channel, number);
}

void VmMemory::discard_granules(std::uint32_t channel) noexcept {
  const std::span<vgpu_granule> all = granules();
  for (std::size_t first = 0; first < all.size();) {
    std::size_t end = first;
    while (end < all.size() && load(all[end].owner) == channel + 1) ++end;
    // What the system refuses stays until the VM is reset; the guest's driver zeroes it before it is used again.
    if (end != first)
      static_cast<void>(discard(arena_offset() + first * VGPU_ARENA_GRANULE, (end - first) * VGPU_ARENA_GRANULE));
    first = end + 1;
  }
}

void VmMemory::release_granules(std::uint32_t channel) noexcept {
  for (vgpu_granule& granule : granules())
    if (load(granule.owner) == channel + 1) store(granule.held, std::uint16_t{0});
}

void VmMemory::interrupt(std::uint32_t channel) const noexcept {
  const std::uint64_t one = 1;
  // A full counter is an interrupt that is due already.
  while (::write(interrupt_fd(channel), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

}  // namespace vgpu::daemon
