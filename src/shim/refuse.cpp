#include "shim/exports/refuse.hpp"

#include <cstdio>

#include "common/cuda_names.hpp"
#include "shim/driver_log.hpp"
#include "shim/refuse_as.hpp"
#include "shim/say_once.hpp"
#include "shim/session.hpp"

namespace vgpu::shim {
CUresult refuse_as(std::string_view name, const char* what) noexcept {
  char message[256];
  std::snprintf(message, sizeof message, "vgpu: %s is not carried: CUDA_ERROR_NOT_SUPPORTED", what);
  log_message(CU_LOG_LEVEL_ERROR, message);
  say_once(what, message);
  // Only a count for the operator: what the channel has to report is the next call's business.
  if (ready() == CUDA_SUCCESS)
    state().channel->notify<call::vgpuUnsupported>(0, {0}, bytes_of(name.data(), name.size()));
  return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult refuse(unsigned index) noexcept {
  const auto names = cuda_names();
  if (index >= names.size()) return CUDA_ERROR_NOT_SUPPORTED;
  // The list's names are string literals, and so end with a NUL.
  return refuse_as(names[index], names[index].data());
}

}  // namespace vgpu::shim
