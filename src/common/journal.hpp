#pragma once
#include <string>
#include <vector>

#include "common/log.hpp"

/// The log in systemd's journal, by its own protocol: each field of a line is a field there.
namespace vgpu::log {

/// True if stderr is the journal's stream, as systemd connects a service.
bool stderr_is_journal() noexcept;

/// The journal's fields of a line, each "NAME=value": MESSAGE with the line as text, PRIORITY, and each of the line's
/// fields as VGPU_NAME; vm, pool and session also as VM, POOL and SESSION.
std::vector<std::string> journal_fields(Level level, std::string_view message, std::span<const Field> fields);

/// A Writer. Lines that the journal does not take go to stderr.
void write_journal(Level level, std::string_view message, std::span<const Field> fields);

}  // namespace vgpu::log
