#pragma once
#include <array>
#include <atomic>
#include <mutex>
#include <vector>

#include "executor/driver.hpp"
#include "protocol/types.hpp"

namespace vgpu::executor {

/// The session's contexts by index. A record names a context by its index alone.
class Contexts {
 public:
  static constexpr protocol::u32 kMaxIndex = protocol::handle_limit(protocol::Kind::context);

  /// False: malformed, over the limit, or another context lies there, which nobody could name or end any more. Any
  /// thread.
  bool put(protocol::ContextHandle handle, CUcontext native) noexcept { return put(handle, native, kNotPrimary, {0}); }
  /// The device's primary context, which may lie there already. Any thread.
  bool put_primary(protocol::ContextHandle handle, CUcontext native, CUdevice device) noexcept {
    return put(handle, native, device, {0});
  }
  /// The context that a green one is converted to: it ends with that. Any thread.
  bool put_converted(protocol::ContextHandle handle, CUcontext native, protocol::GreenContextHandle green) noexcept {
    return put(handle, native, kNotPrimary, green);
  }
  bool accepts(protocol::ContextHandle handle) const noexcept {
    return handle.well_formed() && handle.index() <= kMaxIndex;
  }
  /// True if put() would take it: asked before the driver makes a context.
  bool vacant(protocol::ContextHandle handle) const noexcept {
    return accepts(handle) && find(handle.index()) == nullptr;
  }
  /// Takes a context out that is neither a primary nor a converted one; null if there is none. Any thread.
  CUcontext take(protocol::ContextHandle handle) noexcept { return take(handle, {0}); }
  /// Takes out what `green` was converted to; null if that is not it. Any thread.
  CUcontext take_converted(protocol::ContextHandle handle, protocol::GreenContextHandle green) noexcept {
    return take(handle, green);
  }
  /// Null if there is none. Any thread.
  CUcontext find(protocol::u32 index) const noexcept {
    return index <= kMaxIndex ? entries_[index].native.load(std::memory_order_acquire) : nullptr;
  }

  /// The guest's handle for a context, or value 0. Any thread.
  protocol::ContextHandle handle_of(CUcontext native) const noexcept;

  /// The objects of the device's primary context are gone, though its handle may come back. Any thread.
  void primary_emptied(CUdevice device) noexcept;
  /// Calls f(index) for each index at which the device's primary context lies. Any thread.
  template <typename F>
  void for_each_primary(CUdevice device, F&& f) const {
    for (protocol::u32 i = 1; i <= kMaxIndex; ++i)
      if (entries_[i].primary_of.load(std::memory_order_relaxed) == device) f(i);
  }

  /// Changes whenever the objects that lived in the context (events, streams) have died with it.
  protocol::u32 serial(protocol::u32 index) const noexcept {
    return index <= kMaxIndex ? entries_[index].serial.load(std::memory_order_acquire) : 0;
  }
  /// Changes whenever any index may mean another context.
  protocol::u64 epoch() const noexcept { return epoch_.load(std::memory_order_acquire); }

  /// Notes that work may have been submitted to the context. Reader thread.
  void mark_dirty(protocol::u32 index) noexcept {
    if (index <= kMaxIndex && !entries_[index].dirty.load(std::memory_order_relaxed))
      entries_[index].dirty.store(true, std::memory_order_relaxed);
  }
  /// Indices marked since the last call. Reader thread.
  std::vector<protocol::u32> take_dirty();

 private:
  static constexpr CUdevice kNotPrimary = -1;
  bool put(protocol::ContextHandle handle, CUcontext native, CUdevice primary_of,
           protocol::GreenContextHandle green) noexcept;
  CUcontext take(protocol::ContextHandle handle, protocol::GreenContextHandle green) noexcept;

  struct Entry {
    std::atomic<CUcontext> native{nullptr};
    std::atomic<CUdevice> primary_of{kNotPrimary};
    std::atomic<protocol::u32> serial{0};
    std::atomic<protocol::u16> generation{0};
    std::atomic<bool> dirty{false};
    protocol::u64 green = 0;  ///< that it was converted from; under mutex_
  };
  std::mutex mutex_;  ///< of put() and take()
  std::array<Entry, kMaxIndex + 1> entries_;
  std::atomic<protocol::u64> epoch_{1};
};

/// What one thread has made current, so that the driver is asked only when it changes. One thread.
class CurrentContext {
 public:
  CurrentContext(const Driver& cuda, const Contexts& contexts) noexcept : cuda_(cuda), contexts_(contexts) {}

  /// Makes the context of this index current; none if there is none such.
  CUresult set(protocol::u32 index) noexcept;
  /// The driver's current context was changed by other means.
  void forget() noexcept { epoch_ = 0; }

 private:
  const Driver& cuda_;
  const Contexts& contexts_;
  protocol::u32 index_ = 0;
  protocol::u64 epoch_ = 0;
};

}  // namespace vgpu::executor
