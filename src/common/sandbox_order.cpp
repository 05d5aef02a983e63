#include "common/sandbox_order.hpp"

#include <array>
#include <charconv>

namespace vgpu::sandbox {
namespace {

constexpr std::array<std::string_view, kParts> kNames{
    "no_new_privileges", "limits", "private_memory", "user", "processes", "files", "network", "ipc", "system_calls"};
constexpr std::size_t kArguments = 6;
constexpr std::string_view kProbe = "--probe-sandbox", kBuild = "--sandbox";
constexpr std::string_view kUserNamespace = "user", kPidNamespace = "pid", kBoth = "user+pid", kNeither = "none";

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

/// Calls `each` with the pieces of `text` between `separator`s.
template <typename Each>
void split(std::string_view text, char separator, Each each) {
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    each(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
}

}  // namespace

std::string_view part_name(Part part) noexcept { return kNames[static_cast<std::size_t>(part)]; }

std::optional<Part> part_of(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kParts; ++i)
    if (kNames[i] == name) return static_cast<Part>(i);
  return std::nullopt;
}

Parts Parts::all() noexcept {
  Parts parts;
  for (std::size_t i = 0; i < kParts; ++i) parts.add(static_cast<Part>(i));
  return parts;
}

std::string Parts::text() const {
  std::string text;
  for (std::size_t i = 0; i < kParts; ++i)
    if (has(static_cast<Part>(i))) text.append(text.empty() ? "" : ",").append(kNames[i]);
  return text;
}

std::optional<Parts> Parts::from_text(std::string_view text) {
  Parts parts;
  bool good = true;
  split(text, ',', [&](std::string_view name) {
    if (const auto part = part_of(name))
      parts.add(*part);
    else
      good = false;
  });
  return good ? std::optional(parts) : std::nullopt;
}

std::vector<std::string> Order::arguments() const {
  const std::string_view namespaces = in_user_namespace  ? in_pid_namespace ? kBoth : kUserNamespace
                                      : in_pid_namespace ? kPidNamespace
                                                         : kNeither;
  return {std::string(probe ? kProbe : kBuild),
          parts.text(),
          std::string(namespaces),
          std::to_string(uid),
          std::to_string(gid),
          driver};
}

std::optional<Order> Order::from_arguments(std::span<const char* const> arguments) {
  if (arguments.size() != kArguments) return std::nullopt;
  const std::string_view kind = arguments[0], namespaces = arguments[2];
  const auto parts = Parts::from_text(arguments[1]);
  const auto uid = number(arguments[3]), gid = number(arguments[4]);
  Order order;
  order.probe = kind == kProbe;
  order.in_user_namespace = namespaces == kUserNamespace || namespaces == kBoth;
  order.in_pid_namespace = namespaces == kPidNamespace || namespaces == kBoth;
  if ((!order.probe && kind != kBuild) || !parts || !uid || !gid) return std::nullopt;
  if (!order.in_user_namespace && !order.in_pid_namespace && namespaces != kNeither) return std::nullopt;
  order.parts = *parts;
  order.uid = *uid;
  order.gid = *gid;
  order.driver = arguments[5];
  return order;
}

std::string report_text(std::span<const Finding> findings) {
  std::string text;
  for (const Finding& finding : findings)
    text.append(part_name(finding.part)).append(" ").append(finding.reason).append("\n");
  return text;
}

std::vector<Finding> findings_in(std::string_view report) {
  std::vector<Finding> findings;
  split(report, '\n', [&](std::string_view line) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return;
    if (const auto part = part_of(line.substr(0, space)))
      findings.push_back({*part, std::string(line.substr(space + 1))});
  });
  return findings;
}

}  // namespace vgpu::sandbox
