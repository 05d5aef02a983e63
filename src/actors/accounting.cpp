#include "actors/accounting.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "common/unique_fd.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {
namespace {

using Account = MetricsStore::Account;
using protocol::SessionStats;

std::string day_of(Accounting::Time time) {
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}
std::string text_of(Accounting::Time time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

/// Seconds with a resolution that a bill needs.
double seconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; }

/// What was used between two sums; an empty object if nothing was.
nlohmann::ordered_json used_between(const Account& before, const Account& after) {
  const Totals &a = before.totals, &b = after.totals;
  const std::uint64_t leases = b.waits.count() - a.waits.count();
  if (b.calls == a.calls && b.gpu_nanoseconds == a.gpu_nanoseconds && leases == 0 &&
      b.memory_byte_seconds == a.memory_byte_seconds && after.faults == before.faults)
    return {};
  nlohmann::ordered_json line;
  line["vm"] = after.vm;
  if (after.vm == protocol::kNoVm) line["vm"] = "other";
  line["pool"] = after.pool;
  line["gpu_seconds"] = seconds(b.gpu_nanoseconds - a.gpu_nanoseconds);
  line["memory_byte_seconds"] = b.memory_byte_seconds - a.memory_byte_seconds;
  line["calls"] = b.calls - a.calls;
  line["kernels"] = b.kernels - a.kernels;
  for (std::uint32_t i = 0; i < SessionStats::kDirections; ++i)
    line[std::string(protocol::direction_name(i)) + "_bytes"] = b.copied[i] - a.copied[i];
  line["leases"] = leases;
  line["wait_seconds"] = seconds(b.waits.nanoseconds - a.waits.nanoseconds);
  line["faults"] = after.faults - before.faults;
  return line;
}

/// Cuts a line without its end off, which a crash or a full disk left. Nothing: the size of what is whole; -1: an
/// error, in errno.
off_t whole_lines(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return -1;
  off_t end = status.st_size;
  std::array<char, 4096> part;
  while (end > 0) {
    const off_t begin = std::max<off_t>(end - static_cast<off_t>(part.size()), 0);
    const ssize_t got = ::pread(file, part.data(), static_cast<std::size_t>(end - begin), begin);
    if (got != end - begin) return -1;
    if (const void* newline = ::memrchr(part.data(), '\n', static_cast<std::size_t>(got))) {
      end = begin + (static_cast<const char*>(newline) - part.data()) + 1;
      break;
    }
    end = begin;
  }
  if (end != status.st_size && ::ftruncate(file, end) != 0) return -1;
  return end;
}

}  // namespace

std::unique_ptr<Accounting> Accounting::open(const std::filesystem::path& folder, Time now, std::string& error) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    error = "the accounting folder " + folder.string() + " cannot be written: " + std::strerror(errno) +
            "; name another one with state in [daemon]";
    return nullptr;
  }
  return std::unique_ptr<Accounting>(new Accounting(folder, now));
}

bool Accounting::write(const std::vector<Account>& accounts, Time now, std::string& error) {
  std::string lines;
  for (const Account& account : accounts) {
    nlohmann::ordered_json used = used_between(written_[{account.vm, account.pool}], account);
    if (used.empty()) continue;
    nlohmann::ordered_json line{{"from", text_of(from_)}, {"to", text_of(now)}};
    line.update(used);
    lines += line.dump() + '\n';
  }
  if (!lines.empty()) {
    const std::filesystem::path path = folder_ / (day_of(from_) + ".jsonl");
    const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    const off_t end = file ? whole_lines(file.get()) : -1;
    const ssize_t written = end < 0 ? -1 : ::write(file.get(), lines.data(), lines.size());
    if (written != static_cast<ssize_t>(lines.size()) || ::fdatasync(file.get()) != 0) {
      error = path.string() + ": " + (written >= 0 && errno == 0 ? "no space" : std::strerror(errno));
      if (written > 0) static_cast<void>(::ftruncate(file.get(), end) == 0);
      return false;
    }
  }
  for (const Account& account : accounts) written_[{account.vm, account.pool}] = account;
  from_ = now;
  return true;
}

}  // namespace vgpu::daemon
