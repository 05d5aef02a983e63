#include "softgpu/settings.hpp"

#include <charconv>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string_view>

#include "softgpu/address_map.hpp"
#include "softgpu/log.hpp"

namespace vgpu::softgpu {
namespace {

constexpr std::uint64_t kLeastMemory = std::uint64_t{1} << 20;

/// A number with an optional suffix K, M or G, each of which stands for that power of `unit`; no more than the type
/// holds.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t unit) noexcept {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (suffix.size() > 1) return std::nullopt;
  constexpr std::string_view kSuffixes = "kKmMgG";
  const std::size_t place = suffix.empty() ? 0 : kSuffixes.find(suffix[0]);
  if (place == std::string_view::npos) return std::nullopt;
  for (std::size_t power = suffix.empty() ? 0 : place / 2 + 1; power > 0; --power) {
    if (__builtin_mul_overflow(value, unit, &value)) return std::numeric_limits<std::uint64_t>::max();
  }
  return value;
}

struct Range {
  std::uint64_t least, most;
};

/// The variable's number if it lies in the range; values above are the most where `clamps`. Nothing if it isn't set.
std::optional<std::uint64_t> read(const char* name, std::uint64_t unit, Range range, bool clamps) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  const auto value = parse_number(text, unit);
  if (value && *value >= range.least && *value <= range.most) return value;
  if (value && *value > range.most && clamps) {
    log(LogLevel::warning, "{} is more than can be had value={} used={}", name, text, range.most);
    return range.most;
  }
  log(LogLevel::warning, "{} is no number from {} to {}, default used value={}", name, range.least, range.most, text);
  return std::nullopt;
}

}  // namespace

Settings read_settings() {
  Settings settings;
  if (const auto devices = read("VGPU_SOFTGPU_DEVICES", 1000, {1, kMostDevices}, false)) {
    settings.devices = static_cast<unsigned>(*devices);
  }
  if (const auto first = read("VGPU_SOFTGPU_FIRST", 1000, {0, kMostDevices - settings.devices}, false)) {
    settings.first = static_cast<unsigned>(*first);
  }
  // The devices share one window of addresses.
  const std::uint64_t most = AddressMap::kHeapBytes / settings.devices;
  if (const auto bytes = read("VGPU_SOFTGPU_MEMORY", 1024, {kLeastMemory, most}, true)) settings.memory_bytes = *bytes;
  constexpr std::uint64_t kMostRate = std::uint64_t{1} << 50;
  if (const auto rate = read("VGPU_SOFTGPU_RATE", 1000, {1, kMostRate}, true)) settings.rate = *rate;
  constexpr std::uint64_t kMostSeconds = 1000000000;
  if (const auto seconds = read("VGPU_SOFTGPU_LAUNCH_TIMEOUT", 1000, {0, kMostSeconds}, true)) {
    settings.launch_timeout_seconds = static_cast<unsigned>(*seconds);
  }
  return settings;
}

}  // namespace vgpu::softgpu
