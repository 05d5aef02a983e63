#include "actors/admin_request.hpp"

#include <array>
#include <charconv>
#include <string_view>

#include "protocol/session.hpp"

namespace vgpu::daemon {
namespace {

enum Needs : unsigned { kVm = 1, kPool = 2, kSession = 4, kKey = 8, kValue = 16 };

struct Verb {
  std::string_view name;
  unsigned needs;
};
constexpr std::array kVerbs = {
    Verb{"status", 0},
    Verb{"top", 0},
    Verb{"vms", 0},
    Verb{"sessions", 0},
    Verb{"pools", 0},
    Verb{"gpus", 0},
    Verb{"events", 0},
    Verb{"reload", 0},
    Verb{"set", kVm | kKey | kValue},
    Verb{"kill", kSession},
    Verb{"profile", kSession},
    Verb{"quarantine", kVm},
    Verb{"release", kVm},
    Verb{"trace", kVm},
    Verb{"drain", kPool},
    Verb{"resume", kPool},
    Verb{"log-level", kValue},
};
constexpr double kLongestProfile = 3600;

std::optional<std::uint32_t> number(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto n = value.get<std::uint64_t>();
    return n <= UINT32_MAX ? std::optional(static_cast<std::uint32_t>(n)) : std::nullopt;
  }
  if (!value.is_string()) return std::nullopt;
  const std::string text = value.get<std::string>();
  std::uint32_t n = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, n);
  return error == std::errc() && stop == end && !text.empty() ? std::optional(n) : std::nullopt;
}

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return {};
  return found->is_string() ? found->get<std::string>() : found->dump();
}

/// A VM's number or name.
std::variant<std::uint32_t, AdminError> find_vm(const Json& value, const Config& config) {
  if (const auto id = number(value); id && *id != protocol::kNoVm) return *id;
  const std::string name = value.is_string() ? value.get<std::string>() : value.dump();
  std::optional<std::uint32_t> found;
  for (const VmConfig& vm : config.vms) {
    if (vm.name != name && vm.uuid != name) continue;
    if (found) return AdminError{"bad_request", "several VMs are called \"" + name + "\"; say which by its number"};
    found = vm.id;
  }
  if (found) return *found;
  return AdminError{"unknown_vm", "there is no VM \"" + name + "\" in the configuration; vgpuctl vms lists them"};
}

AdminError missing(const Verb& verb, const char* what) {
  return {"bad_request", std::string(verb.name) + " needs " + what};
}

std::optional<AdminError> fill(const Json& json, const Verb& verb, const Config& config, AdminRequest& request) {
  if ((verb.needs & kVm) != 0) {
    if (!json.contains("vm")) return missing(verb, "a VM");
    const auto vm = find_vm(json["vm"], config);
    if (const auto* error = std::get_if<AdminError>(&vm)) return *error;
    request.vm = std::get<std::uint32_t>(vm);
  }
  request.pool = text_of(json, "pool");
  if ((verb.needs & kPool) != 0 && config.pool(request.pool) == nullptr) {
    std::string names;
    for (const PoolConfig& pool : config.pools) names += (names.empty() ? "" : ", ") + pool.name;
    return AdminError{"unknown_pool", "there is no pool \"" + request.pool + "\"; the pools are: " + names};
  }
  if ((verb.needs & kSession) != 0) {
    if (json.contains("session")) request.session = number(json["session"]);
    if (!request.session) return missing(verb, "the number of a session; vgpuctl sessions lists them");
  }
  request.key = text_of(json, "key");
  request.value = text_of(json, "value");
  if ((verb.needs & kKey) != 0 && request.key.empty()) return missing(verb, "what to set");
  if ((verb.needs & kValue) != 0 && request.value.empty()) return missing(verb, "a value");
  request.end = json.value("end", false);
  request.follow = json.value("follow", true);
  request.seconds = json.value("seconds", request.seconds);
  if (!(request.seconds > 0 && request.seconds <= kLongestProfile))
    return AdminError{"bad_value", "seconds: expected a number up to 3600"};
  return std::nullopt;
}

}  // namespace

std::variant<AdminRequest, AdminError> read_admin_request(const std::string& line, const Config& config) {
  try {
    const Json json = Json::parse(line);
    if (!json.is_object()) return AdminError{"bad_request", "a request is one JSON object on a line"};
    AdminRequest request;
    request.verb = text_of(json, "verb");
    for (const Verb& verb : kVerbs) {
      if (verb.name != request.verb) continue;
      if (const auto error = fill(json, verb, config, request)) return *error;
      return request;
    }
    return AdminError{"unknown_verb",
                      "vgpud knows no verb \"" + request.verb + "\"; vgpuctl may be of a later release"};
  } catch (const Json::exception& error) {
    return AdminError{"bad_request", std::string("not a request: ") + error.what()};
  }
}

std::string error_line(const AdminError& error) {
  return Json{{"ok", false}, {"code", error.code}, {"error", error.text}}.dump(-1, ' ', false,
                                                                               Json::error_handler_t::replace);
}

}  // namespace vgpu::daemon
