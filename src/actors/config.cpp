#include "actors/config.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include "actors/config_table.hpp"
#include "common/paths.hpp"
#include "common/unix_address.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {
namespace {

constexpr const char* kGpuHelp =
    "expected \"auto\", \"software\", \"software:N\" with N from 1 to 16, an index such as \"0\" or a UUID such as "
    "\"GPU-…\"";
constexpr const char* kMetricsHelp = "expected ADDRESS:PORT such as \"127.0.0.1:9745\" or \"[::1]:9745\", or \"off\"";
constexpr const char* kLevelHelp = "expected \"trace\", \"debug\", \"info\", \"warn\" or \"error\"";
constexpr std::uint64_t kLowestRegion = std::uint64_t{VGPU_ARENA_OFFSET} + VGPU_ARENA_GRANULE;
constexpr std::uint64_t kHighestRegion = std::uint64_t{1} << 40;

/// Names are label values and command-line words: short and plain.
bool valid_name(std::string_view name, std::size_t longest) {
  return !name.empty() && name.size() <= longest &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             std::string_view::npos;
}

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

constexpr std::size_t kLongestPool = sizeof(protocol::Hello::pool) - 1;

class Reader {
 public:
  Reader(MistakeList& mistakes, const Overrides& overrides) : mistakes_(mistakes), overrides_(overrides) {}

  Config read(const toml::table& root) {
    TableReader top(mistakes_, root, "the top level",
                    {"gpu", "daemon", "qemu", "pool", "vm", "unregistered", "executor", "software_gpu"});
    if (overrides_.gpu) {
      gpu_override_ = parse_gpu(*overrides_.gpu);
      if (!gpu_override_) mistakes_.add_plain("--gpu " + *overrides_.gpu + ": " + kGpuHelp);
    }
    if (const auto gpu = read_gpu(top)) gpu_ = *gpu;
    read_daemon(table_of(root, "daemon"));
    read_qemu(table_of(root, "qemu"));
    read_pools(root);
    read_vms(root);
    read_unregistered(table_of(root, "unregistered"));
    read_executor(table_of(root, "executor"));
    if (const toml::table* table = table_of(root, "software_gpu"))
      config_.software_gpu = read_software_gpu(mistakes_, *table);
    return std::move(config_);
  }

 private:
  const toml::table* table_of(const toml::table& root, std::string_view key) {
    const toml::node* node = root.get(key);
    if (node == nullptr) return nullptr;
    if (const toml::table* table = node->as_table()) return table;
    mistakes_.add(*node, std::string(key) + ": expected a table, written [" + std::string(key) + "]");
    return nullptr;
  }

  /// The tables of an array of tables, in order.
  std::vector<const toml::table*> tables_of(const toml::table& root, std::string_view key) {
    std::vector<const toml::table*> tables;
    const toml::node* node = root.get(key);
    if (node == nullptr) return tables;
    const toml::array* array = node->as_array();
    bool good = array != nullptr;
    if (good)
      for (const toml::node& element : *array) {
        good = good && element.is_table();
        if (good) tables.push_back(element.as_table());
      }
    if (!good) mistakes_.add(*node, std::string(key) + ": expected tables, each written [[" + std::string(key) + "]]");
    return tables;
  }

  std::optional<GpuChoice> read_gpu(TableReader& reader) {
    const toml::node* node = reader.find("gpu");
    if (node == nullptr) return std::nullopt;
    std::optional<std::string> text;
    if (const auto* number = node->as_integer())
      text = std::to_string(number->get());
    else
      text = reader.text("gpu");
    if (!text) return std::nullopt;
    const auto gpu = parse_gpu(*text);
    if (!gpu) reader.mistake("gpu", "\"" + *text + "\" names no GPU; " + kGpuHelp);
    return gpu;
  }

  void read_daemon(const toml::table* table) {
    static const toml::table kNone;
    TableReader reader(mistakes_, table != nullptr ? *table : kNone, "[daemon]",
                       {"socket", "socket_mode", "metrics", "log_level", "log_file"});
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
    read_mode(reader, config_.socket_mode);

    if (const auto metrics = reader.text("metrics"))
      if (!set_metrics(*metrics)) reader.mistake("metrics", "\"" + *metrics + "\" is no endpoint; " + kMetricsHelp);
    if (overrides_.metrics && !set_metrics(*overrides_.metrics))
      mistakes_.add_plain("--metrics " + *overrides_.metrics + ": " + kMetricsHelp);

    if (const auto level = reader.text("log_level"))
      if (!set_level(*level)) reader.mistake("log_level", "\"" + *level + "\" is no level; " + kLevelHelp);
    if (overrides_.log_level && !set_level(*overrides_.log_level))
      mistakes_.add_plain("--log-level " + *overrides_.log_level + ": " + kLevelHelp);

    if (const auto file = reader.text("log_file")) {
      config_.log_file = *file;
      if (config_.log_file.is_relative())
        reader.mistake("log_file", "expected an absolute path, found \"" + *file + "\"");
    }
  }

  /// A path that a socket can have; nothing, with the mistake noted, for any other.
  std::optional<std::filesystem::path> read_socket(TableReader& reader, std::string_view key) {
    const auto text = reader.text(key);
    if (!text) return std::nullopt;
    const std::filesystem::path path = *text;
    if (path.is_relative()) {
      reader.mistake(key, "expected an absolute path, found \"" + *text + "\"");
    } else if (!unix_address(*text)) {
      reader.mistake(key, "the path is longer than the 107 bytes that the kernel takes");
    } else {
      return path;
    }
    return std::nullopt;
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
    read_mode(reader, config_.qemu_socket_mode);
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

  void read_ivshmem(TableReader& reader, VmConfig& vm) {
    if (const auto socket = read_socket(reader, "ivshmem_socket")) {
      vm.ivshmem_socket = *socket;
      for (const VmConfig& other : config_.vms)
        if (other.ivshmem_socket == *socket)
          reader.mistake("ivshmem_socket", "is VM " + std::to_string(other.id) + "'s already; give each VM its own");
      if (*socket == config_.socket || *socket == config_.qemu_socket)
        reader.mistake("ivshmem_socket", "is another socket of the daemon already");
    }
    if (const auto channels = reader.number("ivshmem_channels", 1, VGPU_MAX_CHANNELS)) vm.ivshmem_channels = *channels;
    if (const auto text = reader.text("ivshmem_memory")) {
      const auto bytes = parse_size(*text);
      if (bytes && std::has_single_bit(*bytes) && *bytes <= kHighestRegion)
        vm.ivshmem_memory = *bytes;
      else
        reader.mistake("ivshmem_memory",
                       "expected a power of two up to 1TiB, such as \"4GiB\"; found \"" + *text + "\"");
    }
    if (vm.ivshmem_memory < VGPU_MIN_MEMORY(vm.ivshmem_channels))
      reader.mistake("ivshmem_memory", "is too small for " + std::to_string(vm.ivshmem_channels) +
                                           " channels, which need more than " +
                                           std::to_string(VGPU_MIN_MEMORY(vm.ivshmem_channels) >> 20) + "MiB");
  }

  void read_mode(TableReader& reader, mode_t& to) {
    const toml::node* node = reader.find("socket_mode");
    if (node == nullptr) return;
    std::int64_t mode = -1;
    if (const auto* number = node->as_integer()) mode = number->get();
    if (const auto* text = node->as_string()) {
      char* end = nullptr;
      const long value = std::strtol(text->get().c_str(), &end, 8);
      if (end != nullptr && *end == '\0' && !text->get().empty()) mode = value;
    }
    if (mode < 0 || mode > 0777 || (mode & 0600) != 0600) {
      reader.mistake("socket_mode",
                     "expected permissions that let the owner read and write, such as \"0660\" or 0o660");
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

  void read_pools(const toml::table& root) {
    for (const toml::table* table : tables_of(root, "pool")) {
      TableReader reader(mistakes_, *table, "[[pool]]", {"name", "gpu", "policy", "leases"});
      PoolConfig pool;
      if (const auto name = reader.required_text("name")) {
        if (!valid_name(*name, kLongestPool))
          reader.mistake("name", "expected 1 to 31 letters, digits and _.-, found \"" + *name + "\"");
        else if (config_.pool(*name) != nullptr)
          reader.mistake("name", "a pool \"" + *name + "\" stands above already; give each pool its own name");
        pool.name = *name;
      }
      const auto own_gpu = read_gpu(reader);
      pool.gpu = gpu_override_ ? *gpu_override_ : own_gpu.value_or(gpu_);
      if (const auto policy = reader.text("policy"); policy && *policy != "fcfs")
        reader.mistake("policy", "unknown policy \"" + *policy + "\"; expected \"fcfs\" (first come, first served)");
      if (const auto leases = reader.number("leases", 0, 1u << 20)) pool.leases = *leases;
      config_.pools.push_back(std::move(pool));
    }
    if (root.get("pool") == nullptr)
      for (const char* name : {"A", "B"}) config_.pools.push_back({name, gpu_override_.value_or(gpu_), 0});
  }

  std::string pool_names() const {
    std::string names;
    for (const PoolConfig& pool : config_.pools) names += (names.empty() ? "" : ", ") + pool.name;
    return names;
  }

  std::optional<std::string> existing_pool(TableReader& reader, const std::optional<std::string>& pool) {
    if (pool && config_.pool(*pool) == nullptr)
      reader.mistake("pool", "there is no pool \"" + *pool + "\"; the pools are: " + pool_names());
    return pool;
  }

  void read_vms(const toml::table& root) {
    for (const toml::table* table : tables_of(root, "vm")) {
      TableReader reader(mistakes_, *table, "[[vm]]",
                         {"id", "name", "pool", "ivshmem_socket", "ivshmem_memory", "ivshmem_channels"});
      VmConfig vm;
      if (reader.find("id") == nullptr) {
        mistakes_.add(*table, "[[vm]] needs id = N");
      } else if (const auto id = reader.number("id", 0, protocol::kNoVm - 1)) {
        if (config_.vm(*id) != nullptr)
          reader.mistake("id", "a VM " + std::to_string(*id) + " stands above already; give each VM its own id");
        vm.id = *id;
      }
      vm.name = "vm" + std::to_string(vm.id);
      if (const auto name = reader.text("name")) {
        if (!valid_name(*name, 64))
          reader.mistake("name", "expected 1 to 64 letters, digits and _.-, found \"" + *name + "\"");
        vm.name = *name;
      }
      if (const auto pool = existing_pool(reader, reader.required_text("pool"))) vm.pool = *pool;
      read_ivshmem(reader, vm);
      config_.vms.push_back(std::move(vm));
    }
  }

  void read_unregistered(const toml::table* table) {
    static const toml::table kNone;
    TableReader reader(mistakes_, table != nullptr ? *table : kNone, "[unregistered]", {"allow", "pool"});
    if (const auto allow = reader.boolean("allow")) config_.allow_unregistered = *allow;
    if (!config_.pools.empty()) config_.unregistered_pool = config_.pools.front().name;
    if (const auto pool = existing_pool(reader, reader.text("pool"))) config_.unregistered_pool = *pool;
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
    TableReader reader(
        mistakes_, table != nullptr ? *table : kNone, "[executor]",
        {"spin_microseconds", "path", "region_size", "images", "images_size", "sandbox", "sandbox_ids", "host_memory"});
    config_.sandbox = read_sandbox(reader);
    if (const auto spin = reader.number("spin_microseconds", 0, 1'000'000)) config_.spin_microseconds = *spin;
    if (const auto path = reader.text("path")) {
      config_.executor = *path;
      if (config_.executor.is_relative()) reader.mistake("path", "expected an absolute path, found \"" + *path + "\"");
    }
    read_images(reader);
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
  GpuChoice gpu_;
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
  return read_config(text.str(), file.string(), overrides);
}

}  // namespace vgpu::daemon
