#pragma once
#include <atomic>
#include <mutex>

#include "shim/channel.hpp"

/// The staging area: chunks of 1 MiB through which pageable memory, images and long answers pass.
namespace vgpu::shim {

class Staging {
 public:
  static constexpr u32 kNone = NumberPool::kNone;
  static constexpr u64 kChunkBytes = VGPU_STAGING_CHUNK_BYTES;

  explicit Staging(Channel& channel) noexcept : channel_(channel) { free_.fill(0, VGPU_STAGING_CHUNKS); }

  /// A chunk, waiting for one; kNone if the session ended. A thread that has one already must use try_take(), or
  /// threads could wait for each other's.
  u32 take() noexcept;
  /// A chunk, or kNone.
  u32 try_take() noexcept;
  void give(u32 chunk) noexcept { free_.give(chunk); }
  /// The chunk goes back when its slot is answered; an error in that answer is left for the next call.
  void give_when_answered(u32 chunk, u32 ticket) noexcept;
  /// Takes back what has been answered.
  void reclaim() noexcept;

  std::byte* memory(u32 chunk) noexcept { return channel_.staging(chunk); }
  static Offset offset(u32 chunk) noexcept { return Offset{VGPU_STAGING_OFFSET + u64{chunk} * kChunkBytes}; }
  /// The completion slot that belongs to a chunk.
  static u32 slot(u32 chunk) noexcept { return kThreadSlots + chunk; }

 private:
  u32 wait_for_answered() noexcept;
  void collect(u32 chunk) noexcept;

  Channel& channel_;
  NumberPool free_;
  std::mutex mutex_;
  std::atomic<u32> in_flight_{0};  ///< bit n: chunk n; changed under the mutex
  u32 tickets_[VGPU_STAGING_CHUNKS] = {};
  static_assert(VGPU_STAGING_CHUNKS == 32, "one bit for each chunk");
};

/// One chunk, given back at the end of the scope unless let go of.
class StagingChunk {
 public:
  StagingChunk(Staging& staging, u32 chunk) noexcept : staging_(staging), chunk_(chunk) {}
  ~StagingChunk() {
    if (taken()) staging_.give(chunk_);
  }
  StagingChunk(const StagingChunk&) = delete;
  StagingChunk& operator=(const StagingChunk&) = delete;
  bool taken() const noexcept { return chunk_ != Staging::kNone; }
  u32 index() const noexcept { return chunk_; }
  std::byte* memory() const noexcept { return staging_.memory(chunk_); }
  Offset offset() const noexcept { return Staging::offset(chunk_); }

 private:
  Staging& staging_;
  u32 chunk_;
};

}  // namespace vgpu::shim
