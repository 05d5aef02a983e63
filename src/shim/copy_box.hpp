#pragma once
#include "shim/copy.hpp"

/// Copies of rows and planes between memory of the GPU, host memory and arrays.
namespace vgpu::shim {

/// One side. Memory is named by the address of its first byte; an array by its handle and where the copy begins in it.
struct BoxSide {
  u64 address = 0;
  u64 array = 0;  ///< handle, or 0: memory
  u64 x = 0, y = 0, z = 0;
  u64 pitch = 0;
  u64 plane_rows = 0;
  Where where = Where::device;
  bool on_host() const noexcept { return where != Where::device; }
};

struct Box {
  BoxSide to;
  BoxSide from;
  protocol::CopyExtent extent{};
};

/// Checks the parameters and finds out where the sides lie. An extent of 0 is nothing to copy, and needs no sides.
CUresult read_box(const CUDA_MEMCPY3D& copy, Box& box);

/// A side as the wire has it: not for pageable memory.
protocol::CopySide wire_side(const BoxSide& side);

/// Copies in stream order.
CUresult copy_box(const Context& context, StreamHandle stream, const Box& box, When when);

}  // namespace vgpu::shim
