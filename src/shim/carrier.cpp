#include "shim/carrier.hpp"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "shim/futex.hpp"

namespace vgpu::shim {

using protocol::u32;
using protocol::u64;

bool Carrier::wait(vgpu_slot& slot, u32, u32 seen, u32, std::int64_t timeout_ns) noexcept {
  return futex_wait(slot.done, seen, timeout_ns, true);
}

u64 Carrier::take_extent(std::byte*, u64, u64&) noexcept { return 0; }

void Carrier::give_extent(std::byte*, u64, u64) noexcept {}

u64 wanted_features(Purpose purpose) noexcept {
  return purpose == Purpose::status ? VGPU_FEATURE_STATUS : VGPU_FEATURE_ARENA | VGPU_FEATURE_HOST_FUNCTIONS;
}

Opened open_carrier(Purpose purpose) {
  const char* wanted = std::getenv("VGPU_CARRIER");
  const std::string_view kind = wanted ? wanted : "";
  if (kind == "unix") return open_unix_carrier(purpose);
  if (kind == "device") return open_device_carrier(purpose);
  if (!kind.empty())
    return {nullptr, CUDA_ERROR_NO_DEVICE,
            "VGPU_CARRIER=" + std::string(kind) + " is unknown; it may be unix or device"};
  if (::access(device_path().c_str(), F_OK) != 0) {
    Opened opened = open_unix_carrier(purpose);
    if (!opened.carrier) opened.reason = "there is no " + device_path() + ", and " + opened.reason;
    return opened;
  }
  Opened device = open_device_carrier(purpose);
  if (device.carrier) return device;
  Opened socket = open_unix_carrier(purpose);
  if (socket.carrier) return socket;
  device.reason += "; and " + socket.reason;
  return device;
}

}  // namespace vgpu::shim
