#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "softgpu/driver_api.hpp"
#include "softgpu/stream.hpp"

namespace vgpu::softgpu {

class Device;
class KernelHeap;
namespace ptx {
class DeviceHeap;
}

/// A CUDA context: its streams, limits and flags. A device's primary context is one object for the whole process,
/// active or not; what belonged to it is gone when it is released or reset. Thread-safe.
class Context : public std::enable_shared_from_this<Context> {
 public:
  /// What create_context makes; `handle` is set by whoever puts the object in the table.
  Context(Device& device, bool primary, unsigned flags);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Device& device() const noexcept { return device_; }

  CUcontext handle = nullptr;
  const bool primary;
  const std::uint64_t id;
  std::atomic<unsigned> flags;
  std::atomic<CUfunc_cache> cache_config{CU_FUNC_CACHE_PREFER_NONE};

  bool active() const noexcept { return active_.load(std::memory_order_acquire); }
  /// Makes the legacy stream. For the primary context, once for each time that it becomes active.
  void activate();
  /// Waits for the work, then destroys all that belongs to the context: streams, events, modules, memory.
  void deactivate();

  /// The ordering lock of Stream; it also guards the list of blocking streams.
  std::shared_mutex& order() noexcept { return order_; }
  Stream& legacy_stream() const noexcept { return *legacy_; }
  const std::vector<std::shared_ptr<Stream>>& blocking_streams() const noexcept { return blocking_; }

  std::shared_ptr<Stream> legacy();
  std::shared_ptr<Stream> per_thread();
  std::shared_ptr<Stream> create_stream(StreamKind kind, int priority);
  /// Closes a stream: its pending work still runs; its thread is joined now if it is done, later if not.
  void retire(const std::shared_ptr<Stream>& stream);

  /// Joins the threads of retired streams whose work is done.
  void join_ended();

  /// Where the stream's pending work ends; for the legacy stream that of the blocking streams too, as CUDA defines it.
  std::vector<Point> pending(Stream& stream);
  /// Where all pending work of the context ends.
  std::vector<Point> pending();
  void synchronize();

  /// Opens the memory of another device's context to this one's kernels, or closes it again.
  CUresult enable_peer(const std::shared_ptr<Context>& peer);
  CUresult disable_peer(const std::shared_ptr<Context>& peer);
  void forget_peers();

  /// What malloc in kernels takes memory from, made when it is first asked for; null if the device has no room for it.
  ptx::DeviceHeap* kernel_heap();

  CUresult get_limit(CUlimit limit, std::size_t& value) const;
  CUresult set_limit(CUlimit limit, std::size_t value);

 private:
  Device& device_;
  std::atomic<bool> active_{false};
  std::atomic<std::uint64_t> epoch_{0};  // counts activations: a thread's default stream belongs to one of them
  std::shared_mutex order_;
  std::shared_ptr<Stream> legacy_;
  std::vector<std::shared_ptr<Stream>> blocking_;
  std::mutex lists_mutex_;
  std::vector<std::shared_ptr<Stream>> non_blocking_;
  std::vector<std::shared_ptr<Stream>> retired_;
  std::vector<std::shared_ptr<Context>> peers_;  // whose memory is open to this one
  std::array<std::atomic<std::size_t>, 10> limits_;
  std::mutex heap_mutex_;  // also held while the heap's size is set
  std::unique_ptr<KernelHeap> heap_;
};

/// The calling thread's stack of contexts: the last one is current. An entry may be null (cuCtxSetCurrent(NULL)).
std::vector<std::shared_ptr<Context>>& context_stack() noexcept;

}  // namespace vgpu::softgpu
