#pragma once
#include <span>
#include <string>
#include <variant>

#include "softgpu/ptx/ptx.hpp"

namespace vgpu::softgpu::ptx {

/// Makes one text of several, as a linker does (PTX ISA, "Linking Directives"): what one declares .extern another
/// defines; what has no linkage directive stays private to its text, under a name of its own. Of functions that are
/// defined .weak in several texts each text keeps its own copy, unless one is not weak. Errors name the symbol: defined
/// twice, or nowhere. Never throws but for memory.
std::variant<std::string, Diagnostic> merge(std::span<const std::string> texts);

}  // namespace vgpu::softgpu::ptx
