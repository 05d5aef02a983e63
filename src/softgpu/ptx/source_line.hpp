#pragma once
#include <string>
#include <string_view>

namespace vgpu::softgpu::ptx {

/// "file.cu:12" of the CUDA source that a line of a PTX text (counted from 1) comes from, as the .loc and .file
/// directives of -lineinfo and -G tell; empty if the text doesn't say. Reads the text anew: for faults, not for runs.
std::string source_line(std::string_view text, unsigned line);

}  // namespace vgpu::softgpu::ptx
