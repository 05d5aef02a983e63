#pragma once

/// Names and texts of CUresult codes, as CUDA 13.0 has them. Usable without any CUDA library.
namespace vgpu {

/// "CUDA_ERROR_INVALID_VALUE" for 1; null for a number that is no CUresult. The memory is static; any thread.
const char* cuda_error_name(int result) noexcept;

/// "invalid argument" for 1; null for a number that is no CUresult. The memory is static; any thread.
const char* cuda_error_text(int result) noexcept;

}  // namespace vgpu
