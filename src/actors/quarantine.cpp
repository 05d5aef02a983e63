#include "actors/quarantine.hpp"

#include <fmt/chrono.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>

#include "actors/state_file.hpp"
#include "protocol/end_reason.hpp"

namespace vgpu::daemon {
namespace fs = std::filesystem;
namespace {

/// The number that a file's name is; nothing if it is none.
std::optional<std::uint32_t> vm_of(const std::string& name) {
  std::uint32_t vm = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), vm);
  return error == std::errc() && end == name.data() + name.size() ? std::optional(vm) : std::nullopt;
}

std::string time_text(Quarantine::Time time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

}  // namespace

std::unique_ptr<Quarantine> Quarantine::open(const fs::path& folder, std::string& error) {
  std::error_code failure;
  if (!folder.empty()) {
    fs::create_directories(folder, failure);
    if (failure || ::access(folder.c_str(), R_OK | W_OK | X_OK) != 0) {
      error = "the folder " + folder.string() +
              " can't be used: " + (failure ? failure.message() : std::strerror(errno)) +
              "; name another one with state in [daemon], or \"off\"";
      return nullptr;
    }
  }
  std::unique_ptr<Quarantine> made(new Quarantine(folder));
  made->refresh();
  return made;
}

bool Quarantine::counts(vgpu_end_reason reason) noexcept {
  switch (reason) {
    case VGPU_END_NONE:
    case VGPU_END_CLOSED:
    case VGPU_END_DAEMON_STOPPED:
    case VGPU_END_KILLED:
    case VGPU_END_EXECUTOR_START:
    case VGPU_END_VERSION:
    case VGPU_END_LIMIT:
      return false;
    default:
      return true;
  }
}

bool Quarantine::fault(std::uint32_t vm, vgpu_end_reason reason, const QuarantineTerms& terms, Time now,
                       std::string& error) {
  if (vm == 0 || terms.faults == 0 || !counts(reason)) return false;
  const std::lock_guard lock(mutex_);
  if (quarantined_.contains(vm)) return false;
  std::deque<Time>& seen = faults_[vm];
  seen.push_back(now);
  while (now - seen.front() > terms.window) seen.pop_front();
  if (seen.size() < terms.faults) return false;
  quarantined_.insert(vm);
  faults_.erase(vm);
  if (folder_.empty()) return true;
  const nlohmann::ordered_json what{{"vm", vm},
                                    {"since", time_text(now)},
                                    {"by", "faults"},
                                    {"faults", terms.faults},
                                    {"window_seconds", terms.window.count()},
                                    {"last_fault", protocol::end_reason_text(reason)}};
  keep(vm, what.dump(), error);
  return true;
}

void Quarantine::keep(std::uint32_t vm, const std::string& what, std::string& error) const {
  const fs::path path = folder_ / std::to_string(vm);
  if (!write_state_file(path, what + "\n")) error = path.string() + ": " + std::strerror(errno);
}

bool Quarantine::impose(std::uint32_t vm, Time now, std::string& error) {
  const std::lock_guard lock(mutex_);
  if (!quarantined_.insert(vm).second) return false;
  faults_.erase(vm);
  const nlohmann::ordered_json what{{"vm", vm}, {"since", time_text(now)}, {"by", "operator"}};
  if (!folder_.empty()) keep(vm, what.dump(), error);
  return true;
}

bool Quarantine::lift(std::uint32_t vm, std::string& error) {
  const std::lock_guard lock(mutex_);
  if (quarantined_.erase(vm) == 0) return false;
  faults_.erase(vm);
  const fs::path path = folder_ / std::to_string(vm);
  if (!folder_.empty() && ::unlink(path.c_str()) != 0 && errno != ENOENT)
    error = path.string() + ": " + std::strerror(errno);
  return true;
}

bool Quarantine::holds(std::uint32_t vm) const {
  const std::lock_guard lock(mutex_);
  return quarantined_.contains(vm);
}

std::set<std::uint32_t> Quarantine::all() const {
  const std::lock_guard lock(mutex_);
  return quarantined_;
}

void Quarantine::refresh() {
  std::set<std::uint32_t> found;
  std::error_code failure;
  if (!folder_.empty())
    for (const auto& entry : fs::directory_iterator(folder_, failure))
      if (const auto vm = vm_of(entry.path().filename())) found.insert(*vm);
  const std::lock_guard lock(mutex_);
  // Of a folder that can't be read nothing is known: nobody is freed by that.
  if (!failure) quarantined_ = std::move(found);
}

}  // namespace vgpu::daemon
