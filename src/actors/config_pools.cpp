#include <algorithm>

#include "actors/config_parts.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {
namespace {

constexpr std::size_t kLongestPool = sizeof(protocol::Hello::pool) - 1;
constexpr std::uint32_t kMostMicroseconds = 10'000'000;
constexpr std::uint32_t kMostSoftwareDevices = 16;
constexpr std::uint32_t kHighestFloor = 30;

void read_policy(TableReader& reader, PoolConfig& pool) {
  if (const auto policy = reader.text("policy")) {
    if (*policy == "fair")
      pool.policy = PoolConfig::Policy::fair;
    else if (*policy == "concurrent")
      pool.policy = PoolConfig::Policy::concurrent;
    else
      reader.mistake("policy", "unknown policy \"" + *policy +
                                   "\"; expected \"fair\" (one session at a time, in proportion to weights) or "
                                   "\"concurrent\" (all at once, the GPU's own time slices share it)");
  }
  if (const auto quantum = reader.number("quantum_microseconds", 100, kMostMicroseconds))
    pool.fair.quantum = std::chrono::microseconds(*quantum);
  if (const auto backlog = reader.number("backlog_microseconds", 100, kMostMicroseconds))
    pool.fair.backlog = std::chrono::microseconds(*backlog);
  if (const auto floor = reader.number("floor_percent", 0, kHighestFloor)) pool.fair.floor = *floor / 100.0;
}

std::optional<GpuChoice> read_gpu(TableReader& reader, const toml::node& node) {
  const std::optional<std::int64_t> number = node.value_exact<std::int64_t>();
  const auto text = number ? std::to_string(*number) : node.value_exact<std::string>();
  if (!text) {
    reader.mistake("gpu", gpu_help() + ", or a list of such");
    return std::nullopt;
  }
  const auto gpu = parse_gpu(*text);
  if (!gpu) reader.mistake("gpu", "\"" + *text + "\" names no GPU; " + gpu_help());
  return gpu;
}

/// Software GPUs of a list are different ones: gives each entry its numbers. What is wrong with the list; empty:
/// nothing.
std::string number_software(std::vector<GpuChoice>& gpus) {
  if (gpus.empty()) return "the list names no GPU; " + gpu_help();
  std::uint32_t devices = 0;
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    GpuChoice& gpu = gpus[i];
    if (gpus.size() > 1 && gpu.kind == GpuChoice::Kind::automatic)
      return "\"auto\" stands for all GPUs and can't be one of several; name each by its UUID";
    if (gpu.kind == GpuChoice::Kind::software && gpus.size() > 1) {
      gpu.index = devices;
      gpu.devices = std::max(gpu.devices, 1u);
      devices += gpu.devices;
    } else if (std::find(gpus.begin(), gpus.begin() + static_cast<std::ptrdiff_t>(i), gpu) !=
               gpus.begin() + static_cast<std::ptrdiff_t>(i)) {
      return "\"" + gpu_text(gpu) + "\" is named twice; name each GPU once";
    }
  }
  if (devices > kMostSoftwareDevices)
    return "there are " + std::to_string(kMostSoftwareDevices) + " software GPUs at most, and the list names " +
           std::to_string(devices);
  return {};
}

PoolConfig read_pool(TableReader& reader, const std::vector<GpuChoice>& gpus, const std::optional<GpuChoice>& forced,
                     const Config& config) {
  PoolConfig pool;
  if (const auto name = reader.required_text("name")) {
    if (!valid_name(*name, kLongestPool))
      reader.mistake("name", "expected 1 to 31 letters, digits and _.-, found \"" + *name + "\"");
    else if (config.pool(*name) != nullptr)
      reader.mistake("name", "a pool \"" + *name + "\" stands above already; give each pool its own name");
    pool.name = *name;
  }
  const auto own = read_gpus(reader);
  pool.gpus = forced ? std::vector{*forced} : own.value_or(gpus);
  read_policy(reader, pool);
  return pool;
}

}  // namespace

std::string gpu_help() {
  return "expected \"auto\", \"software\", \"software:N\" with N from 1 to 16, an index such as \"0\" or a UUID such "
         "as "
         "\"GPU-…\"";
}

std::optional<std::vector<GpuChoice>> read_gpus(TableReader& reader) {
  const toml::node* node = reader.find("gpu");
  if (node == nullptr) return std::nullopt;
  const toml::array* const list = node->as_array();
  std::vector<GpuChoice> gpus;
  for (std::size_t i = 0; i < (list != nullptr ? list->size() : 1); ++i) {
    const auto gpu = read_gpu(reader, list != nullptr ? (*list)[i] : *node);
    if (!gpu) return std::nullopt;
    gpus.push_back(*gpu);
  }
  if (const std::string mistake = number_software(gpus); !mistake.empty()) {
    reader.mistake("gpu", mistake);
    return std::nullopt;
  }
  return gpus;
}

void read_pools(MistakeList& mistakes, const toml::table& root, const std::vector<GpuChoice>& gpus,
                const std::optional<GpuChoice>& forced, Config& config) {
  for (const toml::table* table : tables_of(mistakes, root, "pool")) {
    TableReader reader(mistakes, *table, "[[pool]]",
                       {"name", "gpu", "policy", "quantum_microseconds", "backlog_microseconds", "floor_percent"});
    config.pools.push_back(read_pool(reader, gpus, forced, config));
  }
  if (root.get("pool") != nullptr) return;
  for (const char* name : {"A", "B"}) {
    PoolConfig pool;
    pool.name = name;
    pool.gpus = forced ? std::vector{*forced} : gpus;
    config.pools.push_back(std::move(pool));
  }
}

}  // namespace vgpu::daemon
