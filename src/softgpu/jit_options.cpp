#include "softgpu/jit_options.hpp"

#include <algorithm>
#include <cstring>

#include "softgpu/event_count.hpp"

namespace vgpu::softgpu {
namespace {

/// Scalars are stored in the pointer's own bytes, buffers are what it points to.
void write_log(void** buffer, void** size, std::string_view text) noexcept {
  if (size == nullptr) return;
  const auto capacity = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(*size));
  unsigned written = 0;
  if (buffer != nullptr && *buffer != nullptr && capacity != 0) {
    written = static_cast<unsigned>(std::min<std::size_t>(text.size(), capacity - 1));
    std::memcpy(*buffer, text.data(), written);
    static_cast<char*>(*buffer)[written] = '\0';
  }
  *size = reinterpret_cast<void*>(static_cast<std::uintptr_t>(written));
}

}  // namespace

CUresult JitOptions::parse(unsigned count, CUjit_option* options, void** values, JitOptions& parsed) {
  parsed.begin_ = monotonic_nanoseconds();
  if (count != 0 && (options == nullptr || values == nullptr)) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    switch (options[i]) {
      case CU_JIT_INFO_LOG_BUFFER:
        parsed.info_buffer_ = &values[i];
        break;
      case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
        parsed.info_size_ = &values[i];
        break;
      case CU_JIT_ERROR_LOG_BUFFER:
        parsed.error_buffer_ = &values[i];
        break;
      case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
        parsed.error_size_ = &values[i];
        break;
      case CU_JIT_WALL_TIME:
        parsed.wall_time_ = &values[i];
        break;
      default:
        if (options[i] < 0 || options[i] >= CU_JIT_NUM_OPTIONS) return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return CUDA_SUCCESS;
}

void JitOptions::finish(std::string_view error_log) const noexcept {
  write_log(error_buffer_, error_size_, error_log);
  write_log(info_buffer_, info_size_, {});
  if (wall_time_ != nullptr) {
    const float milliseconds = static_cast<float>(static_cast<double>(monotonic_nanoseconds() - begin_) / 1e6);
    std::uint32_t bits = 0;
    std::memcpy(&bits, &milliseconds, sizeof bits);
    *wall_time_ = reinterpret_cast<void*>(static_cast<std::uintptr_t>(bits));
  }
}

}  // namespace vgpu::softgpu
