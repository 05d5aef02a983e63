#pragma once
#include <cuda.h>

#include <array>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "common/cuda_errors.hpp"
#include "protocol/catalogue.hpp"
#include "protocol/payload.hpp"
#include "protocol/ring.hpp"
#include "shim/capture_gate.hpp"
#include "shim/carrier.hpp"
#include "shim/futex.hpp"

/// One open channel of this process: its mapped region, the ring's writing end, completion slots.
namespace vgpu::shim {

using protocol::i32;
using protocol::Offset;
using protocol::Pointer;
using protocol::u16;
using protocol::u32;
using protocol::u64;
namespace call = protocol::call;

/// Slots 0 to kThreadSlots - 1 answer calls of threads; slot kThreadSlots + n answers for staging chunk n.
inline constexpr u32 kThreadSlots = VGPU_SLOT_COUNT - VGPU_STAGING_CHUNKS;
/// Threads keep the slot that they took first; beyond so many threads, each call borrows one.
inline constexpr u32 kOwnedSlots = kThreadSlots - 96;

/// Calls that let go of something: they are sent even when an earlier record's error is due, which they then return.
/// And calls of the shim's own bookkeeping, which are nobody's to return errors from.
template <typename Call>
inline constexpr bool kReleases =
    std::is_same_v<Call, call::cuMemFree> || std::is_same_v<Call, call::cuMemFreeAsync> ||
    std::is_same_v<Call, call::cuMemFreeHost> || std::is_same_v<Call, call::cuStreamDestroy> ||
    std::is_same_v<Call, call::cuEventDestroy> || std::is_same_v<Call, call::cuModuleUnload> ||
    std::is_same_v<Call, call::cuLibraryUnload> || std::is_same_v<Call, call::cuLinkDestroy> ||
    std::is_same_v<Call, call::cuArrayDestroy> || std::is_same_v<Call, call::cuMipmappedArrayDestroy> ||
    std::is_same_v<Call, call::cuTexObjectDestroy> || std::is_same_v<Call, call::cuSurfObjectDestroy> ||
    std::is_same_v<Call, call::vgpuKernelText> || std::is_same_v<Call, call::cuCtxDestroy> ||
    std::is_same_v<Call, call::cuDevicePrimaryCtxRelease> || std::is_same_v<Call, call::cuDevicePrimaryCtxReset> ||
    std::is_same_v<Call, call::vgpuServeHostFunctions> || std::is_same_v<Call, call::vgpuMapExtent> ||
    std::is_same_v<Call, call::cuGraphDestroy> || std::is_same_v<Call, call::cuGraphExecDestroy> ||
    std::is_same_v<Call, call::cuUserObjectRelease> || std::is_same_v<Call, call::cuGreenCtxDestroy> ||
    std::is_same_v<Call, call::cuStreamEndCapture> || std::is_same_v<Call, call::vgpuUnmapExtent>;

/// Calls that wait for earlier work: an error of that work is theirs, too. Calls that make or answer something are not
/// among them, because an error would hide what they made.
template <typename Call>
inline constexpr bool kReportsEarlierErrors =
    std::is_same_v<Call, call::cuCtxSynchronize> || std::is_same_v<Call, call::cuStreamSynchronize> ||
    std::is_same_v<Call, call::cuEventSynchronize> || std::is_same_v<Call, call::cuStreamQuery> ||
    std::is_same_v<Call, call::cuEventQuery> || std::is_same_v<Call, call::cuMemcpyHtoD> ||
    std::is_same_v<Call, call::cuMemcpyDtoH> || std::is_same_v<Call, call::cuMemcpyDtoD> ||
    std::is_same_v<Call, call::cuMemcpy3D> || std::is_same_v<Call, call::cuMemcpyPeer>;

/// Calls that end kernels' modules or contexts: the driver hands out what they printed.
template <typename Call>
inline constexpr bool kEndsKernels =
    std::is_same_v<Call, call::cuCtxDestroy> || std::is_same_v<Call, call::cuDevicePrimaryCtxRelease> ||
    std::is_same_v<Call, call::cuDevicePrimaryCtxReset> || std::is_same_v<Call, call::cuModuleUnload> ||
    std::is_same_v<Call, call::cuLibraryUnload>;

class Channel {
 public:
  /// Maps and checks the carrier's region. Null with `result` and `reason` set if that is impossible.
  static std::unique_ptr<Channel> open(std::unique_ptr<Carrier> carrier, CUresult& result, std::string& reason);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// Sends a call that has no answer. `tail(std::byte*)` writes `tail_bytes` bytes into the ring.
  template <typename Call, typename Tail>
  CUresult post(u32 context, const typename Call::Request& request, u32 tail_bytes, Tail&& tail,
                u16 flags = 0) noexcept;
  template <typename Call>
  CUresult post(u32 context, const typename Call::Request& request, std::span<const std::byte> tail = {}) noexcept;

  /// Sends a call that has no answer, beside the program's own: neither takes an earlier error nor reports one.
  template <typename Call>
  void notify(u32 context, const typename Call::Request& request, std::span<const std::byte> tail = {}) noexcept {
    if (has_ended()) return;
    static_cast<void>(submit<Call>(
        VGPU_NO_SLOT, 0, context, request, static_cast<u32>(tail.size()),
        [&](std::byte* to) {
          if (!tail.empty()) std::memcpy(to, tail.data(), tail.size());
        },
        0));
  }

  /// Sends a call and waits for its answer. `slot`: this thread's (ThreadSlot).
  template <typename Call>
  CUresult ask(u32 slot, u32 context, const typename Call::Request& request, typename Call::Reply* reply,
               std::span<const std::byte> tail = {}) noexcept;

  /// Sends a call that is answered in `slot`, without waiting; `ticket` is what await() takes.
  template <typename Call, typename Tail>
  CUresult begin(u32 slot, u32& ticket, u32 context, const typename Call::Request& request, u32 tail_bytes, Tail&& tail,
                 u16 flags = 0) noexcept;
  /// The ticket of the slot's next answer, of a new call or of one that is answered again and again. The slot's owner.
  u32 expect_another(u32 slot) noexcept { return tickets_[slot] = protocol::next_ticket(tickets_[slot]); }
  /// True when the answer lies in the slot.
  bool answered(u32 slot, u32 ticket) noexcept;
  /// Waits for the answer, or the session's end. Copies up to `reply_bytes` of the reply, zeros beyond what came.
  CUresult await(u32 slot, u32 ticket, void* reply = nullptr, u32 reply_bytes = 0) noexcept;

  /// CUDA_SUCCESS, or a sticky error, or how the session ended (said on stderr once).
  CUresult health() noexcept;
  /// Takes the error of an earlier record that nobody has heard of yet.
  CUresult take_error() noexcept;
  /// Remembers a sticky error, so that calls which get no answer of their own return it too. Returns what it was given.
  CUresult heed(CUresult result) noexcept {
    if (result != CUDA_SUCCESS && cuda_error_is_sticky(result)) sticky_.store(result, std::memory_order_relaxed);
    return result;
  }
  /// No message about the session's end comes any more: the process itself is ending.
  void be_quiet() noexcept { said_ = true; }
  /// Adds an error to be taken, unless one is due already.
  void leave_error(CUresult result) noexcept;

  /// The completion slots of threads.
  NumberPool& owned_slots() noexcept { return owned_slots_; }
  NumberPool& borrowed_slots() noexcept { return borrowed_slots_; }

  vgpu_control& control() noexcept { return *control_; }
  std::byte* staging(u32 chunk) noexcept { return staging_ + u64{chunk} * VGPU_STAGING_CHUNK_BYTES; }
  std::byte* arena() noexcept { return arena_; }
  u64 arena_bytes() const noexcept { return arena_bytes_; }
  /// True if the arena lies where the executor has it, so that pinned memory has one address on both sides.
  bool arena_in_place() const noexcept { return arena_in_place_; }
  Carrier& carrier() noexcept { return *carrier_; }

  /// Nothing is waited for any more: threads in a call return within a second.
  void give_up() noexcept { dead_ = true; }
  /// True once no record is read any more.
  bool has_ended() noexcept;
  /// Looks whether the host is gone, and remembers it. A system call.
  bool look_for_death() noexcept;

 private:
  Channel() = default;
  std::string map();
  void map_arena();
  std::byte* wait_for_room(u32 bytes) noexcept;
  CUresult ended() noexcept;
  template <typename Call, typename Tail>
  CUresult submit(u32 slot, u32 ticket, u32 context, const typename Call::Request& request, u32 tail_bytes, Tail&& tail,
                  u16 flags) noexcept;
  vgpu_slot& slot_at(u32 slot) noexcept { return slots_[slot]; }

  std::unique_ptr<Carrier> carrier_;
  vgpu_control* control_ = nullptr;
  vgpu_slot* slots_ = nullptr;
  std::byte* staging_ = nullptr;
  std::byte* arena_ = nullptr;
  u64 arena_bytes_ = 0;
  bool arena_in_place_ = false;
  u64 spin_ns_ = 0;
  u32 session_ = 0;  ///< the host's number for it

  alignas(64) AdaptiveMutex ring_lock_;
  protocol::RingWriter writer_;

  alignas(64) std::atomic<u32> late_error_{0};  ///< found by this process, not by the executor
  std::atomic<CUresult> sticky_{CUDA_SUCCESS};
  std::atomic<bool> dead_{false};
  std::atomic<bool> said_{false};
  std::array<u32, VGPU_SLOT_COUNT> tickets_{};  ///< last ticket of each slot; its owner's alone
  NumberPool owned_slots_;
  NumberPool borrowed_slots_;
};

template <typename Call, typename Tail>
CUresult Channel::submit(u32 slot, u32 ticket, u32 context, const typename Call::Request& request, u32 tail_bytes,
                         Tail&& tail, u16 flags) noexcept {
  constexpr u32 request_bytes = protocol::wire_bytes<typename Call::Request>();
  const u32 bytes = protocol::record_bytes(request_bytes, tail_bytes);
  if (bytes > VGPU_RECORD_MAX_BYTES) return CUDA_ERROR_INVALID_VALUE;
  const vgpu_record header{bytes, Call::number, flags, slot, ticket, context, tail_bytes, 0, 0};
  bool ring;
  {
    std::lock_guard lock(ring_lock_);
    std::byte* room = writer_.reserve(bytes);
    if (!room) {
      room = wait_for_room(bytes);
      if (!room) return ended();
    }
    std::memcpy(room + sizeof header, &request, request_bytes);
    tail(room + sizeof header + request_bytes);
    ring = writer_.publish(header, &request, request_bytes);
  }
  if (ring) carrier_->ring_doorbell();
  return CUDA_SUCCESS;
}

template <typename Call, typename Tail>
CUresult Channel::post(u32 context, const typename Call::Request& request, u32 tail_bytes, Tail&& tail,
                       u16 flags) noexcept {
  static_assert(Call::mode == protocol::Mode::async);
  if (const CUresult result = health(); result != CUDA_SUCCESS) return result;
  if (const CUresult result = capture_gate<Call>(context, request); result != CUDA_SUCCESS) return result;
  if constexpr (kReleases<Call>) {
    const CUresult result = submit<Call>(VGPU_NO_SLOT, 0, context, request, tail_bytes, tail, flags);
    return result != CUDA_SUCCESS ? result : take_error();
  } else {
    if (const CUresult result = take_error(); result != CUDA_SUCCESS) return result;
    return submit<Call>(VGPU_NO_SLOT, 0, context, request, tail_bytes, tail, flags);
  }
}

template <typename Call>
CUresult Channel::post(u32 context, const typename Call::Request& request, std::span<const std::byte> tail) noexcept {
  return post<Call>(context, request, static_cast<u32>(tail.size()), [&](std::byte* to) {
    if (!tail.empty()) std::memcpy(to, tail.data(), tail.size());
  });
}

template <typename Call, typename Tail>
CUresult Channel::begin(u32 slot, u32& ticket, u32 context, const typename Call::Request& request, u32 tail_bytes,
                        Tail&& tail, u16 flags) noexcept {
  if (const CUresult result = health(); result != CUDA_SUCCESS) return result;
  if (const CUresult result = capture_gate<Call>(context, request); result != CUDA_SUCCESS) return result;
  if constexpr (!kReleases<Call>)
    if (const CUresult result = take_error(); result != CUDA_SUCCESS) return result;
  ticket = expect_another(slot);
  return submit<Call>(slot, ticket, context, request, tail_bytes, tail, flags);
}

template <typename Call>
CUresult Channel::ask(u32 slot, u32 context, const typename Call::Request& request, typename Call::Reply* reply,
                      std::span<const std::byte> tail) noexcept {
  u32 ticket = 0;
  CUresult result = begin<Call>(slot, ticket, context, request, static_cast<u32>(tail.size()), [&](std::byte* to) {
    if (!tail.empty()) std::memcpy(to, tail.data(), tail.size());
  });
  if (result != CUDA_SUCCESS) return result;
  if constexpr (std::is_empty_v<typename Call::Reply>) {
    static_cast<void>(reply);
    result = await(slot, ticket);
  } else {
    result = await(slot, ticket, reply, sizeof *reply);
  }
  if constexpr (kReleases<Call> || kReportsEarlierErrors<Call>)
    if (result == CUDA_SUCCESS) return take_error();
  return result;
}

}  // namespace vgpu::shim
