#include <charconv>

#include "actors/config_parts.hpp"

namespace vgpu::daemon {
namespace {

/// 16-bit numbers are ordinary users'; the last 32-bit one means "none".
constexpr std::uint32_t kLowestId = 65'536, kHighestId = 0xfffffffe;
constexpr std::uint32_t kLeastIds = 256;
constexpr std::uint64_t kLeastMemory = std::uint64_t{256} << 20;

bool read_number(std::string_view text, std::uint32_t& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

}  // namespace

SandboxConfig read_sandbox(TableReader& reader) {
  using Mode = SandboxConfig::Mode;
  SandboxConfig config;
  if (const auto mode = reader.text("sandbox")) {
    if (*mode == "required")
      config.mode = Mode::required;
    else if (*mode == "off")
      config.mode = Mode::off;
    else if (*mode != "auto")
      reader.mistake("sandbox", "expected \"required\", \"auto\" or \"off\"; found \"" + *mode + "\"");
  }
  if (const auto ids = reader.text("sandbox_ids")) {
    const std::string_view text = *ids;
    const std::size_t dash = text.find('-');
    std::uint32_t first = 0, last = 0;
    if (dash == std::string_view::npos || !read_number(text.substr(0, dash), first) ||
        !read_number(text.substr(dash + 1), last) || first < kLowestId || last > kHighestId || last < first ||
        last - first < kLeastIds - 1) {
      reader.mistake("sandbox_ids",
                     "expected a range of at least 256 numbers from 65536 on that no user and no group has, such as "
                     "\"1900000000-1900065535\"; found \"" +
                         *ids + "\"");
    } else {
      config.first_id = first;
      config.last_id = last;
    }
  }
  if (const auto text = reader.text("host_memory")) {
    config.host_memory_bytes = parse_size(*text);
    if (!config.host_memory_bytes || *config.host_memory_bytes < kLeastMemory)
      reader.mistake("host_memory", "expected a size of at least 256MiB, such as \"24GiB\"; found \"" + *text + "\"");
  }
  return config;
}

}  // namespace vgpu::daemon
