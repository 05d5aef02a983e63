#include "report.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace vgpu::bench {
namespace {

const char* unit_text(Unit unit) { return unit == Unit::microseconds ? "us" : "GB/s"; }

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + '"';
}

std::string spread(const Series& series) {
  return fmt::format("{:.2f} to {:.2f}", quantile(series.samples, 0.1), quantile(series.samples, 0.9));
}

std::string json_series(const Series& series) {
  return fmt::format("{{\"median\": {:.4f}, \"p10\": {:.4f}, \"p90\": {:.4f}, \"samples\": {}}}",
                     quantile(series.samples, 0.5), quantile(series.samples, 0.1), quantile(series.samples, 0.9),
                     series.samples.size());
}

}  // namespace

double quantile(std::vector<double> samples, double part) {
  std::sort(samples.begin(), samples.end());
  const double place = part * static_cast<double>(samples.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, samples.size() - 1);
  return samples[below] + (samples[above] - samples[below]) * (place - static_cast<double>(below));
}

void describe_machine(Results& results) {
  utsname names{};
  if (::uname(&names) == 0) results.machine = fmt::format("{}, {} {}", names.nodename, names.sysname, names.release);
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; results.cpu.empty() && std::getline(file, line);)
    if (line.starts_with("model name")) results.cpu = line.substr(line.find(':') + 2);
  results.cores = ::sysconf(_SC_NPROCESSORS_ONLN);
}

void print_table(const Results& results) {
  fmt::print("machine: {}\ncpu: {}, {} cores\ndevice: {}\n", results.machine, results.cpu, results.cores,
             results.device);
  fmt::print("medians over {} alternating runs of each side; in brackets 10th to 90th percentile of all samples\n\n",
             results.repetitions);
  fmt::print("{:<42} {:>9} {:<20} {:>9} {:<20} {:>7}\n", "", "native", "", "forwarded", "", "ratio");
  for (const std::string& name : results.order) {
    const auto native = results.native.find(name);
    const auto forwarded = results.forwarded.find(name);
    if (native == results.native.end() || forwarded == results.forwarded.end()) continue;
    const double a = quantile(native->second.samples, 0.5);
    const double b = quantile(forwarded->second.samples, 0.5);
    fmt::print("{:<42} {:>9.2f} {:<20} {:>9.2f} {:<20} {:>6.2f}x\n",
               fmt::format("{} [{}]", name, unit_text(native->second.unit)), a, "(" + spread(native->second) + ")", b,
               "(" + spread(forwarded->second) + ")", b / a);
  }
  for (const Series& series : results.memcpy_series)
    fmt::print("{:<42} {:>9.2f} {:<20}\n", fmt::format("{} [{}]", series.name, unit_text(series.unit)),
               quantile(series.samples, 0.5), "(" + spread(series) + ")");
  if (results.idle.known)
    fmt::print("\none idle session: daemon {:.2f} ms, executor {:.2f} ms of CPU time each second\n",
               results.idle.daemon, results.idle.executors);
  else
    fmt::print("\none idle session: not measured, the daemon is not ours\n");
}

void print_json(const Results& results) {
  fmt::print(
      "{{\"machine\": {}, \"cpu\": {}, \"cores\": {}, \"device\": {}, \"repetitions\": {},\n \"measurements\": [",
      quoted(results.machine), quoted(results.cpu), results.cores, quoted(results.device), results.repetitions);
  const char* separator = "\n  ";
  for (const std::string& name : results.order) {
    const auto native = results.native.find(name);
    const auto forwarded = results.forwarded.find(name);
    if (native == results.native.end() || forwarded == results.forwarded.end()) continue;
    fmt::print("{}{{\"name\": {}, \"unit\": \"{}\", \"native\": {}, \"forwarded\": {}}}", separator, quoted(name),
               unit_text(native->second.unit), json_series(native->second), json_series(forwarded->second));
    separator = ",\n  ";
  }
  fmt::print("],\n \"memcpy\": [");
  separator = "\n  ";
  for (const Series& series : results.memcpy_series) {
    fmt::print("{}{{\"name\": {}, \"unit\": \"{}\", \"value\": {}}}", separator, quoted(series.name),
               unit_text(series.unit), json_series(series));
    separator = ",\n  ";
  }
  fmt::print("]");
  if (results.idle.known)
    fmt::print(",\n \"idle_cpu_ms_per_s\": {{\"daemon\": {:.3f}, \"executors\": {:.3f}}}", results.idle.daemon,
               results.idle.executors);
  fmt::print("}}\n");
}

}  // namespace vgpu::bench
