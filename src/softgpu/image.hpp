#pragma once
#include <cstddef>
#include <span>
#include <string>

#include "softgpu/driver_api.hpp"

namespace vgpu::softgpu {

/// What came out of a module image: PTX, or why there is none.
struct Image {
  CUresult result = CUDA_ERROR_INVALID_IMAGE;
  std::string ptx;      ///< without a NUL at the end
  std::string message;  ///< for the log, if result is not CUDA_SUCCESS
};

/// An image as cuModuleLoadData takes it, whose length only its own headers say: fatbin wrapper, fatbin, ELF or PTX
/// that ends in NUL. Whoever got it from elsewhere must have checked that the headers' lengths lie inside the buffer.
Image read_image(const void* image);

/// The contents of a file: the same kinds, but everything is checked against the size.
Image read_image(std::span<const std::byte> bytes);

/// The bytes of a file for cuModuleLoad and cuLibraryLoadFromFile. CUDA_ERROR_FILE_NOT_FOUND if it can't be opened.
CUresult read_file(const char* path, std::string& bytes);

}  // namespace vgpu::softgpu
