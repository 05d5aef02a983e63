#pragma once
#include <cuda.h>

#include <utility>
#include <vector>

#include "protocol/types.hpp"

/// What belongs to one thread of the program.
namespace vgpu::shim {

struct Thread {
  protocol::u64 epoch = 0;                 ///< of the session that the rest belongs to
  protocol::u32 slot = ~protocol::u32{0};  ///< its completion slot, if it owns one
  std::vector<protocol::u64> contexts;     ///< the stack of current contexts; 0: a place without one
  /// (context, stream): its own default stream in each context where it used one.
  std::vector<std::pair<protocol::u64, protocol::u64>> default_streams;
  CUstreamCaptureMode capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

  protocol::u64 current() const noexcept { return contexts.empty() ? 0 : contexts.back(); }
};

/// The calling thread's, for the session that is open. It ends with the thread: its slot goes back, its default streams
/// are destroyed.
Thread& this_thread();

/// In the child of a fork: what the parent's threads had is not ours.
void forget_threads() noexcept;

/// A completion slot for one call: the thread's own, or a borrowed one.
class ThreadSlot {
 public:
  ThreadSlot() noexcept;
  ~ThreadSlot();
  ThreadSlot(const ThreadSlot&) = delete;
  ThreadSlot& operator=(const ThreadSlot&) = delete;
  /// False when the session ended while it waited for one.
  bool taken() const noexcept { return index_ != ~protocol::u32{0}; }
  protocol::u32 index() const noexcept { return index_; }

 private:
  protocol::u32 index_;
  bool borrowed_ = false;
};

}  // namespace vgpu::shim
