#include "actors/config.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include "actors/config_parts.hpp"
#include "actors/config_table.hpp"
#include "common/paths.hpp"
#include "common/unix_address.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {
namespace {

constexpr const char* kMetricsHelp = "expected ADDRESS:PORT such as \"127.0.0.1:9745\" or \"[::1]:9745\", or \"off\"";
constexpr const char* kLevelHelp = "expected \"trace\", \"debug\", \"info\", \"warn\" or \"error\"";
constexpr std::uint64_t kLowestRegion = std::uint64_t{VGPU_ARENA_OFFSET} + VGPU_ARENA_GRANULE;
constexpr std::uint64_t kHighestRegion = std::uint64_t{1} << 40;

std::optional<std::uint32_t> whole_number(const std::string& text) {
  std::uint32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end ? std::optional(number) : std::nullopt;
}

/// A user's name or number.
std::optional<uid_t> user_id(const std::string& text) {
  if (const auto number = whole_number(text)) return number;
  const passwd* const entry = ::getpwnam(text.c_str());
  return entry != nullptr ? std::optional(entry->pw_uid) : std::nullopt;
}

/// A group's name or number.
std::optional<gid_t> group_id(const std::string& text) {
  if (const auto number = whole_number(text)) return number;
  const group* const entry = ::getgrnam(text.c_str());
  return entry != nullptr ? std::optional(entry->gr_gid) : std::nullopt;
}

class Reader {
 public:
  Reader(MistakeList& mistakes, const Overrides& overrides) : mistakes_(mistakes), overrides_(overrides) {}

  Config read(const toml::table& root) {
    TableReader top(mistakes_, root, "the top level",
                    {"gpu", "daemon", "qemu", "pool", "vm", "unregistered", "quarantine", "executor", "software_gpu"});
    if (overrides_.gpu) {
      gpu_override_ = parse_gpu(*overrides_.gpu);
      if (!gpu_override_) mistakes_.add_plain("--gpu " + *overrides_.gpu + ": " + gpu_help());
    }
    const std::vector<GpuChoice> gpus = read_gpus(top).value_or(std::vector<GpuChoice>{GpuChoice{}});
    read_daemon(table_of(mistakes_, root, "daemon"));
    read_qemu(table_of(mistakes_, root, "qemu"));
    read_pools(mistakes_, root, gpus, gpu_override_, config_);
    read_vms(mistakes_, root, config_);
    if (const toml::table* table = table_of(mistakes_, root, "quarantine"))
      config_.quarantine = read_quarantine(mistakes_, *table);
    read_executor(table_of(mistakes_, root, "executor"));
    if (const toml::table* table = table_of(mistakes_, root, "software_gpu"))
      config_.software_gpu = read_software_gpu(mistakes_, *table);
    return std::move(config_);
  }

 private:
  void read_daemon(const toml::table* table) {
    static const toml::table kNone;
    TableReader reader(mistakes_, table != nullptr ? *table : kNone, "[daemon]",
                       {"socket", "socket_mode", "admin_socket", "admin_socket_mode", "admin_group", "metrics",
                        "log_level", "log_format", "log_file", "state"});
    config_.socket_mode = ::getuid() == 0 ? 0660 : 0600;
    if (const auto socket = reader.text("socket")) {
      config_.socket = *socket;
      if (config_.socket.is_relative())
        reader.mistake("socket", "expected an absolute path, found \"" + *socket + "\"");
      if (!unix_address(*socket))
        reader.mistake("socket", "the path is longer than the 107 bytes that the kernel takes");
    }
    if (overrides_.socket || config_.socket.empty()) {
      config_.socket = overrides_.socket ? *overrides_.socket : default_socket_path();
      if (!unix_address(config_.socket.native()))
        mistakes_.add_plain("--socket: expected a path of 1 to 107 bytes, found " +
                            std::to_string(config_.socket.native().size()));
    }
    read_mode(reader, "socket_mode", config_.socket_mode);
    read_admin(reader);

    if (const auto metrics = reader.text("metrics"))
      if (!set_metrics(*metrics)) reader.mistake("metrics", "\"" + *metrics + "\" is no endpoint; " + kMetricsHelp);
    if (overrides_.metrics && !set_metrics(*overrides_.metrics))
      mistakes_.add_plain("--metrics " + *overrides_.metrics + ": " + kMetricsHelp);

    if (const auto level = reader.text("log_level"))
      if (!set_level(*level)) reader.mistake("log_level", "\"" + *level + "\" is no level; " + kLevelHelp);
    if (overrides_.log_level && !set_level(*overrides_.log_level))
      mistakes_.add_plain("--log-level " + *overrides_.log_level + ": " + kLevelHelp);

    if (const auto format = reader.text("log_format")) read_log_format(reader, *format);
    if (const auto file = reader.text("log_file")) {
      config_.log_file = *file;
      if (config_.log_file.is_relative())
        reader.mistake("log_file", "expected an absolute path, found \"" + *file + "\"");
    }
    // What a service manager gives its service.
    const char* given = std::getenv("STATE_DIRECTORY");
    if (given != nullptr) config_.state = given;
    if (const auto state = reader.text("state")) {
      config_.state = *state == "off" ? "" : *state;
      if (!config_.state.empty() && config_.state.is_relative())
        reader.mistake("state", "expected an absolute path or \"off\", found \"" + *state + "\"");
    }
  }

  void read_qemu(const toml::table* table) {
    static const toml::table kNone;
    TableReader reader(mistakes_, table != nullptr ? *table : kNone, "[qemu]",
                       {"socket", "socket_mode", "user", "group"});
    config_.qemu_socket_mode = config_.socket_mode;
    config_.qemu_socket = config_.socket.parent_path() / (config_.socket.stem().string() + "-qemu.sock");
    if (const auto socket = read_socket(reader, "socket")) config_.qemu_socket = *socket;
    if (config_.qemu_socket == config_.socket)
      reader.mistake("socket", "is the socket of [daemon] already; QEMU's needs a path of its own");
    read_mode(reader, "socket_mode", config_.qemu_socket_mode);
    if (const auto user = reader.text("user")) {
      config_.qemu_user = user_id(*user);
      if (!config_.qemu_user)
        reader.mistake("user", "there is no user \"" + *user + "\" on this machine; name the one that QEMU runs as");
    }
    if (const auto group = reader.text("group")) {
      config_.qemu_group = group_id(*group);
      if (!config_.qemu_group)
        reader.mistake("group",
                       "there is no group \"" + *group + "\" on this machine; name one that QEMU's user is in");
    }
  }

  void read_admin(TableReader& reader) {
    config_.admin_socket = config_.socket.parent_path() / (config_.socket.stem().string() + "-admin.sock");
    if (const auto socket = read_socket(reader, "admin_socket")) config_.admin_socket = *socket;
    if (config_.admin_socket == config_.socket)
      reader.mistake("admin_socket", "is the guests' socket already; it needs a path of its own");
    read_mode(reader, "admin_socket_mode", config_.admin_socket_mode);
    const auto group = reader.text("admin_group");
    if (group) config_.admin_group = *group;
    config_.admin_gid = group_id(config_.admin_group);
    if (group && !config_.admin_gid)
      reader.mistake("admin_group", "there is no group \"" + *group + "\" on this machine; make it with groupadd");
  }

  void read_log_format(TableReader& reader, const std::string& text) {
    if (text == "text")
      config_.log_format = LogFormat::text;
    else if (text == "json")
      config_.log_format = LogFormat::json;
    else if (text == "journald")
      config_.log_format = LogFormat::journald;
    else
      reader.mistake("log_format", "expected \"text\", \"json\" or \"journald\", found \"" + text + "\"");
  }

  void read_mode(TableReader& reader, std::string_view key, mode_t& to) {
    const toml::node* node = reader.find(key);
    if (node == nullptr) return;
    std::int64_t mode = -1;
    if (const auto* number = node->as_integer()) mode = number->get();
    if (const auto* text = node->as_string()) {
      char* end = nullptr;
      const long value = std::strtol(text->get().c_str(), &end, 8);
      if (end != nullptr && *end == '\0' && !text->get().empty()) mode = value;
    }
    if (mode < 0 || mode > 0777 || (mode & 0600) != 0600) {
      reader.mistake(key, "expected permissions that let the owner read and write, such as \"0660\" or 0o660");
      return;
    }
    to = static_cast<mode_t>(mode);
  }

  bool set_metrics(const std::string& text) {
    if (text == "off") {
      config_.metrics.reset();
      return true;
    }
    const auto endpoint = parse_endpoint(text);
    if (endpoint) config_.metrics = endpoint;
    return endpoint.has_value();
  }

  bool set_level(const std::string& text) {
    const auto level = log::level_from_text(text);
    if (level) config_.log_level = *level;
    return level.has_value();
  }

  void read_images(TableReader& reader) {
    // What a service manager gives its service, else where large temporary files belong.
    const char* given = std::getenv("CACHE_DIRECTORY");
    config_.images = given != nullptr && *given != '\0' ? given : "/var/tmp";
    if (const auto path = reader.text("images")) {
      config_.images = *path == "off" ? "" : *path;
      if (!config_.images.empty() && config_.images.is_relative())
        reader.mistake("images", "expected an absolute path or \"off\", found \"" + *path + "\"");
    }
    if (const auto text = reader.text("images_size")) {
      const auto bytes = parse_size(*text);
      if (bytes)
        config_.images_bytes = *bytes;
      else
        reader.mistake("images_size", "expected a size such as \"4GiB\", found \"" + *text + "\"");
    }
  }

  void read_executor(const toml::table* table) {
    static const toml::table kNone;
    TableReader reader(mistakes_, table != nullptr ? *table : kNone, "[executor]",
                       {"spin_microseconds", "path", "spares", "region_size", "images", "images_size", "context_memory",
                        "sandbox", "sandbox_ids", "host_memory"});
    config_.sandbox = read_sandbox(reader);
    if (const auto spares = reader.number("spares", 0, 64)) config_.spare_executors = *spares;
    if (const auto spin = reader.number("spin_microseconds", 0, 1'000'000)) config_.spin_microseconds = *spin;
    if (const auto path = reader.text("path")) {
      config_.executor = *path;
      if (config_.executor.is_relative()) reader.mistake("path", "expected an absolute path, found \"" + *path + "\"");
    }
    read_images(reader);
    if (const auto text = reader.text("context_memory")) {
      config_.context_memory = parse_size(*text);
      if (!config_.context_memory)
        reader.mistake("context_memory", "expected a size such as \"528MiB\", found \"" + *text + "\"");
    }
    if (const auto text = reader.text("region_size")) {
      const auto bytes = parse_size(*text);
      if (!bytes || *bytes < kLowestRegion || *bytes > kHighestRegion || *bytes % VGPU_ARENA_GRANULE != 0)
        reader.mistake(
            "region_size",
            "expected a size from 66MiB to 1TiB in steps of 2MiB, such as \"16GiB\"; found \"" + *text + "\"");
      else
        config_.region_bytes = *bytes;
    }
  }

  MistakeList& mistakes_;
  const Overrides& overrides_;
  Config config_;
  std::optional<GpuChoice> gpu_override_;
};

}  // namespace

std::variant<Config, Mistakes> read_config(std::string_view text, const std::string& file, const Overrides& overrides) {
  MistakeList mistakes(file);
  try {
    const toml::table root = toml::parse(text, file);
    Config config = Reader(mistakes, overrides).read(root);
    if (mistakes.empty()) return config;
  } catch (const toml::parse_error& error) {
    mistakes.add(error.source().begin.line, "not TOML: " + std::string(error.description()));
  }
  return mistakes.take();
}

std::variant<Config, Mistakes> read_config_file(const std::filesystem::path& file, const Overrides& overrides) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  if (!stream || !(text << stream.rdbuf())) {
    // An empty file makes the insertion fail too, and is a valid configuration.
    std::error_code error;
    if (!stream.is_open() || std::filesystem::file_size(file, error) != 0 || error)
      return Mistakes{file.string() +
                      ": cannot be read: " + (stream.is_open() ? "not a regular file" : std::strerror(errno)) +
                      "; name a TOML file that this user can read"};
  }
  auto read = read_config(text.str(), file.string(), overrides);
  if (auto* config = std::get_if<Config>(&read)) config->file = file;
  return read;
}

}  // namespace vgpu::daemon
