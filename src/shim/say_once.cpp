#include "shim/say_once.hpp"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace vgpu::shim {
namespace {

/// Hashes of what has been said. A full table only means that something is said twice.
constexpr std::uint32_t kPlaces = 4096;
std::atomic<std::uint64_t> said[kPlaces];

std::uint64_t hash(const char* text) noexcept {
  std::uint64_t sum = 0xcbf29ce484222325u;
  for (; *text; ++text) sum = (sum ^ static_cast<unsigned char>(*text)) * 0x100000001b3u;
  return sum | 1;
}

bool first_time(const char* what) noexcept {
  const std::uint64_t key = hash(what);
  for (std::uint32_t i = 0; i < kPlaces; ++i) {
    std::uint64_t found = 0;
    auto& place = said[(key + i) % kPlaces];
    if (place.compare_exchange_strong(found, key)) return true;
    if (found == key) return false;
  }
  return true;
}

}  // namespace

void say_once(const char* what, const char* line) noexcept {
  static const bool wanted = std::getenv("VGPU_LOG") != nullptr;
  if (wanted && first_time(what)) std::fprintf(stderr, "%s\n", line);
}

}  // namespace vgpu::shim
