#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/unique_fd.hpp"
#include "protocol/device.h"
#include "protocol/session.hpp"

namespace vgpu::daemon {

/// What a VM's QEMU gave: its memory and, for each channel, the doorbell that the guest rings and the interrupt that we
/// raise.
struct VmDescriptors {
  struct Channel {
    UniqueFd doorbell;
    UniqueFd interrupt;
  };
  UniqueFd memory;
  std::vector<Channel> channels;
};

/// The daemon's side of one VM's shared memory (device.h): device page, mailboxes, granule table. The guest writes all
/// of it at any time: what counts is kept here. Not thread-safe but for what says so: one vm_connection actor's.
class VmMemory {
 public:
  struct Request {
    std::uint32_t number = 0;
    bool open = false;      ///< else: close
    protocol::Hello hello;  ///< open: what the guest says of its process
    std::uint32_t uid = 0;  ///< open: of the process, in the guest
  };

  /// Checks and maps. Null: `error` says what is wrong: descriptors of the wrong kind, memory that could shrink under a
  /// mapping, or is smaller than `memory_bytes`.
  static std::shared_ptr<VmMemory> create(VmDescriptors descriptors, std::uint32_t vm, std::uint64_t memory_bytes,
                                          std::string& error);
  ~VmMemory();
  VmMemory(const VmMemory&) = delete;
  VmMemory& operator=(const VmMemory&) = delete;

  std::uint32_t vm() const noexcept { return vm_; }
  std::uint32_t channels() const noexcept { return static_cast<std::uint32_t>(descriptors_.channels.size()); }
  int fd() const noexcept { return descriptors_.memory.get(); }
  int doorbell_fd(std::uint32_t channel) const noexcept { return descriptors_.channels[channel].doorbell.get(); }
  int interrupt_fd(std::uint32_t channel) const noexcept { return descriptors_.channels[channel].interrupt.get(); }
  std::uint64_t arena_offset() const noexcept { return VGPU_CHANNEL_OFFSET(channels()); }
  std::uint64_t arena_bytes() const noexcept { return arena_bytes_; }
  /// Of a session: channel and the whole arena behind it.
  std::uint64_t region_bytes() const noexcept { return VGPU_ARENA_OFFSET + arena_bytes_; }

  /// Begins anew, with no session: forgets what was asked for, lets go of every granule, changes the epoch, says READY
  /// and interrupts every channel.
  void adopt();
  /// True if the guest's driver asked to be forgotten since the last adopt().
  bool reset_wanted() const noexcept;
  /// Gives the memory of all channels and of the arena back to the system; it reads as zeros then. Only after a reset:
  /// no guest process may have it mapped.
  void discard_all() noexcept;

  /// The channel's newest request, if it is new; each comes once. Requests of no known type are passed over.
  std::optional<Request> take_request(std::uint32_t channel);
  /// Answers an open request. Nothing if it is void by now.
  void answer_open(std::uint32_t channel, std::uint32_t number, const protocol::Welcome& welcome);
  /// Answers a close request, after nobody uses channel and extents any more.
  void answer_close(std::uint32_t channel, std::uint32_t number);

  /// Zeros the channel's area and gives its memory back. False: the system refused, so the channel can't be used.
  bool discard_channel(std::uint32_t channel) noexcept;
  /// Gives back the memory of the channel's granules, which nobody in the guest has mapped any more.
  void discard_granules(std::uint32_t channel) noexcept;
  /// Marks the channel's granules as held by nobody: its executor is gone.
  void release_granules(std::uint32_t channel) noexcept;
  /// Any thread.
  void interrupt(std::uint32_t channel) const noexcept;

 private:
  VmMemory() = default;
  vgpu_device_page& page() const noexcept;
  vgpu_mailbox& mailbox(std::uint32_t channel) const noexcept;
  std::span<vgpu_granule> granules() const noexcept;
  bool discard(std::uint64_t offset, std::uint64_t bytes) noexcept;
  void answer(std::uint32_t channel, std::uint32_t number) noexcept;

  VmDescriptors descriptors_;
  std::uint32_t vm_ = 0;
  std::uint64_t memory_bytes_ = 0;
  std::uint64_t arena_bytes_ = 0;
  std::byte* area_ = nullptr;  ///< the device area
  std::uint32_t epoch_ = 0;
  std::uint32_t reset_ = 0;             ///< the guest_reset that was carried out
  std::vector<std::uint32_t> handled_;  ///< for each channel, the number of the last request taken
};

}  // namespace vgpu::daemon
