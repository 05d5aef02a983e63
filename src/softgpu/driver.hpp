#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "softgpu/context.hpp"
#include "softgpu/driver_api.hpp"
#include "softgpu/handle_table.hpp"
#include "softgpu/memory.hpp"
#include "softgpu/memory_pool.hpp"

namespace vgpu::softgpu {

class Event;
class Function;
class Kernel;
class Library;
class Module;
namespace ptx {
class Pool;
}

/// The process's one driver: made by cuInit, never destroyed, since threads may still use it while the process ends.
class Driver {
 public:
  explicit Driver(std::uint64_t memory_bytes);

  Memory memory;
  HandleTable<Context, HandleKind::context, CUcontext> contexts;
  HandleTable<Stream, HandleKind::stream, CUstream> streams;
  HandleTable<Event, HandleKind::event, CUevent> events;
  HandleTable<Module, HandleKind::module, CUmodule> modules;
  HandleTable<Function, HandleKind::function, CUfunction> functions;
  HandleTable<Library, HandleKind::library, CUlibrary> libraries;
  HandleTable<Kernel, HandleKind::kernel, CUkernel> kernels;
  HandleTable<MemoryPool, HandleKind::pool, CUmemoryPool> pools;

  std::shared_ptr<Context> primary;
  std::mutex primary_mutex;
  unsigned primary_retains = 0;  // guarded by primary_mutex

  std::shared_ptr<MemoryPool> default_pool;
  /// The device's pool for cuMemAllocAsync: the default one unless cuDeviceSetMemPool said otherwise.
  std::shared_ptr<MemoryPool> current_pool();
  void set_current_pool(std::shared_ptr<MemoryPool> pool);

  /// The interpreter's threads; made at the first use.
  ptx::Pool& pool();

  /// The sticky error: CUDA_SUCCESS, or what each later call of the process returns.
  CUresult fault() const noexcept { return static_cast<CUresult>(fault_.load(std::memory_order_acquire)); }
  /// The first fault stays. Running kernels are cancelled.
  void set_fault(CUresult fault) noexcept;
  const std::atomic<bool>& cancel() const noexcept { return cancel_; }

  /// Removes events, modules, functions, stream handles and memory of a context.
  void destroy_objects_of(Context& context);

 private:
  std::mutex pool_mutex_;
  std::shared_ptr<MemoryPool> current_pool_;
  std::once_flag pool_once_;
  std::unique_ptr<ptx::Pool> pool_;
  std::atomic<int> fault_{CUDA_SUCCESS};
  std::atomic<bool> cancel_{false};
};

/// Only after cuInit has succeeded.
Driver& driver() noexcept;

/// CUDA_SUCCESS, or CUDA_ERROR_NOT_INITIALIZED: before cuInit, and in a child after fork().
CUresult check_initialized() noexcept;
/// What cuInit does.
CUresult initialize(unsigned flags);

/// True on a thread while it runs a host function of a stream: CUDA calls are not permitted there.
bool& in_host_function() noexcept;

}  // namespace vgpu::softgpu
