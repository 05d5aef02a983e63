#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "executor/backlog.hpp"
#include "executor/captures.hpp"
#include "executor/completion.hpp"
#include "executor/contexts.hpp"
#include "executor/device_memory.hpp"
#include "executor/device_resources.hpp"
#include "executor/driver.hpp"
#include "executor/graphs.hpp"
#include "executor/handle_table.hpp"
#include "executor/host_functions.hpp"
#include "executor/image_store.hpp"
#include "executor/jit_link.hpp"
#include "executor/kernel_text.hpp"
#include "executor/link.hpp"
#include "executor/owned_arrays.hpp"
#include "executor/parking.hpp"
#include "executor/region.hpp"
#include "executor/signal.hpp"
#include "executor/stats.hpp"
#include "executor/unfinished.hpp"
#include "executor/user_references.hpp"
#include "executor/workers.hpp"

namespace spdlog {
class logger;
}

namespace vgpu::executor {

/// What the daemon said about the session, and what surrounds it. References outlive the session.
struct SessionConfig {
  protocol::u32 session = 0;
  protocol::u32 vm = 0;
  std::string pool;
  protocol::u32 watch = 0;    ///< bits of CallWatch
  int kernel_text = -1;       ///< of KernelText
  protocol::i32 device = -1;  ///< the only device that the guest sees; -1: all
  int images_folder = -1;     ///< of ImageStore; -1: none
  protocol::u64 images_bytes = 0;
  AccountPlace account;              ///< of the VM
  protocol::u64 context_memory = 0;  ///< what a context takes of the device
};

/// All that the calls of one guest process share: the parts, and how the session ends.
class Session {
 public:
  Session(const SessionConfig& config, const Driver& driver, Region& shared_region, protocol::SessionStats& counters,
          Link& daemon, Waker& waker);
  ~Session();

  const SessionConfig config;
  const Driver& cuda;
  Region& region;
  protocol::SessionStats& stats;
  Link& link;
  std::shared_ptr<spdlog::logger> log;
  std::atomic<protocol::u32> watch;  ///< bits of CallWatch; any thread

  Account account;
  DeviceMemory memory;
  Signal signal;  ///< wakes the reader thread
  Completions completions;
  Contexts contexts;
  Handles handles{account};
  Graphs graphs{handles};
  Captures captures;
  JitLinks links;
  OwnedArrays owned_arrays;
  UserReferences user_references;
  DeviceResources device_resources;
  ObjectNumbers textures;
  ObjectNumbers surfaces;
  std::mutex current_pools_mutex;
  std::map<CUdevice, protocol::PoolHandle> current_pools;  ///< that cuDeviceSetMemPool has set
  std::vector<std::shared_ptr<void>> kept_host_calls;  ///< of executable graphs (graph_host_call.hpp); reader thread
  KernelText kernel_text;
  HostFunctions host_functions;
  ImageStore images;
  std::mutex library_images_mutex;
  std::map<CUlibrary, std::shared_ptr<const StoredImage>> library_images;  ///< that the driver reads on
  std::mutex extents_mutex;
  std::map<protocol::u64, protocol::u64> extents;  ///< of the arena, registered with the driver: offset and bytes
  Parking parking;                                 ///< reader thread only, but for its events
  Unfinished unfinished{contexts};
  Backlog backlog;
  std::atomic<unsigned> blocking_calls{0};   ///< on workers, or waiting for one
  std::atomic<bool> waits_on_memory{false};  ///< there was an operation that waits for a value in memory
  Workers workers;                           ///< its jobs use all of the above

  /// Ends the session: the guest sees reason and CUDA_ERROR_UNKNOWN at each later call, its sleeping threads wake, the
  /// daemon hears of it. Only the first end counts. Any thread.
  void end(vgpu_end_reason reason, std::string_view text);
  bool ended() const noexcept { return ended_.load(std::memory_order_acquire); }

  /// Remembers the failure of a call that nobody waits for. Any thread.
  void async_failure(CUresult result) noexcept;
  /// Tells the daemon of the first error that the contexts will not recover from. Any thread.
  void note_fault(CUresult result, std::string_view call);
  /// True if streams may wait for what the guest does: for a function that it runs, for a value that it writes.
  bool waits_for_guest() const noexcept {
    return host_functions.busy() || waits_on_memory.load(std::memory_order_relaxed);
  }
  /// Waits for all work of the current context, whose index this is; beside a capture, which the driver's own
  /// cuCtxSynchronize would break, for that of the streams outside of it. Any thread.
  CUresult synchronize(protocol::u32 context);
  /// Counts a function that is not carried, and logs it once. Any thread.
  void count_unsupported(std::string_view name);

  /// The driver's device for the guest's ordinal. False: there is none.
  bool device(protocol::i32 ordinal, CUdevice& native) const noexcept;
  /// How many devices the guest sees.
  int device_count() const noexcept;

  /// Registers the staging area with the driver if no living context has it, so that copies are direct. A context is
  /// current. Any thread.
  void register_staging(protocol::u32 context_index) noexcept;

 private:
  CUresult synchronize_streams();

  std::atomic<bool> ending_{false};  ///< somebody is about it
  std::atomic<bool> ended_{false};
  std::atomic<bool> faulted_{false};
  std::mutex unsupported_mutex_;
  std::vector<bool> named_unsupported_;
  bool named_unknown_ = false;
  std::mutex staging_mutex_;
  protocol::u32 staging_context_ = 0;
  protocol::u32 staging_serial_ = 0;
};

}  // namespace vgpu::executor
