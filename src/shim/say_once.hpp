#pragma once

namespace vgpu::shim {

/// Writes a line to stderr if VGPU_LOG is set and it is the first time that `what` is said. A program's own stderr
/// belongs to the program: libraries ask for much that they can do without, and nobody wants to read of it at each
/// start. Any thread.
void say_once(const char* what, const char* line) noexcept;

}  // namespace vgpu::shim
