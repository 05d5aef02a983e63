#pragma once

/// What is known of CUresult codes, as CUDA 13.0 has them. Usable without any CUDA library.
namespace vgpu {

/// "CUDA_ERROR_INVALID_VALUE" for 1; null for a number that is no CUresult. The memory is static; any thread.
const char* cuda_error_name(int result) noexcept;

/// "invalid argument" for 1; null for a number that is no CUresult. The memory is static; any thread.
const char* cuda_error_text(int result) noexcept;

/// True for errors after which every call of the process fails the same way (driver API, CUresult: "leaves the process
/// in an inconsistent state ... must be terminated and relaunched"; on an H100 they take all contexts of a process
/// along).
bool cuda_error_is_sticky(int result) noexcept;

}  // namespace vgpu
