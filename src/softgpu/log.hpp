#pragma once
#include <fmt/format.h>

#include <string>
#include <utility>

#include "softgpu/softgpu.h"

namespace vgpu::softgpu {

enum class LogLevel : int {
  error = VGPU_SOFTGPU_LOG_ERROR,
  warning = VGPU_SOFTGPU_LOG_WARNING,
  info = VGPU_SOFTGPU_LOG_INFO,
};

/// Writes one line, "softgpu: " and the text, to the hook or to stderr. Line breaks in the text become spaces. Any
/// thread.
void log_text(LogLevel level, std::string text) noexcept;

/// The text by fmt's rules: "message key={} key={}".
template <class... Arguments>
void log(LogLevel level, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  log_text(level, fmt::format(format, std::forward<Arguments>(arguments)...));
}

}  // namespace vgpu::softgpu
