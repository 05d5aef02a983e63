#include "actors/config_parts.hpp"

namespace vgpu::daemon {
namespace {

constexpr std::uint64_t kLeastMemory = std::uint64_t{1} << 20;
constexpr std::uint64_t kMostMemory = std::uint64_t{64} << 30;
constexpr std::uint64_t kMostRate = 1'000'000'000'000'000;
constexpr std::uint32_t kMostSeconds = 1'000'000'000;

}  // namespace

SoftwareGpuConfig read_software_gpu(MistakeList& mistakes, const toml::table& table) {
  TableReader reader(mistakes, table, "[software_gpu]", {"memory", "rate", "launch_timeout_seconds"});
  SoftwareGpuConfig config;
  if (const auto text = reader.text("memory")) {
    config.memory_bytes = parse_size(*text);
    if (!config.memory_bytes || *config.memory_bytes < kLeastMemory || *config.memory_bytes > kMostMemory)
      reader.mistake("memory", "expected a size from 1MiB to 64GiB, such as \"4GiB\"; found \"" + *text + "\"");
  }
  if (const auto text = reader.text("rate")) {
    config.rate = parse_rate(*text);
    if (!config.rate || *config.rate == 0 || *config.rate > kMostRate)
      reader.mistake("rate",
                     "expected lane-instructions a second, such as \"100M\" or \"2G\"; found \"" + *text + "\"");
  }
  config.launch_timeout_seconds = reader.number("launch_timeout_seconds", 0, kMostSeconds);
  return config;
}

}  // namespace vgpu::daemon
