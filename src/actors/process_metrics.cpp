#include "actors/process_metrics.hpp"

#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>

#include "actors/metric_family.hpp"

namespace vgpu::daemon {
namespace {

using prometheus::MetricType;

std::string text_of(const char* file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// Of /proc/self/stat (see proc(5)), fields by their number there.
class Stat {
 public:
  Stat() {
    const std::string text = text_of("/proc/self/stat");
    // The second field is the program's name, which may hold anything.
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) return;
    std::istringstream rest(text.substr(name_end + 1));
    for (std::string field; rest >> field;) fields_.push_back(std::move(field));
  }
  std::optional<double> operator[](std::size_t number) const {
    constexpr std::size_t kFirst = 3;
    if (number - kFirst >= fields_.size()) return std::nullopt;
    return std::strtod(fields_[number - kFirst].c_str(), nullptr);
  }

 private:
  std::vector<std::string> fields_;
};

std::optional<double> start_time(const Stat& stat) {
  constexpr std::size_t kStart = 22;  // in clock ticks since the machine's start
  const std::string all = text_of("/proc/stat");
  const std::size_t at = all.find("\nbtime ");
  const auto ticks = stat[kStart];
  if (at == std::string::npos || !ticks) return std::nullopt;
  return std::strtod(all.c_str() + at + 7, nullptr) + *ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::optional<double> open_files() {
  std::error_code failure;
  std::filesystem::directory_iterator folder("/proc/self/fd", failure);
  if (failure) return std::nullopt;
  double count = -1;  // the folder itself
  for (const auto end = std::filesystem::directory_iterator(); folder != end; folder.increment(failure)) ++count;
  return count;
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

std::vector<prometheus::MetricFamily> process_metrics() {
  constexpr std::size_t kThreads = 20, kVirtualBytes = 23, kResidentPages = 24;
  const Stat stat;
  std::vector<prometheus::MetricFamily> families;
  const auto add = [&](const char* name, const char* help, std::optional<double> value,
                       MetricType type = MetricType::Gauge) {
    if (!value) return;
    Family family(name, help, type);
    family.add({}, *value);
    families.push_back(family.take());
  };
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0)
    add("process_cpu_seconds_total", "Processor time of vgpud itself, user and system.",
        seconds(usage.ru_utime) + seconds(usage.ru_stime), MetricType::Counter);
  const auto pages = stat[kResidentPages];
  if (pages)
    add("process_resident_memory_bytes", "Memory of vgpud itself that is resident.",
        *pages * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  add("process_virtual_memory_bytes", "Address space of vgpud itself.", stat[kVirtualBytes]);
  add("process_threads", "Threads of vgpud itself.", stat[kThreads]);
  add("process_start_time_seconds", "When vgpud was started, since the epoch.", start_time(stat));
  add("process_open_fds", "Open file descriptors of vgpud itself.", open_files());
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
    add("process_max_fds", "File descriptors that vgpud may open.", static_cast<double>(files.rlim_cur));
  return families;
}

}  // namespace vgpu::daemon
