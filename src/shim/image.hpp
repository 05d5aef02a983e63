#pragma once
#include <cuda.h>

#include <span>
#include <string>
#include <vector>

#include "protocol/payload.hpp"

/// The images that programs load: what they are, and how long they are, which the driver's API doesn't say.
namespace vgpu::shim {

/// The bytes of an image: of a fatbin, an ELF, or PTX one part; of a fatbin wrapper its fatbin, then those that were
/// linked into it before (nvcc -rdc). The program's memory is trusted as far as the driver itself would trust it.
/// CUDA_ERROR_INVALID_IMAGE for what is none of these, CUDA_ERROR_NOT_SUPPORTED for more than
/// protocol::kMaxImageParts.
using ImageParts = std::vector<std::span<const std::byte>>;
CUresult measure_image(const void* image, ImageParts& parts);

/// Reads a file into `memory`, followed by a NUL. CUDA_ERROR_FILE_NOT_FOUND, CUDA_ERROR_INVALID_IMAGE for what is no
/// file, or empty.
CUresult read_file(const char* path, std::vector<std::byte>& memory);

/// The same for an image, which can be measured then.
CUresult read_image_file(const char* path, std::vector<std::byte>& memory);

/// The options of a load, taken apart.
class JitOptions {
 public:
  /// CUDA_ERROR_NOT_SUPPORTED for options whose values are host pointers to something that is not carried.
  CUresult read(unsigned count, const CUjit_option* options, void** values);

  std::span<const protocol::JitOption> numbers() const noexcept { return numbers_; }
  protocol::u32 info_log_bytes() const noexcept { return info_.bytes; }
  protocol::u32 error_log_bytes() const noexcept { return error_.bytes; }

  /// Gives the program what came back: log texts and their lengths, wall time. `logs`: the info log, then the error
  /// log.
  void write_back(const std::byte* logs, protocol::u32 info_written, protocol::u32 error_written,
                  protocol::FloatBits wall_time_ms) const;

 private:
  struct Log {
    char* buffer = nullptr;
    protocol::u32 bytes = 0;
    void** size_value = nullptr;  ///< where the program wants the length
  };
  static void write_log(const Log& log, const std::byte* from, protocol::u32 written);

  std::vector<protocol::JitOption> numbers_;
  Log info_;
  Log error_;
  void** wall_time_ = nullptr;
};

}  // namespace vgpu::shim
