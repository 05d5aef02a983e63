#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

class Context;
class Device;

/// The memory of an allocation node. Its address is fixed from the node's creation to the end of the last graph and
/// executable graph that has the node, and beyond that until it is freed; all that time it is mapped, as a GPU keeps
/// the memory of its graphs. Whether it counts as allocated follows the order of the calls that launch and free. Under
/// graphs_mutex(), but for the destructor.
class GraphAllocation : public std::enable_shared_from_this<GraphAllocation> {
 public:
  /// Null if the device has not that much memory.
  static std::shared_ptr<GraphAllocation> create(Context& context, std::uint64_t bytes);
  /// The one that begins at this address; null if there is none.
  static std::shared_ptr<GraphAllocation> find(std::uint64_t address);
  ~GraphAllocation();
  GraphAllocation(const GraphAllocation&) = delete;
  GraphAllocation& operator=(const GraphAllocation&) = delete;

  std::uint64_t address() const noexcept { return address_; }
  std::uint64_t bytes() const noexcept { return bytes_; }
  bool live() const noexcept { return self_ != nullptr; }
  /// A launch allocates it, or its free comes in stream order.
  void set_live(bool live);

  bool freed_in_graph = false;   ///< its own graph has a free node for it
  bool freed_elsewhere = false;  ///< another graph has one

 private:
  GraphAllocation(Device& device, std::uint64_t address, std::uint64_t bytes);

  Device& device_;
  const std::uint64_t address_;
  const std::uint64_t bytes_;
  const std::uint64_t reserved_;
  std::uint64_t id_ = 0;                   // of its entry in the table of allocations
  std::shared_ptr<GraphAllocation> self_;  // while it is allocated: it outlives its graph
};

/// cuMemFree and cuMemFreeAsync of memory that a graph allocated: takes it back, and gives it to the caller to hold
/// until the work that may use it has run. Nothing if the address is not of a graph's allocated memory.
std::shared_ptr<GraphAllocation> free_graph_memory(std::uint64_t address);

CUresult graph_memory_attribute(const Device& device, CUgraphMem_attribute attribute, std::uint64_t& value);
/// High watermarks can be set to zero only.
CUresult reset_graph_memory_attribute(const Device& device, CUgraphMem_attribute attribute, std::uint64_t value);

}  // namespace vgpu::softgpu
