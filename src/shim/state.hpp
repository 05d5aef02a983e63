#pragma once
#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "shim/allocations.hpp"
#include "shim/captures.hpp"
#include "shim/channel.hpp"
#include "shim/host_memory.hpp"
#include "shim/node_parameters.hpp"
#include "shim/objects.hpp"
#include "shim/staging.hpp"
#include "shim/texture.hpp"

/// Everything that this process knows while its session lasts.
namespace vgpu::shim {

struct Device {
  std::once_flag once;
  CUresult fetched = CUDA_ERROR_NOT_INITIALIZED;
  protocol::DeviceInfo info{};

  std::atomic<bool> priorities_known{false};
  std::atomic<i32> least_priority{0};
  std::atomic<i32> greatest_priority{0};

  std::mutex primary_mutex;  ///< retain, release, reset, set flags
  u64 primary = 0;           ///< handle of its primary context, minted once
  u64 default_pool = 0;      ///< handle
  std::atomic<u64> pool{0};  ///< handle of the pool that cuMemAllocAsync takes from
  std::atomic<u32> retained{0};
  std::atomic<u32> primary_flags{0};
};

struct State {
  explicit State(std::unique_ptr<Channel> opened)
      : channel(std::move(opened)), staging(*channel), host_memory(*channel) {}

  std::unique_ptr<Channel> channel;
  u64 epoch = 0;  ///< differs from session to session of this process
  int driver_version = 0;
  std::vector<std::unique_ptr<Device>> devices;

  ContextTable contexts;
  StreamTable streams;
  EventTable events;
  ModuleTable modules;
  LibraryTable libraries;
  FunctionTable functions;
  KernelTable kernels;
  PhysicalMemoryTable physical;
  PoolTable pools;
  LinkTable links;
  GreenContextTable green_contexts;
  ArrayTable arrays;
  MipmappedArrayTable mipmapped_arrays;
  NumberedObjects<TextureObject> textures;
  NumberedObjects<SurfaceObject> surfaces;
  NodeMemories graph_nodes;  ///< what programs got to see of their parameters
  GraphExecTable graph_execs;
  UserObjectTable user_objects;
  Captures captures;

  Staging staging;
  Allocations allocations;
  HostMemory host_memory;

  std::mutex kernel_text_mutex;  ///< whoever prints what kernels printed
  std::atomic<u64> next_context_id{1};
  std::atomic<u64> next_stream_id{8};  ///< smaller ones are the default streams'
};

}  // namespace vgpu::shim
