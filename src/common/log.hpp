#pragma once
#include <concepts>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

/// Structured log on stderr: one line for each event, `time=… level=… msg="…" key=value …`, so that grep answers
/// questions about it. Any thread.
namespace vgpu::log {

enum class Level { trace, debug, info, warn, error };

/// "trace" … "error"; nothing for any other text.
std::optional<Level> level_from_text(std::string_view text) noexcept;
const char* level_text(Level level) noexcept;

/// One `key=value` of a line. The value is quoted and escaped where it holds anything but plain characters: guests
/// choose some of these texts, and a line must stay one line.
class Field {
 public:
  Field(std::string_view key, std::string_view text);
  Field(std::string_view key, const char* text) : Field(key, std::string_view(text)) {}
  Field(std::string_view key, const std::string& text) : Field(key, std::string_view(text)) {}
  template <std::integral T>
  Field(std::string_view key, T number) : key_(key), value_(std::to_string(number)) {}

  std::string_view key() const noexcept { return key_; }
  const std::string& value() const noexcept { return value_; }

 private:
  std::string_view key_;
  std::string value_;
};

/// `text` as it stands in a line: as it is, or in quotes with \", \\, \n and \xNN.
std::string quoted(std::string_view text);

/// Sets the lowest level that is written. Call it once at the start; before it, the level is info.
void setup(Level level);
bool enabled(Level level) noexcept;

void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});

inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::debug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::info, message, fields);
}
inline void warn(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::warn, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::error, message, fields);
}

}  // namespace vgpu::log
