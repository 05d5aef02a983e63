// The generated table behind cuGetProcAddress.
#pragma once

#include <cstdint>
#include <span>

namespace vgpu::shim {

/// One form of a function: what cuGetProcAddress gives when asked for CUDA version `since` or later.
struct EntryPoint {
  int since;          ///< 1000 * major + 10 * minor
  void (*address)();  ///< of the exported function; cast before calling
};

/// A name that cuGetProcAddress can be asked for, and where its forms lie in entry_points().
struct EntryName {
  const char* name;
  std::uint16_t first;             ///< index of its first form
  std::uint16_t count;             ///< forms, oldest first
  std::uint16_t per_thread_count;  ///< per-thread forms, oldest first, right after the others; 0: it has none
};

std::span<const EntryPoint> entry_points() noexcept;

/// Sorted by name (ASCII).
std::span<const EntryName> entry_names() noexcept;

}  // namespace vgpu::shim
