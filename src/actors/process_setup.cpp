#include "actors/process_setup.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/journal.hpp"
#include "common/log.hpp"
#include "common/unique_fd.hpp"

namespace vgpu::daemon {
namespace {

/// Descriptors that a connection takes: socket, region, counters, doorbell twice, link, pidfd, its VM's account.
constexpr rlim_t kFdsOfConnection = 9;
constexpr rlim_t kFdsOfDaemon = 64;
/// Lines that `vgpuctl events` shows: a day of a quiet host, some seconds of a stormy one.
constexpr std::size_t kKeptEvents = 1000;

}  // namespace

void fill_standard_descriptors() {
  for (int fd = ::open("/dev/null", O_RDWR); fd >= 0; fd = ::open("/dev/null", O_RDWR))
    if (fd > STDERR_FILENO) {
      ::close(fd);
      break;
    }
}

void choose_log(const Config& config) {
  log::setup(config.log_level);
  log::keep_events(kKeptEvents);
  const bool to_journal =
      config.log_format == LogFormat::journald ||
      (config.log_format == LogFormat::automatic && config.log_file.empty() && log::stderr_is_journal());
  if (to_journal) log::set_writer(log::write_journal);
  if (config.log_format == LogFormat::json) log::set_writer(log::write_json);
}

bool redirect_log(const std::filesystem::path& file, std::string& error) {
  if (file.empty()) return true;
  const UniqueFd log(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (log && ::dup2(log.get(), STDERR_FILENO) >= 0) return true;
  error = "the log file " + file.string() + " cannot be opened: " + std::strerror(errno);
  return false;
}

std::size_t most_connections() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 64;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 1u << 16);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return std::max<rlim_t>((limit.rlim_cur - std::min(limit.rlim_cur, kFdsOfDaemon)) / kFdsOfConnection, 1);
}

}  // namespace vgpu::daemon
