#pragma once
#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Structured log on stderr: one line for each event, `time=… level=… msg="…" key=value …`, so that grep answers
/// questions about it; or as JSON, or wherever a writer puts it. Any thread.
namespace vgpu::log {

enum class Level { trace, debug, info, warn, error };

/// "trace" … "error"; nothing for any other text.
std::optional<Level> level_from_text(std::string_view text) noexcept;
const char* level_text(Level level) noexcept;

/// One `key=value` of a line. In text the value is quoted and escaped where it holds anything but plain characters:
/// guests choose some of these texts, and a line must stay one line.
class Field {
 public:
  Field(std::string_view key, std::string_view text) : key_(key), value_(text) {}
  Field(std::string_view key, const char* text) : Field(key, std::string_view(text)) {}
  Field(std::string_view key, const std::string& text) : Field(key, std::string_view(text)) {}
  template <std::integral T>
  Field(std::string_view key, T number) : key_(key), value_(std::to_string(number)), number_(true) {}

  std::string_view key() const noexcept { return key_; }
  const std::string& value() const noexcept { return value_; }
  bool is_number() const noexcept { return number_; }

 private:
  std::string_view key_;
  std::string value_;
  bool number_ = false;
};

/// `text` as it stands in a line: as it is, or in quotes with \", \\, \n and \xNN.
std::string quoted(std::string_view text);
/// ` key=value` for each field, as they stand in a line.
std::string fields_text(std::span<const Field> fields);
/// The reverse: keys and values of such a text. Words without a key belong to the value before them.
std::vector<std::pair<std::string, std::string>> parse_fields(std::string_view text);

/// Puts a line somewhere. Any thread.
using Writer = void (*)(Level level, std::string_view message, std::span<const Field> fields);
/// Lines of text on stderr; the default.
void write_text(Level level, std::string_view message, std::span<const Field> fields);
/// One JSON object a line on stderr: time, level, msg and the fields.
void write_json(Level level, std::string_view message, std::span<const Field> fields);
/// What write_json() writes, without the end of the line.
std::string json_line(std::chrono::system_clock::time_point time, Level level, std::string_view message,
                      std::span<const Field> fields);

/// Sets the lowest level that is written; before it, the level is info.
void setup(Level level);
Level level() noexcept;
/// Where lines go from now on.
void set_writer(Writer writer);
bool enabled(Level level) noexcept;

/// A line that was kept for those who ask what happened.
struct Event {
  std::uint64_t number = 0;  ///< ascending, from 1
  std::chrono::system_clock::time_point time;
  Level level = Level::info;
  std::string message;
  struct Value {
    std::string key, text;
    bool is_number = false;
  };
  std::vector<Value> fields;
};
/// Keeps the last `most` lines of level info and above, whatever is written. 0, the default: none.
void keep_events(std::size_t most);
/// Those kept with numbers above this one, oldest first.
std::vector<Event> events_after(std::uint64_t number);

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
