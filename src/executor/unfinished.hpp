#pragma once
#include <array>
#include <atomic>
#include <optional>

#include "executor/contexts.hpp"

namespace vgpu::executor {

/// Which streams may have unfinished work, as far as that is simple: of each context none, one, or more than that. What
/// waits for all work need not take a worker thread if there is none, and can be parked behind a single stream. Reader
/// thread, but for synchronized().
class Unfinished {
 public:
  explicit Unfinished(const Contexts& contexts) noexcept : contexts_(contexts) {}

  /// Something was asked of this stream, of the context at this index (Contexts::kMaxIndex at most).
  void touch(protocol::u32 context, CUstream stream) noexcept {
    ++serial_;
    Entry& entry = entries_[context];
    if (entry.last != 0 && (entry.several || entry.stream != stream || entry.life != contexts_.serial(context))) {
      entry.several = true;
    } else if (entry.last == 0) {
      entry.stream = stream;
      entry.life = contexts_.serial(context);
      ++busy_;
    }
    entry.last = serial_;
  }
  /// The stream is about to be destroyed.
  void forget(CUstream stream) noexcept {
    for (Entry& entry : entries_)
      if (entry.last != 0 && entry.stream == stream) entry.several = true;
  }
  /// Grows with every touch().
  protocol::u64 serial() const noexcept { return serial_; }

  bool none() noexcept {
    for (Entry& entry : entries_) {
      if (busy_ == 0) return true;
      if (entry.last != 0 && entry.synchronized.load(std::memory_order_acquire) >= entry.last) clear(entry);
    }
    return busy_ == 0;
  }
  /// The only stream of the context that may have work, if there is one and it lives.
  std::optional<CUstream> only(protocol::u32 context) const noexcept {
    const Entry& entry = entries_[context];
    if (entry.last == 0 || entry.several || entry.life != contexts_.serial(context)) return std::nullopt;
    return entry.stream;
  }

  /// The work is done that the context's stream had when serial() was this.
  void finished(protocol::u32 context, protocol::u64 serial) noexcept {
    if (Entry& entry = entries_[context]; entry.last != 0 && !entry.several && entry.last <= serial) clear(entry);
  }
  /// All work of the context is done that it had when serial() was this. Any thread.
  void synchronized(protocol::u32 context, protocol::u64 serial) noexcept {
    entries_[context].synchronized.store(serial, std::memory_order_release);
  }

 private:
  struct Entry {
    CUstream stream = nullptr;
    protocol::u32 life = 0;  ///< the context's serial()
    bool several = false;    ///< streams, or nobody knows which
    protocol::u64 last = 0;  ///< touch(); 0: nothing is unfinished
    std::atomic<protocol::u64> synchronized{0};
  };
  void clear(Entry& entry) noexcept {
    entry.last = 0;
    entry.several = false;
    --busy_;
  }

  const Contexts& contexts_;
  std::array<Entry, Contexts::kMaxIndex + 1> entries_;
  unsigned busy_ = 0;  ///< entries with something unfinished
  protocol::u64 serial_ = 0;
};

}  // namespace vgpu::executor
