#pragma once
#include <cstdint>
#include <string_view>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

/// The options of cuModuleLoadDataEx and cuLibraryLoadData: the ones that ask for output are honoured, those that steer
/// machine code have no meaning here.
class JitOptions {
 public:
  /// CUDA_ERROR_INVALID_VALUE for null arrays with a count, and for options that CUDA doesn't know.
  static CUresult parse(unsigned count, CUjit_option* options, void** values, JitOptions& parsed);
  /// Writes the logs, their sizes and the wall time into what the caller gave.
  void finish(std::string_view error_log) const noexcept;

 private:
  void** info_buffer_ = nullptr;
  void** info_size_ = nullptr;
  void** error_buffer_ = nullptr;
  void** error_size_ = nullptr;
  void** wall_time_ = nullptr;
  std::uint64_t begin_ = 0;
};

}  // namespace vgpu::softgpu
