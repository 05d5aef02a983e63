#include "softgpu/graph_memory.hpp"

#include <algorithm>
#include <map>

#include "softgpu/graph.hpp"
#include "softgpu/guard.hpp"

using namespace vgpu::softgpu;

namespace vgpu::softgpu {
namespace {

struct Usage {
  std::uint64_t used = 0, used_high = 0, reserved = 0, reserved_high = 0;
};

/// Its own lock: the last owner of an allocation may be a stream's thread.
struct Registry {
  std::mutex mutex;
  std::map<std::uint64_t, std::weak_ptr<GraphAllocation>> by_address;
  std::map<const Device*, Usage> usage;
};

Registry& registry() {
  static auto* const only = new Registry;  // threads may still run while the process ends
  return *only;
}

}  // namespace

GraphAllocation::GraphAllocation(Device& device, std::uint64_t address, std::uint64_t bytes)
    : device_(device), address_(address), bytes_(bytes), reserved_(Heap::rounded(bytes)) {}

std::shared_ptr<GraphAllocation> GraphAllocation::create(Context& context, std::uint64_t bytes) {
  Memory& memory = driver().memory;
  const std::uint64_t address = memory.allocate(context, bytes, MemoryKind::graph);
  if (address == 0) return nullptr;
  std::shared_ptr<GraphAllocation> made(new GraphAllocation(context.device(), address, bytes));
  if (const auto entry = memory.find(address)) made->id_ = entry->id;
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.by_address[address] = made;
  Usage& usage = all.usage[&made->device_];
  usage.reserved += made->reserved_;
  usage.reserved_high = std::max(usage.reserved_high, usage.reserved);
  return made;
}

std::shared_ptr<GraphAllocation> GraphAllocation::find(std::uint64_t address) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto found = all.by_address.find(address);
  return found == all.by_address.end() ? nullptr : found->second.lock();
}

GraphAllocation::~GraphAllocation() {
  {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    const auto found = all.by_address.find(address_);
    if (found != all.by_address.end() && found->second.expired()) all.by_address.erase(found);
    all.usage[&device_].reserved -= reserved_;
  }
  // The entry is gone already if its context was destroyed.
  Memory& memory = driver().memory;
  const auto entry = memory.take(address_, [this](const Allocation& it) { return it.id == id_; });
  if (entry) memory.dispose(*entry);
}

void GraphAllocation::set_live(bool live) {
  if (live == (self_ != nullptr)) return;
  {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    Usage& usage = all.usage[&device_];
    usage.used = live ? usage.used + reserved_ : usage.used - reserved_;
    usage.used_high = std::max(usage.used_high, usage.used);
  }
  self_ = live ? shared_from_this() : nullptr;
}

std::shared_ptr<GraphAllocation> free_graph_memory(std::uint64_t address) {
  auto found = GraphAllocation::find(address);
  if (found == nullptr) return nullptr;
  const std::lock_guard lock(graphs_mutex());
  if (!found->live()) return nullptr;
  found->set_live(false);
  return found;
}

CUresult graph_memory_attribute(const Device& device, CUgraphMem_attribute attribute, std::uint64_t& value) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const Usage& usage = all.usage[&device];
  switch (attribute) {
    case CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT:
      value = usage.used;
      return CUDA_SUCCESS;
    case CU_GRAPH_MEM_ATTR_USED_MEM_HIGH:
      value = usage.used_high;
      return CUDA_SUCCESS;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT:
      value = usage.reserved;
      return CUDA_SUCCESS;
    case CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH:
      value = usage.reserved_high;
      return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult reset_graph_memory_attribute(const Device& device, CUgraphMem_attribute attribute, std::uint64_t value) {
  if (value != 0) return CUDA_ERROR_INVALID_VALUE;
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  Usage& usage = all.usage[&device];
  if (attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH) {
    usage.used_high = usage.used;
  } else if (attribute == CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH) {
    usage.reserved_high = usage.reserved;
  } else {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

}  // namespace vgpu::softgpu

CUresult CUDAAPI cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value) {
  return with_healthy_driver([&](Driver& self) {
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::uint64_t number = 0;
    const CUresult error = graph_memory_attribute(self.device(device), attribute, number);
    if (error == CUDA_SUCCESS) *static_cast<cuuint64_t*>(value) = number;
    return error;
  });
}

CUresult CUDAAPI cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void* value) {
  return with_healthy_driver([&](Driver& self) {
    if (const CUresult error = check_device(device); error != CUDA_SUCCESS) return error;
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return reset_graph_memory_attribute(self.device(device), attribute, *static_cast<const cuuint64_t*>(value));
  });
}

CUresult CUDAAPI cuDeviceGraphMemTrim(CUdevice device) {
  // Memory goes back with its last graph: there is never more of it than graphs need.
  return with_healthy_driver([&](Driver&) { return check_device(device); });
}
