#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "softgpu/context.hpp"
#include "softgpu/device.hpp"
#include "softgpu/driver_api.hpp"
#include "softgpu/handle_table.hpp"
#include "softgpu/memory.hpp"
#include "softgpu/memory_pool.hpp"
#include "softgpu/settings.hpp"
#include "softgpu/texture_object.hpp"
#include "softgpu/virtual_memory.hpp"

namespace vgpu::softgpu {

class Array;
class Event;
class Function;
class Graph;
class GraphExec;
class GraphNode;
class Kernel;
class Library;
class Module;
class UserObject;
namespace ptx {
class Pool;
}

/// The process's one driver: made by cuInit, never destroyed, since threads may still use it while the process ends.
class Driver {
 public:
  explicit Driver(const Settings& settings);

  const Settings settings;
  Memory memory;
  HandleTable<Context, HandleKind::context, CUcontext> contexts;
  HandleTable<Stream, HandleKind::stream, CUstream> streams;
  HandleTable<Event, HandleKind::event, CUevent> events;
  HandleTable<Module, HandleKind::module, CUmodule> modules;
  HandleTable<Function, HandleKind::function, CUfunction> functions;
  HandleTable<Library, HandleKind::library, CUlibrary> libraries;
  HandleTable<Kernel, HandleKind::kernel, CUkernel> kernels;
  HandleTable<MemoryPool, HandleKind::pool, CUmemoryPool> pools;
  HandleTable<Graph, HandleKind::graph, CUgraph> graphs;
  HandleTable<GraphNode, HandleKind::graph_node, CUgraphNode> graph_nodes;
  HandleTable<GraphExec, HandleKind::graph_exec, CUgraphExec> graph_execs;
  HandleTable<UserObject, HandleKind::user_object, CUuserObject> user_objects;
  HandleTable<Array, HandleKind::array, CUarray> arrays;
  HandleTable<MipmappedArray, HandleKind::mipmapped_array, CUmipmappedArray> mipmapped_arrays;
  HandleTable<TextureObject, HandleKind::texture, TextureHandle> textures;
  HandleTable<SurfaceObject, HandleKind::surface, SurfaceHandle> surfaces;
  HandleTable<PhysicalHandle, HandleKind::physical, PhysicalHandleTag*> physical;
  VirtualMemory virtual_memory{memory};

  /// By ordinal; all of them, from the start to the end.
  const std::vector<std::unique_ptr<Device>>& devices() const noexcept { return devices_; }
  /// The ordinal must be good: see check_device.
  Device& device(int ordinal) noexcept { return *devices_[static_cast<std::size_t>(ordinal)]; }

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
  std::vector<std::unique_ptr<Device>> devices_;
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
