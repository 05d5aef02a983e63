#include "softgpu/ptx/memory_access.hpp"

namespace vgpu::softgpu::ptx {

bool locate_slowly(Warp& w, u32 mask, u32 bytes, bool writes, Space space, const u64* address, Lanes& out) {
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<u32>(std::countr_zero(rest));
    const u64 at = address[lane];
    if ((at & (bytes - 1)) != 0) {
      w.raise(Fault::misaligned_address, lane, at, "misaligned address");
      return false;
    }
    std::byte* pointer = nullptr;
    const char* text = "an address that is not allocated";
    switch (space) {
      case Space::shared:
        text = "an address beyond the block's shared memory";
        if (at < kSharedWindow) {
          if (at <= w.block->shared.size() && bytes <= w.block->shared.size() - at)
            pointer = w.block->shared.data() + at;
        }
        break;
      case Space::local:
        text = "an address beyond the thread's local memory";
        if (at <= w.local_stride && bytes <= w.local_stride - at) pointer = w.local_of(lane) + at;
        break;
      case Space::param:
        // Of a device function the parameters lie in local memory; a kernel's have a window of their own.
        if (at < kSharedWindow) {
          text = "an address beyond the thread's local memory";
          if (at <= w.local_stride && bytes <= w.local_stride - at) pointer = w.local_of(lane) + at;
        } else {
          text = "an address beyond the kernel's parameters";
          pointer = resolve(w, lane, at, bytes, writes);
        }
        break;
      default:
        pointer = resolve(w, lane, at, bytes, writes);
        break;
    }
    if (pointer == nullptr) {
      w.raise(Fault::illegal_address, lane, at, text);
      return false;
    }
    out.pointer[lane] = pointer;
  }
  return true;
}

}  // namespace vgpu::softgpu::ptx
