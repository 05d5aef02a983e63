#include "common/journal.hpp"

#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <cstdlib>

namespace vgpu::log {
namespace {

int priority(Level level) noexcept {
  switch (level) {
    case Level::error:
      return LOG_ERR;
    case Level::warn:
      return LOG_WARNING;
    case Level::info:
      return LOG_INFO;
    default:
      return LOG_DEBUG;
  }
}

/// A name that the journal takes: capitals, digits and underscores.
std::string upper(std::string_view key) {
  std::string name;
  for (const char c : key) {
    const bool small = c >= 'a' && c <= 'z';
    const bool good = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += small ? static_cast<char>(c - 'a' + 'A') : good ? c : '_';
  }
  return name;
}

}  // namespace

bool stderr_is_journal() noexcept {
  const char* const stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0) return false;
  return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) == stream;
}

std::vector<std::string> journal_fields(Level level, std::string_view message, std::span<const Field> fields) {
  std::vector<std::string> all;
  all.push_back("MESSAGE=" + std::string(message) + fields_text(fields));
  all.push_back("PRIORITY=" + std::to_string(priority(level)));
  for (const Field& field : fields) {
    const std::string name = upper(field.key());
    if (name == "VM" || name == "POOL" || name == "SESSION") all.push_back(name + '=' + field.value());
    all.push_back("VGPU_" + name + '=' + field.value());
  }
  return all;
}

void write_journal(Level level, std::string_view message, std::span<const Field> fields) {
  std::vector<std::string> all = journal_fields(level, message, fields);
  all.push_back("SYSLOG_IDENTIFIER=vgpud");
  std::vector<iovec> parts;
  for (std::string& field : all) parts.push_back({field.data(), field.size()});
  if (::sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) != 0) write_text(level, message, fields);
}

}  // namespace vgpu::log
