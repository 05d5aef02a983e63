#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "protocol/catalogue.hpp"
#include "protocol/record.hpp"

/// The command ring: one producer (the guest process, its threads taking turns), one consumer (the executor). Positions
/// count bytes since the ring began and never wrap in practice; a position modulo VGPU_RING_BYTES is a place.
namespace vgpu::protocol {

inline std::atomic_ref<u64> shared(u64& word) noexcept { return std::atomic_ref<u64>(word); }
inline std::atomic_ref<u32> shared(u32& word) noexcept { return std::atomic_ref<u32>(word); }
inline std::atomic_ref<i32> shared(i32& word) noexcept { return std::atomic_ref<i32>(word); }

/// The guest's end. Not thread-safe: the caller holds its lock from reserve() to publish().
class RingWriter {
 public:
  RingWriter() = default;
  RingWriter(vgpu_control* control, std::byte* ring) noexcept : control_(control), ring_(ring) {}

  /// Room for a record of `bytes` (record_bytes(...), at most VGPU_RECORD_MAX_BYTES) in one piece, or null while the
  /// ring is too full. The room stays reserved until publish() or the next reserve().
  std::byte* reserve(u32 bytes) noexcept {
    const u64 place = head_ % VGPU_RING_BYTES;
    const u64 to_end = VGPU_RING_BYTES - place;
    const u64 padding = bytes <= to_end ? 0 : to_end;
    if (!fits(padding + bytes)) return nullptr;
    if (padding != 0) {
      write_header(place, vgpu_record{static_cast<u32>(padding), VGPU_CALL_PAD, 0, VGPU_NO_SLOT, 0, 0, 0, 0, 0},
                   nullptr, 0);
      head_ += padding;
    }
    return ring_ + head_ % VGPU_RING_BYTES;
  }

  /// Fills in position and check word of the reserved record, whose request and tail the caller has written, and makes
  /// it visible. Returns true if the executor sleeps and must be rung.
  bool publish(vgpu_record header, const void* request, u32 request_bytes) noexcept {
    write_header(head_ % VGPU_RING_BYTES, header, request, request_bytes);
    head_ += header.bytes;
    shared(control_->head).store(head_, std::memory_order_release);
    // The executor sets executor_sleeping, fences and looks at head; we set head, fence and look at executor_sleeping:
    // whatever the order, one of the two sees the other's store.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return shared(control_->executor_sleeping).load(std::memory_order_relaxed) != 0 &&
           shared(control_->executor_sleeping).exchange(0, std::memory_order_acq_rel) != 0;
  }

  u64 head() const noexcept { return head_; }

 private:
  bool fits(u64 bytes) noexcept {
    if (head_ + bytes - tail_ <= VGPU_RING_BYTES) return true;
    tail_ = shared(control_->tail).load(std::memory_order_acquire);
    return head_ + bytes - tail_ <= VGPU_RING_BYTES;
  }
  void write_header(u64 place, vgpu_record header, const void* request, u32 request_bytes) noexcept {
    header.sequence = static_cast<u32>(head_);
    header.check = check_word(header, request, request_bytes);
    std::memcpy(ring_ + place, &header, sizeof header);
  }

  vgpu_control* control_ = nullptr;
  std::byte* ring_ = nullptr;
  u64 head_ = 0;
  u64 tail_ = 0;  ///< the consumer's position when last looked at
};

/// The executor's end: never trusts what it reads. One thread.
class RingReader {
 public:
  enum class Status { empty, record, violation };

  /// One record, copied out and checked; `tail` still points into shared memory: it is data, and is read at most once.
  struct Record {
    vgpu_record header;
    u32 index;  ///< of the call, in kCalls
    alignas(8) std::byte request[kMaxRequestBytes];
    const std::byte* tail;
  };

  RingReader() = default;
  RingReader(vgpu_control* control, const std::byte* ring) noexcept : control_(control), ring_(ring) {}

  /// Looks for the next record. violation: reason() and detail() say why, and the session must end.
  /// The record's place is given back by consume(), after its tail has been used.
  Status next(Record& record) noexcept {
    for (;;) {
      if (head_ == tail_) {
        // Not for each record: the guest's next publish would have to fetch the line back.
        head_ = shared(control_->head).load(std::memory_order_acquire);
        if (head_ == tail_) return Status::empty;
        if (head_ - tail_ > VGPU_RING_BYTES || head_ % VGPU_RECORD_ALIGN != 0)
          return violation(VGPU_END_BAD_RING, "head");
      }
      const u64 used = head_ - tail_;
      const u64 place = tail_ % VGPU_RING_BYTES;
      vgpu_record header;
      std::memcpy(&header, ring_ + place, sizeof header);
      if (header.bytes < sizeof header || header.bytes % VGPU_RECORD_ALIGN != 0 ||
          header.bytes > VGPU_RECORD_MAX_BYTES || header.bytes > used || header.bytes > VGPU_RING_BYTES - place)
        return violation(VGPU_END_BAD_RECORD, "length");
      if (header.sequence != static_cast<u32>(tail_)) return violation(VGPU_END_BAD_RECORD, "sequence");
      if (header.call == VGPU_CALL_PAD) {
        if (header.check != check_word(header, nullptr, 0)) return violation(VGPU_END_BAD_CHECK, "padding");
        record.header = header;
        consume(record);
        continue;
      }
      const u16 index = index_of_number(header.call);
      if (index == kUnknownCall) return violation(VGPU_END_UNKNOWN_CALL, "call number");
      const CallInfo& info = kCalls[index];
      if (header.tail_bytes > VGPU_RECORD_MAX_BYTES ||
          record_bytes(info.request_bytes, header.tail_bytes) != header.bytes)
        return violation(VGPU_END_BAD_REQUEST, "request or tail length");
      if ((header.flags & ~VGPU_RECORD_FLAGS) != 0) return violation(VGPU_END_BAD_REQUEST, "flags");
      if (header.slot == VGPU_NO_SLOT ? info.mode != Mode::async : header.slot >= VGPU_SLOT_COUNT || header.ticket == 0)
        return violation(VGPU_END_BAD_REQUEST, "completion slot");
      std::memcpy(record.request, ring_ + place + sizeof header, info.request_bytes);
      if (header.check != check_word(header, record.request, info.request_bytes))
        return violation(VGPU_END_BAD_CHECK, "check word");
      record.header = header;
      record.index = index;
      record.tail = ring_ + place + sizeof header + info.request_bytes;
      return Status::record;
    }
  }

  void consume(const Record& record) noexcept {
    tail_ += record.header.bytes;
    shared(control_->tail).store(tail_, std::memory_order_release);
  }

  /// True if something was published that next() has not returned: the look after executor_sleeping was set and fenced.
  bool pending() const noexcept { return shared(control_->head).load(std::memory_order_acquire) != tail_; }

  /// How far the guest has published, as it says, and how far records were consumed.
  u64 published() const noexcept { return shared(control_->head).load(std::memory_order_relaxed); }
  u64 consumed() const noexcept { return tail_; }

  vgpu_end_reason reason() const noexcept { return reason_; }
  const char* detail() const noexcept { return detail_; }

 private:
  Status violation(vgpu_end_reason reason, const char* detail) noexcept {
    reason_ = reason;
    detail_ = detail;
    return Status::violation;
  }

  vgpu_control* control_ = nullptr;
  const std::byte* ring_ = nullptr;
  u64 head_ = 0;  ///< the producer's position when last looked at
  u64 tail_ = 0;
  vgpu_end_reason reason_ = VGPU_END_NONE;
  const char* detail_ = "";
};

}  // namespace vgpu::protocol
