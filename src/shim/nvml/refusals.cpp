// A refusing function for every name that NVML exports; what is carried replaces it.
#include <string>

#include "shim/nvml/library.hpp"
#include "shim/say_once.hpp"

namespace vgpu::nvml {

nvmlReturn_t refuse(const char* name) noexcept {
  if (!is_initialized()) return NVML_ERROR_UNINITIALIZED;
  char line[160];
  std::snprintf(line, sizeof line, "vgpu: %s is not carried: NVML_ERROR_NOT_SUPPORTED", name);
  shim::say_once(name, line);
  return NVML_ERROR_NOT_SUPPORTED;
}

}  // namespace vgpu::nvml

// The function's own identifier is not the exported name, which may be declared with other parameters.
#define VGPU_NVML_FUNCTION(name)                                                                                   \
  extern "C" [[gnu::weak, gnu::visibility("default")]] nvmlReturn_t vgpu_refusal_##name() noexcept __asm__(#name); \
  nvmlReturn_t vgpu_refusal_##name() noexcept { return vgpu::nvml::refuse(#name); }
#include "shim/nvml/functions.def"
