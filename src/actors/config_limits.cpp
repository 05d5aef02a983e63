#include "actors/config_limits.hpp"

#include <limits>

#include "actors/config.hpp"

namespace vgpu::daemon {
namespace {

using protocol::Limit;

constexpr std::uint64_t kLeastBytes = std::uint64_t{1} << 20;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 50;
/// What a driver's own queue of a stream holds.
constexpr std::uint32_t kMostInFlight = 1024;
constexpr std::uint64_t kMostRate = 1'000'000'000;

void read_bytes(TableReader& reader, Limit limit, Limits& limits) {
  const char* const key = protocol::limit_name(static_cast<std::uint32_t>(limit));
  const auto text = reader.text(key);
  if (!text) return;
  const auto bytes = parse_size(*text);
  if (bytes && *bytes >= kLeastBytes && *bytes <= kMostBytes)
    limits[limit] = *bytes;
  else
    reader.mistake(key, "expected a size from 1MiB up, such as \"8GiB\"; found \"" + *text + "\"");
}

}  // namespace

void read_limits(TableReader& reader, Limits& limits) {
  read_bytes(reader, Limit::memory, limits);
  read_bytes(reader, Limit::arena, limits);
  for (const Limit limit : {Limit::streams, Limit::events, Limit::modules, Limit::graphs})
    if (const auto count = reader.number(protocol::limit_name(static_cast<std::uint32_t>(limit)), 1,
                                         std::numeric_limits<std::uint32_t>::max()))
      limits[limit] = *count;
  if (const auto sessions = reader.number("sessions", 1, protocol::VmAccount::kMostSessions))
    limits.sessions = *sessions;
  if (const auto in_flight = reader.number("in_flight", 1, kMostInFlight)) limits.in_flight = *in_flight;
  if (const auto rate = reader.number("calls_per_second", 1, kMostRate)) limits.calls_per_second = *rate;
}

}  // namespace vgpu::daemon
