#include "common/log.hpp"

#include <fmt/chrono.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>

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

spdlog::level::level_enum spd(Level level) noexcept { return kLevels[static_cast<std::size_t>(level)]; }

std::atomic<Writer> current_writer{write_text};

struct Kept {
  std::mutex mutex;
  std::size_t most = 0;
  std::uint64_t last = 0;
  std::deque<Event> events;
};

Kept& kept() {
  static Kept instance;
  return instance;
}

void keep(Level level, std::string_view message, std::span<const Field> fields) {
  Kept& all = kept();
  const std::lock_guard lock(all.mutex);
  if (all.most == 0) return;
  Event event{++all.last, std::chrono::system_clock::now(), level, std::string(message), {}};
  for (const Field& field : fields)
    event.fields.push_back({std::string(field.key()), field.value(), field.is_number()});
  all.events.push_back(std::move(event));
  while (all.events.size() > all.most) all.events.pop_front();
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

std::string fields_text(std::span<const Field> fields) {
  std::string text;
  for (const Field& field : fields) {
    text += ' ';
    text += field.key();
    text += '=';
    text += field.is_number() ? field.value() : log::quoted(field.value());
  }
  return text;
}

void setup(Level level) { logger().set_level(spd(level)); }

Level level() noexcept {
  const auto set = logger().level();
  for (std::size_t i = 0; i < kLevels.size(); ++i)
    if (kLevels[i] == set) return static_cast<Level>(i);
  return Level::info;
}

void set_writer(Writer writer) { current_writer.store(writer); }

bool enabled(Level level) noexcept { return logger().should_log(spd(level)); }

void write_text(Level level, std::string_view message, std::span<const Field> fields) {
  logger().log(spd(level), "msg={}{}", quoted(message), fields_text(fields));
}

std::string json_line(std::chrono::system_clock::time_point time, Level level, std::string_view message,
                      std::span<const Field> fields) {
  using std::chrono::milliseconds;
  const auto since = std::chrono::duration_cast<milliseconds>(time.time_since_epoch());
  nlohmann::ordered_json line{
      {"time", fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(time)),
                           since.count() % 1000)},
      {"level", level_text(level)},
      {"msg", message}};
  for (const Field& field : fields) {
    auto& value = line[std::string(field.key())];
    value = field.is_number() ? nlohmann::ordered_json::parse(field.value()) : nlohmann::ordered_json(field.value());
  }
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void write_json(Level level, std::string_view message, std::span<const Field> fields) {
  const std::string line = json_line(std::chrono::system_clock::now(), level, message, fields) + '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);  // unbuffered: one write for each line
}

void keep_events(std::size_t most) {
  Kept& all = kept();
  const std::lock_guard lock(all.mutex);
  all.most = most;
}

std::vector<Event> events_after(std::uint64_t number) {
  Kept& all = kept();
  const std::lock_guard lock(all.mutex);
  std::vector<Event> events;
  for (const Event& event : all.events)
    if (event.number > number) events.push_back(event);
  return events;
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  const std::span<const Field> all(fields.begin(), fields.size());
  if (level >= Level::info) keep(level, message, all);
  if (enabled(level)) current_writer.load()(level, message, all);
}

}  // namespace vgpu::log
