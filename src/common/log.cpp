#include "common/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdio>
#include <memory>

namespace vgpu::log {
namespace {

constexpr std::array<const char*, 5> kNames{"trace", "debug", "info", "warn", "error"};
constexpr std::array<spdlog::level::level_enum, 5> kLevels{
    spdlog::level::trace, spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("vgpu", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("time=%Y-%m-%dT%H:%M:%S.%e%z level=%l %v");
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

bool plain(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("_./:+-@,%").find(c) != std::string_view::npos;
}

}  // namespace

std::optional<Level> level_from_text(std::string_view text) noexcept {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (text == kNames[i]) return static_cast<Level>(i);
  return std::nullopt;
}

const char* level_text(Level level) noexcept { return kNames[static_cast<std::size_t>(level)]; }

std::string quoted(std::string_view text) {
  bool all_plain = !text.empty();
  for (char c : text) all_plain = all_plain && plain(c);
  if (all_plain) return std::string(text);
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      std::array<char, 5> hex;
      std::snprintf(hex.data(), hex.size(), "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += hex.data();
    }
  }
  return out + '"';
}

Field::Field(std::string_view key, std::string_view text) : key_(key), value_(quoted(text)) {}

void setup(Level level) { logger().set_level(kLevels[static_cast<std::size_t>(level)]); }

bool enabled(Level level) noexcept { return logger().should_log(kLevels[static_cast<std::size_t>(level)]); }

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  if (!enabled(level)) return;
  std::string line = "msg=" + quoted(message);
  for (const Field& field : fields) {
    line += ' ';
    line += field.key();
    line += '=';
    line += field.value();
  }
  logger().log(kLevels[static_cast<std::size_t>(level)], "{}", line);
}

}  // namespace vgpu::log
