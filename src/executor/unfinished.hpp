#pragma once
#include <atomic>
#include <optional>

#include "executor/contexts.hpp"

namespace vgpu::executor {

/// Which streams may have unfinished work, as far as that is simple: none, one, or more than that. What waits for all
/// work of a context need not take a worker thread if there is none, and can be parked behind a single stream. To say
/// more than there is costs a thread's wake-up; to say less would only make the reader thread wait.
/// Reader thread, but for synchronized().
class Unfinished {
 public:
  explicit Unfinished(const Contexts& contexts) noexcept : contexts_(contexts) {}

  /// Something was asked of this stream, of the context at this index.
  void touch(protocol::u32 context, CUstream stream) noexcept {
    ++serial_;
    if (streams_ == Streams::none) {
      streams_ = Streams::one;
      context_ = context;
      context_serial_ = contexts_.serial(context);
      stream_ = stream;
    } else if (context != context_) {
      streams_ = Streams::of_contexts;
    } else if (streams_ == Streams::one && stream != stream_) {
      streams_ = Streams::several;
    }
  }
  /// The stream is about to be destroyed.
  void forget(CUstream stream) noexcept {
    if (streams_ == Streams::one && stream == stream_) streams_ = Streams::several;
  }
  /// Grows with every touch().
  protocol::u64 serial() const noexcept { return serial_; }

  bool none() noexcept {
    if (streams_ == Streams::several && synchronized_.load(std::memory_order_acquire) == serial_)
      streams_ = Streams::none;
    return streams_ == Streams::none;
  }
  /// The only stream that may have work, if it is of this context and lives.
  std::optional<CUstream> only(protocol::u32 context) const noexcept {
    if (streams_ != Streams::one || context != context_ || context_serial_ != contexts_.serial(context))
      return std::nullopt;
    return stream_;
  }

  /// All work is done that the stream of the touch of this number had then.
  void finished(protocol::u64 serial) noexcept {
    if (streams_ == Streams::one && serial == serial_) streams_ = Streams::none;
  }
  /// All work of the context at this index is done that it had when serial() was this. Any thread.
  void synchronized(protocol::u32 context, protocol::u64 serial) noexcept {
    if (context == context_) synchronized_.store(serial, std::memory_order_release);
  }

 private:
  enum class Streams { none, one, several, of_contexts };

  const Contexts& contexts_;
  Streams streams_ = Streams::none;
  std::atomic<protocol::u32> context_{0};
  protocol::u32 context_serial_ = 0;
  CUstream stream_ = nullptr;
  protocol::u64 serial_ = 1;
  std::atomic<protocol::u64> synchronized_{0};
};

}  // namespace vgpu::executor
