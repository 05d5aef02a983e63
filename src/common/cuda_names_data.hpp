// Joins the generated list of names with the functions of cuda_names.hpp. Nobody else includes this.
#pragma once

#include <cstddef>
#include <iterator>
#include <span>
#include <string_view>

namespace vgpu::detail {

struct CudaNameTable {
  std::span<const std::string_view> names;
  std::size_t function_count;  ///< the first so many names are sorted
};

extern const CudaNameTable kCudaNameTable;

}  // namespace vgpu::detail
