#include "shim/exports/refuse.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "common/cuda_names.hpp"
#include "shim/driver_log.hpp"
#include "shim/refuse_as.hpp"
#include "shim/session.hpp"

namespace vgpu::shim {
namespace {

/// Hashes of what has been said. A full table only means that something is said twice.
constexpr u32 kPlaces = 4096;
std::atomic<u64> said[kPlaces];

u64 hash(const char* text) noexcept {
  u64 sum = 0xcbf29ce484222325u;
  for (; *text; ++text) sum = (sum ^ static_cast<unsigned char>(*text)) * 0x100000001b3u;
  return sum | 1;
}

bool first_time(const char* what) noexcept {
  const u64 key = hash(what);
  for (u32 i = 0; i < kPlaces; ++i) {
    u64 found = 0;
    auto& place = said[(key + i) % kPlaces];
    if (place.compare_exchange_strong(found, key)) return true;
    if (found == key) return false;
  }
  return true;
}

// The operator reads it in the host's log. A program's own stderr belongs to the program: libraries ask for much that
// they can do without, and nobody wants to read of it at each start.
bool wants_log() noexcept {
  static const bool wanted = std::getenv("VGPU_LOG") != nullptr;
  return wanted;
}

}  // namespace

CUresult refuse_as(std::string_view name, const char* what) noexcept {
  char message[256];
  std::snprintf(message, sizeof message, "vgpu: %s is not carried: CUDA_ERROR_NOT_SUPPORTED", what);
  log_message(CU_LOG_LEVEL_ERROR, message);
  if (wants_log() && first_time(what)) std::fprintf(stderr, "%s\n", message);
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
