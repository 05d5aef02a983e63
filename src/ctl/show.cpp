#include "ctl/show.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ctl/text.hpp"

namespace vgpu::ctl {
namespace {

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return "-";
  std::string text = printable(found->is_string() ? found->get<std::string>() : found->dump());
  return text.empty() ? "-" : text;
}

double number_of(const Json& json, const char* key) { return json.value(key, 0.0); }

std::string list_text(const Json& list) {
  std::string text;
  for (const Json& entry : list)
    text += (text.empty() ? "" : ", ") + printable(entry.is_string() ? entry.get<std::string>() : entry.dump());
  return text.empty() ? "none" : text;
}

std::string table_text(const Table& table, const char* nothing) {
  if (table.empty()) return std::string(nothing) + "\n";
  std::string text;
  for (const std::string& line : table.lines()) text += line + "\n";
  return text;
}

std::string show_status(const Json& status) {
  std::string text;
  const auto line = [&](const char* name, const std::string& value) { text += fmt::format("{:<13}{}\n", name, value); };
  line("vgpud", fmt::format("{}, {}, up {}, pid {}", text_of(status, "version"),
                            status.at("healthy").get<bool>() ? "healthy" : "NOT HEALTHY",
                            duration_text(number_of(status, "uptime_seconds")), text_of(status, "pid")));
  for (const Json& problem : status.at("problems")) line("problem", printable(problem.get<std::string>()));
  line("VMs", fmt::format("{} configured, {} active", text_of(status, "vms"), text_of(status, "vms_active")));
  line("sessions", text_of(status, "sessions"));
  line("pools", text_of(status, "pools"));
  line("GPUs", text_of(status, "gpus"));
  line("quarantined", list_text(status.at("quarantined")));
  line("drained", list_text(status.at("drained")));
  for (const auto& [name, key] : {std::pair{"config", "config"},
                                  {"state", "state"},
                                  {"socket", "socket"},
                                  {"QEMU socket", "qemu_socket"},
                                  {"admin socket", "admin_socket"},
                                  {"metrics", "metrics"},
                                  {"log level", "log_level"}})
    line(name, text_of(status, key));
  return text;
}

std::string set_text(const Json& values) {
  std::string text;
  for (const auto& [key, value] : values.items())
    text += (text.empty() ? "" : " ") + key + "=" + printable(value.get<std::string>());
  return text;
}

std::string show_vms(const Json& vms) {
  Table table({">VM", "NAME", "POOL", "STATE", "PRIORITY", ">WEIGHT", ">MEMORY", ">LIMIT", ">SESSIONS", ">CALLS",
               ">GPU TIME", ">FAULTS", "SET BY OPERATORS"});
  for (const Json& vm : vms)
    table.add({text_of(vm, "id"), text_of(vm, "name"), text_of(vm, "pool"), text_of(vm, "state"),
               text_of(vm, "priority"), text_of(vm, "weight"), bytes_text(number_of(vm, "memory_used_bytes")),
               vm.at("limits").contains("memory") ? bytes_text(number_of(vm.at("limits"), "memory")) : "-",
               text_of(vm, "sessions"), count_text(number_of(vm, "calls")),
               fmt::format("{:.1f} s", number_of(vm, "gpu_seconds")), text_of(vm, "faults"), set_text(vm.at("set"))});
  return table_text(table, "no VMs");
}

std::string show_sessions(const Json& sessions) {
  Table table(
      {">SESSION", ">VM", "POOL", ">PID", ">UID", "PROCESS", ">AGE", ">MEMORY", ">CALLS", ">KERNELS", ">GPU TIME"});
  for (const Json& session : sessions)
    table.add({text_of(session, "session"), text_of(session, "vm"), text_of(session, "pool"), text_of(session, "pid"),
               text_of(session, "uid"), text_of(session, "process"), duration_text(number_of(session, "age_seconds")),
               bytes_text(number_of(session, "memory_used_bytes")), count_text(number_of(session, "calls")),
               count_text(number_of(session, "kernels")), fmt::format("{:.1f} s", number_of(session, "gpu_seconds"))});
  return table_text(table, "no sessions");
}

std::string show_pools(const Json& pools) {
  Table table({"POOL", "STATE", "POLICY", ">QUANTUM", ">FLOOR", ">VMS", ">SESSIONS", ">MEMORY", "GPUS"});
  for (const Json& pool : pools) {
    std::string gpus;
    for (const Json& gpu : pool.at("gpus"))
      gpus += (gpus.empty() ? "" : ", ") + text_of(gpu, "gpu") + (gpu.at("healthy") ? "" : " (unhealthy)");
    const bool fair = pool.at("policy") == "fair";
    table.add({text_of(pool, "name"), text_of(pool, "state"), text_of(pool, "policy"),
               fair ? short_time_text(number_of(pool, "quantum_microseconds") / 1e6) : "-",
               fair ? percent_text(number_of(pool, "floor_percent") / 100) : "-", text_of(pool, "vms"),
               text_of(pool, "sessions"), bytes_text(number_of(pool, "memory_used_bytes")), gpus});
  }
  return table_text(table, "no pools");
}

std::string show_gpus(const Json& gpus) {
  Table table({">GPU", "NAME", "UUID", "HEALTH", "POOLS", ">UTIL", ">MEMORY", ">OF", ">TEMP", ">POWER", "DRIVER"});
  std::string reasons;
  for (const Json& gpu : gpus) {
    const bool healthy = gpu.at("healthy");
    const auto sensor = [&](const char* key, const char* format) {
      return gpu.contains(key) ? fmt::format(fmt::runtime(format), number_of(gpu, key)) : "-";
    };
    table.add({text_of(gpu, "index"), text_of(gpu, "name"), text_of(gpu, "uuid"), healthy ? "healthy" : "UNHEALTHY",
               list_text(gpu.at("pools")), gpu.contains("utilization") ? percent_text(gpu["utilization"]) : "-",
               gpu.contains("memory_used_bytes") ? bytes_text(gpu["memory_used_bytes"]) : "-",
               bytes_text(number_of(gpu, "memory_bytes")), sensor("temperature_celsius", "{:.0f} C"),
               sensor("power_watts", "{:.0f} W"), text_of(gpu, "driver_version")});
    if (!healthy) reasons += text_of(gpu, "uuid") + ": " + text_of(gpu, "reason") + "\n";
  }
  return table_text(table, "no GPUs that vgpud can watch") + reasons;
}

std::string show_profile(const Json& profile) {
  std::string text = fmt::format("session {} of VM {} ({}): {:.1f} s{}\n", text_of(profile, "session"),
                                 text_of(profile, "vm"), text_of(profile, "process"), number_of(profile, "seconds"),
                                 profile.at("ended").get<bool>() ? ", it has ended" : "");
  Table table({"CALL", ">COUNT", ">BYTES", ">TIME", ">MEAN"});
  for (const Json& call : profile.at("calls")) {
    const double seconds = number_of(call, "seconds"), count = number_of(call, "count");
    const double bytes = number_of(call, "bytes");
    table.add({text_of(call, "call"), text_of(call, "count"), bytes != 0 ? bytes_text(bytes) : "-",
               short_time_text(seconds), short_time_text(count > 0 ? seconds / count : 0)});
  }
  return text + table_text(table, "no calls");
}

/// " (not kept over a restart: …)" where that is so, and what was ended.
std::string consequences(const Json& answer) {
  std::string text;
  if (answer.contains("ended")) text += "; ended sessions: " + list_text(answer["ended"]);
  text += "\n";
  if (!answer.value("kept", true)) text += "this ends with vgpud: " + text_of(answer, "not_kept") + "\n";
  return text;
}

}  // namespace

std::string show(const std::string& verb, const Json& answer) {
  if (verb == "status") return show_status(answer.at("status"));
  if (verb == "vms") return show_vms(answer.at("vms"));
  if (verb == "sessions") return show_sessions(answer.at("sessions"));
  if (verb == "pools") return show_pools(answer.at("pools"));
  if (verb == "gpus") return show_gpus(answer.at("gpus"));
  if (verb == "profile") return show_profile(answer.at("profile"));
  if (verb == "set")
    return fmt::format("VM {}: {} is {}", text_of(answer, "vm"), text_of(answer, "key"),
                       answer.at("value") == "default" ? "as the configuration says" : text_of(answer, "value")) +
           consequences(answer);
  if (verb == "drain" || verb == "resume")
    return "pool " + text_of(answer, "pool") + " is " + text_of(answer, "state") + consequences(answer);
  if (verb == "quarantine" || verb == "release")
    return "VM " + text_of(answer, "vm") + " is " + text_of(answer, "state") +
           (answer.value("changed", true) ? "" : " already") + consequences(answer);
  if (verb == "kill") return "ended session " + list_text(answer.at("ended")) + "\n";
  if (verb == "reload") return "reloaded: " + text_of(answer, "pools") + " pools, " + text_of(answer, "vms") + " VMs\n";
  if (verb == "log-level") return "the log's level is " + text_of(answer, "log_level") + "\n";
  return answer.dump() + "\n";
}

std::string show_event(const Json& event) {
  std::string text = time_text(number_of(event, "time")) + "  " + fmt::format("{:<5}  ", text_of(event, "level")) +
                     text_of(event, "event");
  for (const auto& [key, value] : event.items())
    if (key != "time" && key != "level" && key != "event")
      text += "  " + key + "=" + printable(value.is_string() ? value.get<std::string>() : value.dump());
  return text + "\n";
}

std::string show_call(const Json& call) {
  if (call.contains("lost"))
    return fmt::format("-- {} calls of session {} came faster than they could be shown\n", text_of(call, "lost"),
                       text_of(call, "session"));
  return fmt::format("{}  session={}  {}  {}\n", time_text(number_of(call, "time")), text_of(call, "session"),
                     text_of(call, "call"), text_of(call, "text"));
}

}  // namespace vgpu::ctl
