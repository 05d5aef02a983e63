#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "actors/config.hpp"

namespace vgpu::daemon {
namespace {

constexpr std::uint32_t kMostSoftwareDevices = 16;

template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

bool is_address(const std::string& text, int family) {
  std::array<unsigned char, sizeof(in6_addr)> binary;
  return ::inet_pton(family, text.c_str(), binary.data()) == 1;
}

}  // namespace

std::optional<GpuChoice> parse_gpu(std::string_view text) {
  if (text == "auto") return GpuChoice{};
  if (text == "software") return GpuChoice{GpuChoice::Kind::software, 0, {}};
  if (constexpr std::string_view kNumbered = "software:"; text.starts_with(kNumbered)) {
    const auto devices = parse_number<std::uint32_t>(text.substr(kNumbered.size()));
    if (!devices || *devices == 0 || *devices > kMostSoftwareDevices) return std::nullopt;
    return GpuChoice{GpuChoice::Kind::software, 0, {}, *devices};
  }
  if (text.starts_with("GPU-") || text.starts_with("MIG-")) {
    if (text.size() < 8 || text.size() > 80 ||
        text.find_first_not_of("0123456789abcdefABCDEFGPUMI-/") != std::string_view::npos)
      return std::nullopt;
    return GpuChoice{GpuChoice::Kind::uuid, 0, std::string(text)};
  }
  if (const auto index = parse_number<std::uint32_t>(text); index && *index < 1024)
    return GpuChoice{GpuChoice::Kind::index, *index, {}};
  return std::nullopt;
}

std::string gpu_text(const GpuChoice& gpu) {
  switch (gpu.kind) {
    case GpuChoice::Kind::automatic:
      return "auto";
    case GpuChoice::Kind::software:
      return gpu.devices == 0 ? "software" : "software:" + std::to_string(gpu.devices);
    case GpuChoice::Kind::index:
      return std::to_string(gpu.index);
    case GpuChoice::Kind::uuid:
      return gpu.uuid;
  }
  return "unknown";
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string address(text.substr(0, colon));
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1));
  if (!port) return std::nullopt;
  if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
    address = address.substr(1, address.size() - 2);
    if (!is_address(address, AF_INET6)) return std::nullopt;
  } else if (!is_address(address, AF_INET)) {
    return std::nullopt;
  }
  return Endpoint{std::move(address), *port};
}

std::optional<std::uint64_t> parse_rate(std::string_view text) {
  constexpr std::array<std::pair<char, std::uint64_t>, 3> kUnits{{{'K', 1000}, {'M', 1000000}, {'G', 1000000000}}};
  std::uint64_t factor = 1;
  for (const auto& [name, value] : kUnits)
    if (text.ends_with(name)) factor = value;
  if (factor != 1) text.remove_suffix(1);
  const auto number = parse_number<std::uint64_t>(text);
  if (!number || *number > std::numeric_limits<std::uint64_t>::max() / factor) return std::nullopt;
  return *number * factor;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, unsigned>, 5> kUnits{
      {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}}};
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_number<std::uint64_t>(text.substr(0, digits));
  if (!number) return std::nullopt;
  std::string_view unit = text.substr(digits);
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, shift] : kUnits)
    if (unit == name && *number <= (std::numeric_limits<std::uint64_t>::max() >> shift)) return *number << shift;
  return std::nullopt;
}

const PoolConfig* Config::pool(std::string_view name) const noexcept {
  for (const PoolConfig& candidate : pools)
    if (candidate.name == name) return &candidate;
  return nullptr;
}

const VmConfig* Config::vm(std::uint32_t id) const noexcept {
  for (const VmConfig& candidate : vms)
    if (candidate.id == id) return &candidate;
  return nullptr;
}

Tenant Config::tenant(std::uint32_t id) const noexcept {
  if (const VmConfig* known = vm(id)) return known->tenant;
  Tenant tenant = unregistered;
  tenant.vm = id;
  return tenant;
}

std::optional<Priority> parse_priority(std::string_view text) {
  if (text == "low") return Priority::low;
  if (text == "medium") return Priority::medium;
  if (text == "high") return Priority::high;
  return std::nullopt;
}

const Limits& Config::limits_of(std::uint32_t id) const noexcept {
  const VmConfig* const registered = vm(id);
  return registered != nullptr ? registered->limits : unregistered_limits;
}

}  // namespace vgpu::daemon
