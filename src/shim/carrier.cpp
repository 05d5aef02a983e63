#include "shim/carrier.hpp"

#include <cstdlib>
#include <string_view>

namespace vgpu::shim {

Opened open_carrier() {
  const char* wanted = std::getenv("VGPU_CARRIER");
  const std::string_view kind = wanted ? wanted : "";
  if (kind.empty() || kind == "unix") return open_unix_carrier();
  if (kind == "device")
    return {
        nullptr, CUDA_ERROR_NO_DEVICE,
        "VGPU_CARRIER=device needs /dev/vgpu0, which this version can't use; unset VGPU_CARRIER to use the daemon's "
        "socket"};
  return {nullptr, CUDA_ERROR_NO_DEVICE, "VGPU_CARRIER=" + std::string(kind) + " is unknown; it may be unix or device"};
}

}  // namespace vgpu::shim
