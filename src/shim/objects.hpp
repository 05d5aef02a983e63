#pragma once
#include <cuda.h>

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "protocol/payload.hpp"
#include "shim/callable_facts.hpp"
#include "shim/handles.hpp"
#include "shim/image.hpp"

/// What the guest knows about each object that it has a handle for.
namespace vgpu::shim {

using protocol::i32;

struct Context {
  u64 handle = 0;
  i32 device = 0;
  bool primary = false;
  u64 green = 0;                    ///< handle of the green context that it is the CUcontext of, or 0
  std::atomic<bool> active{false};  ///< a primary context is valid while somebody retains it
  std::atomic<u32> flags{0};
  u64 id = 0;  ///< unique in the process, never used twice
  std::atomic<u32> cache_config{CU_FUNC_CACHE_PREFER_NONE};
  std::atomic<const protocol::DeviceInfo*> info{nullptr};  ///< its device's, once a launch has needed it
  static constexpr u32 kLimits = 16;
  std::array<std::atomic<u64>, kLimits> limit{};
  std::atomic<u32> known_limits{0};

  u32 index() const noexcept { return protocol::ContextHandle{handle}.index(); }
};

struct Stream {
  u64 context = 0;  ///< handle
  u32 flags = 0;
  i32 priority = 0;
  u64 id = 0;
  bool per_thread = false;  ///< a thread's default stream, which programs can't destroy
};

struct Event {
  u64 context = 0;
  u32 flags = 0;
};

/// A function or a kernel.
struct Callable {
  std::string name;
  u64 context = 0;               ///< of a function
  u64 module = 0;                ///< handle of a function's module
  u64 library = 0;               ///< handle of a kernel's library
  u64 kernel = 0;                ///< handle of the kernel that a function is a context's form of, or 0
  std::map<u64, u64> functions;  ///< of a kernel: its function in each context; under its library's mutex
  std::vector<protocol::ParameterLayout> parameters;
  u32 parameter_bytes = 0;
  bool dense = true;  ///< the parameters leave no byte of the block unused

  CallableFacts facts;
};

struct Module {
  u64 context = 0;
  u64 library = 0;  ///< of which it is the module, or 0
  std::mutex mutex;
  std::map<std::string, u64, std::less<>> functions;  ///< handles that have been given out, by name
  std::vector<u64> spare;                             ///< handles that lost a race for a name
  std::vector<u64> globals;                           ///< addresses of variables that have been given out
};

struct Library {
  std::mutex mutex;
  std::map<std::string, u64, std::less<>> kernels;
  std::vector<u64> spare;
  std::map<u64, u64> modules;  ///< its module in each context, by context
  std::vector<u64> globals;
};

/// An array, or a level of a mipmapped array, or a plane of an array.
struct Array {
  u64 context = 0;
  u64 owner = 0;  ///< handle of what it is a part of, or 0
  protocol::ArrayShape shape{};
  std::mutex mutex;
  std::map<u32, u64> parts;  ///< planes that have been given out, by number
};

struct MipmappedArray {
  u64 context = 0;
  std::mutex mutex;
  std::map<u32, u64> parts;  ///< levels that have been given out
};

struct GreenContext {
  u64 context = 0;  ///< handle of its CUcontext
};

/// A CUlinkState.
struct Link {
  std::mutex mutex;
  JitOptions options;            ///< of its creation: where the program wants the logs
  std::vector<std::byte> image;  ///< what cuLinkComplete gave out
};

/// Memory of cuMemCreate.
struct PhysicalMemory {
  CUmemAllocationProp properties{};
  /// Handles that the program has in the low half, mappings in the high one: one word, so that of several threads which
  /// give something back exactly one sees that it was the last.
  std::atomic<u64> holders{0};
};

/// A memory pool. Each device's default one is minted first, in the devices' order.
struct Pool {
  i32 device = 0;
  bool is_default = false;
};

/// A CUgraphExec.
struct GraphExec {
  u64 flags = 0;
};

/// A CUuserObject: what it is, host_function.hpp knows.
struct UserObject {};

using ContextTable = HandleTable<Kind::context, Context>;
using StreamTable = HandleTable<Kind::stream, Stream>;
using EventTable = HandleTable<Kind::event, Event>;
using ModuleTable = HandleTable<Kind::module_, Module>;
using LibraryTable = HandleTable<Kind::library, Library>;
using FunctionTable = HandleTable<Kind::function, Callable>;
using PhysicalMemoryTable = HandleTable<Kind::allocation, PhysicalMemory>;
using PoolTable = HandleTable<Kind::pool, Pool>;
using KernelTable = HandleTable<Kind::kernel, Callable>;
using ArrayTable = HandleTable<Kind::array, Array>;
using MipmappedArrayTable = HandleTable<Kind::mipmapped_array, MipmappedArray>;
using GreenContextTable = HandleTable<Kind::green_context, GreenContext>;
using LinkTable = HandleTable<Kind::link, Link>;
using GraphExecTable = HandleTable<Kind::graph_exec, GraphExec>;
using UserObjectTable = HandleTable<Kind::user_object, UserObject>;

}  // namespace vgpu::shim
