#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>

#include "actors/config.hpp"

namespace vgpu::daemon {

/// What vgpuctl and vgpud say: objects, whose keys keep their order.
using Json = nlohmann::ordered_json;

/// Why a request is refused. `code` is for programs and never changes: docs/operations.md lists them.
struct AdminError {
  std::string code;
  std::string text;
};

/// One request of an operator, as far as it can be checked without the daemon's state.
struct AdminRequest {
  std::string verb;
  std::optional<std::uint32_t> vm;
  std::string pool;
  std::optional<std::uint32_t> session;
  std::string key, value;  ///< set, log-level
  bool end = false;        ///< drain, quarantine: end running sessions, too
  double seconds = 5;      ///< profile
  bool follow = true;      ///< events: go on
};

/// Reads one line. VMs may be named by number or by name, pools must exist.
std::variant<AdminRequest, AdminError> read_admin_request(const std::string& line, const Config& config);

/// One line: the answer of a request that is refused.
std::string error_line(const AdminError& error);

}  // namespace vgpu::daemon
