#include "ctl/top_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "ctl/text.hpp"

namespace vgpu::ctl {
namespace {

constexpr std::array<const char*, 6> kSortNames{"share", "memory", "calls", "waits", "sessions", "name"};
constexpr std::size_t kBar = 24;

const Json* find_by(const Json& list, const char* key, const Json& value) {
  for (const Json& entry : list)
    if (entry.at(key) == value) return &entry;
  return nullptr;
}

double grown(const Json& before, const Json& after, const char* key) {
  return std::max(after.at(key).get<double>() - before.at(key).get<double>(), 0.0);
}

/// The 99th percentile of waits between the two, by their histogram.
std::optional<double> wait_p99(const Json& before, const Json& after) {
  const auto bounds = after.at("lease_waits").at("bounds_seconds").get<std::vector<double>>();
  const auto was = before.at("lease_waits").at("counts").get<std::vector<double>>();
  auto counts = after.at("lease_waits").at("counts").get<std::vector<double>>();
  double sum = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (i < was.size()) counts[i] = std::max(counts[i] - was[i], 0.0);
    sum += counts[i];
  }
  if (sum == 0) return std::nullopt;
  double seen = 0;
  for (std::size_t i = 0; i < counts.size() && i < bounds.size(); ++i) {
    if (counts[i] != 0 && seen + counts[i] >= 0.99 * sum) {
      const double lower = i == 0 ? 0 : bounds[i - 1];
      return lower + (bounds[i] - lower) * (0.99 * sum - seen) / counts[i];
    }
    seen += counts[i];
  }
  return bounds.back();
}

TopGpu gpu_of(const Json& json) {
  TopGpu gpu;
  gpu.name = printable(json.at("name").get<std::string>());
  gpu.healthy = json.at("healthy");
  gpu.memory = json.at("memory_bytes");
  gpu.memory_used = json.value("memory_used_bytes", std::uint64_t{0});
  if (json.contains("utilization")) gpu.utilization = json["utilization"].get<double>();
  if (json.contains("temperature_celsius"))
    gpu.sensors += fmt::format("  {:.0f} C", json["temperature_celsius"].get<double>());
  if (json.contains("power_watts")) gpu.sensors += fmt::format("  {:.0f} W", json["power_watts"].get<double>());
  return gpu;
}

TopVm vm_of(const Json& before, const Json& after, double seconds) {
  TopVm vm;
  vm.id = after.at("id");
  vm.name = printable(after.at("name").get<std::string>());
  vm.pool = printable(after.at("pool").get<std::string>());
  vm.state = after.at("state");
  vm.priority = after.at("priority");
  vm.weight = after.at("weight");
  vm.sessions = after.at("sessions");
  vm.faults = after.at("faults");
  vm.memory = after.at("memory_used_bytes");
  vm.memory_limit = after.at("limits").value("memory", std::uint64_t{0});
  if (seconds > 0) {
    vm.share = grown(before, after, "gpu_seconds") / seconds;
    vm.calls = grown(before, after, "calls") / seconds;
  }
  vm.wait_p99 = wait_p99(before, after);
  return vm;
}

bool comes_first(const TopVm& a, const TopVm& b, SortKey key) {
  switch (key) {
    case SortKey::share:
      if (a.share != b.share) return a.share > b.share;
      break;
    case SortKey::memory:
      if (a.memory != b.memory) return a.memory > b.memory;
      break;
    case SortKey::calls:
      if (a.calls != b.calls) return a.calls > b.calls;
      break;
    case SortKey::waits:
      if (a.wait_p99 != b.wait_p99) return a.wait_p99.value_or(-1) > b.wait_p99.value_or(-1);
      break;
    case SortKey::sessions:
      if (a.sessions != b.sessions) return a.sessions > b.sessions;
      break;
    case SortKey::name:
      if (a.name != b.name) return a.name < b.name;
      break;
  }
  return a.id < b.id;
}

Line bar(const char* name, double part, const std::string& text) {
  const std::size_t room = kBar - std::min(text.size(), kBar);
  const auto filled = static_cast<std::size_t>(std::clamp(part, 0.0, 1.0) * static_cast<double>(kBar) + 0.5);
  std::string full(std::min(filled, room), '|');
  std::string empty(room - full.size(), ' ');
  const Style style = part > 0.9 ? Style::warning : Style::bar;
  return {{std::string(name) + "["}, {full, style}, {empty + text + "]"}};
}

Line gpu_line(const TopGpu& gpu, std::size_t number) {
  Line line{{fmt::format("GPU {} {:<20.20}", number, gpu.name), Style::bold}};
  const auto append = [&](Line more) { line.insert(line.end(), more.begin(), more.end()); };
  append(bar(" util", gpu.utilization.value_or(0), gpu.utilization ? percent_text(*gpu.utilization) : "n/a"));
  const double used = static_cast<double>(gpu.memory_used), all = static_cast<double>(gpu.memory);
  append(bar("  mem", all > 0 ? used / all : 0, bytes_text(used) + "/" + bytes_text(all)));
  if (!gpu.sensors.empty()) line.push_back({gpu.sensors});
  if (!gpu.healthy) line.push_back({"  UNHEALTHY", Style::bad});
  return line;
}

Line pool_line(const TopPool& pool) {
  Line line{{fmt::format("pool {:<12}", pool.name), Style::bold},
            {fmt::format(" {:<10}  {} GPU{}  busy {:>4}  {} session{} of {} VM{}  ", pool.policy, pool.gpus,
                         pool.gpus == 1 ? "" : "s", percent_text(pool.busy), pool.sessions,
                         pool.sessions == 1 ? "" : "s", pool.vms, pool.vms == 1 ? "" : "s")}};
  line.push_back({pool.state, pool.state == "open" ? Style::good : Style::warning});
  return line;
}

Line vm_line(const TopVm& vm, const std::string& text) {
  if (vm.state == "quarantined") return {{text, Style::bad}};
  return {{text, vm.sessions != 0 ? Style::bold : Style::plain}};
}

Table vm_table(const TopView& view) {
  Table table({">VM", "NAME", "POOL", "STATE", "PRIO", ">WEIGHT", ">GPU", ">DUE", ">MEMORY", ">LIMIT", ">CALLS/S",
               ">WAIT P99", ">SESS", ">FAULTS"});
  for (const TopVm& vm : view.vms_by_key)
    table.add({std::to_string(vm.id), vm.name.empty() ? "-" : vm.name, vm.pool.empty() ? "-" : vm.pool, vm.state,
               vm.priority, std::to_string(vm.weight), fmt::format("{:.1f}%", vm.share * 100),
               vm.sessions != 0 ? percent_text(vm.due) : "-", bytes_text(static_cast<double>(vm.memory)),
               vm.memory_limit != 0 ? bytes_text(static_cast<double>(vm.memory_limit)) : "-", count_text(vm.calls),
               vm.wait_p99 ? short_time_text(*vm.wait_p99) : "-", std::to_string(vm.sessions),
               std::to_string(vm.faults)});
  return table;
}

/// Cuts a line to the screen's width.
void cut(Line& line, std::size_t width) {
  std::size_t used = 0;
  for (Piece& piece : line) {
    if (piece.text.size() > width - used) piece.text.resize(width - used);
    used += piece.text.size();
  }
}

}  // namespace

std::optional<SortKey> parse_sort_key(const std::string& text) {
  for (std::size_t i = 0; i < kSortNames.size(); ++i)
    if (text == kSortNames[i]) return static_cast<SortKey>(i);
  return std::nullopt;
}

TopView top_view(const Json& before, const Json& after, SortKey sort, bool reverse) {
  const double seconds = after.at("clock_seconds").get<double>() - before.at("clock_seconds").get<double>();
  const Json& status = after.at("status");
  TopView view;
  view.version = status.at("version");
  view.uptime = status.at("uptime_seconds");
  view.sessions = status.at("sessions");
  view.vms = status.at("vms");
  view.active = status.at("vms_active");
  view.healthy = status.at("healthy");
  for (const Json& problem : status.at("problems"))
    view.problems += (view.problems.empty() ? "" : "; ") + printable(problem.get<std::string>());
  for (const Json& gpu : after.at("gpus")) view.gpus.push_back(gpu_of(gpu));
  std::map<std::string, double> gpus, weights;
  for (const Json& json : after.at("pools")) {
    TopPool pool{json.at("name"),
                 json.at("policy"),
                 json.at("state"),
                 json.at("gpus").size(),
                 json.at("sessions"),
                 json.at("vms_active"),
                 0};
    const Json* const was = find_by(before.at("pools"), "name", json.at("name"));
    gpus[pool.name] = static_cast<double>(std::max<std::uint64_t>(pool.gpus, 1));
    if (was != nullptr && seconds > 0) pool.busy = grown(*was, json, "gpu_seconds") / seconds / gpus[pool.name];
    view.pools.push_back(std::move(pool));
  }
  for (const Json& json : after.at("vms")) {
    const Json* const was = find_by(before.at("vms"), "id", json.at("id"));
    TopVm vm = vm_of(was != nullptr ? *was : json, json, seconds);
    vm.share /= std::max(gpus[vm.pool], 1.0);
    if (vm.sessions != 0) weights[vm.pool] += static_cast<double>(vm.weight);
    view.vms_by_key.push_back(std::move(vm));
  }
  for (TopVm& vm : view.vms_by_key)
    if (vm.sessions != 0) vm.due = static_cast<double>(vm.weight) / weights[vm.pool];
  std::sort(view.vms_by_key.begin(), view.vms_by_key.end(), [&](const TopVm& a, const TopVm& b) {
    return reverse ? comes_first(b, a, sort) : comes_first(a, b, sort);
  });
  return view;
}

std::vector<Line> top_lines(const TopView& view, std::size_t width, SortKey sort) {
  std::vector<Line> lines;
  lines.push_back(
      {{"vgpud " + view.version, Style::bold},
       {fmt::format("  up {}  {} session{}  {} of {} VMs active  sorted by {}  ", duration_text(view.uptime),
                    view.sessions, view.sessions == 1 ? "" : "s", view.active, std::max(view.vms, view.active),
                    kSortNames[static_cast<std::size_t>(sort)])},
       {view.healthy ? "healthy" : "UNHEALTHY: " + view.problems, view.healthy ? Style::good : Style::bad}});
  for (std::size_t i = 0; i < view.gpus.size(); ++i) lines.push_back(gpu_line(view.gpus[i], i));
  for (const TopPool& pool : view.pools) lines.push_back(pool_line(pool));
  lines.push_back({});
  const std::vector<std::string> table = vm_table(view).lines();
  std::string heading = table.front();
  heading.resize(std::max(heading.size(), std::min<std::size_t>(width, 4096)), ' ');
  lines.push_back({{heading, Style::heading}});
  for (std::size_t i = 1; i < table.size(); ++i) lines.push_back(vm_line(view.vms_by_key[i - 1], table[i]));
  for (Line& line : lines) cut(line, width);
  return lines;
}

}  // namespace vgpu::ctl
