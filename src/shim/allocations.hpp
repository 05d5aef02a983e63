#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <vector>

#include "common/managed_ranges.hpp"
#include "protocol/types.hpp"

/// Which addresses of this process mean memory of the GPU or pinned memory: what pointer attributes and copies by
/// pointer are answered from.
namespace vgpu::shim {

using protocol::i32;
using protocol::u32;
using protocol::u64;

struct Allocation {
  /// mapped: by cuMemMap. managed: in the arena like host memory, but freed as device memory.
  enum class Kind : u32 { device, host, variable, mapped, managed };
  u64 base = 0;
  u64 bytes = 0;
  Kind kind = Kind::device;
  u64 context = 0;  ///< handle
  i32 device = 0;
  u32 flags = 0;                            ///< of host memory: CU_MEMHOSTALLOC_...
  u64 device_base = 0;                      ///< its address on the GPU
  u64 slab = 0;                             ///< of small host memory: where its slab begins
  u64 pool = 0;                             ///< handle of the pool that it came from, or 0
  u64 id = 0;                               ///< set by add(): unique in the process
  u64 physical = 0;                         ///< mapped: handle of its memory
  std::shared_ptr<ManagedRanges> ranges{};  ///< managed: what was said of its parts
};

class Allocations {
 public:
  /// Replaces what was known of the same base.
  void add(Allocation allocation);
  /// Takes the allocation that begins at `base` away, if it is of the given kind.
  std::optional<Allocation> remove(u64 base, Allocation::Kind kind);
  /// The allocation that `address` lies in.
  std::optional<Allocation> find(u64 address) const;
  /// Takes away all allocations of a kind that lie within a range.
  std::vector<Allocation> remove_range(u64 start, u64 bytes, Allocation::Kind kind);
  /// Takes away all allocations of a context.
  std::vector<Allocation> remove_context(u64 context);

 private:
  mutable std::shared_mutex mutex_;
  std::map<u64, Allocation> by_base_;
  u64 next_id_ = 1;
};

}  // namespace vgpu::shim
