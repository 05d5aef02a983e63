#include "actors/config_parts.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {
namespace {

constexpr std::size_t kLongestPool = sizeof(protocol::Hello::pool) - 1;
constexpr std::uint32_t kMostMicroseconds = 10'000'000;
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

PoolConfig read_pool(TableReader& reader, const GpuChoice& gpu, const std::optional<GpuChoice>& forced,
                     const Config& config) {
  PoolConfig pool;
  if (const auto name = reader.required_text("name")) {
    if (!valid_name(*name, kLongestPool))
      reader.mistake("name", "expected 1 to 31 letters, digits and _.-, found \"" + *name + "\"");
    else if (config.pool(*name) != nullptr)
      reader.mistake("name", "a pool \"" + *name + "\" stands above already; give each pool its own name");
    pool.name = *name;
  }
  const auto own_gpu = read_gpu(reader);
  pool.gpu = forced ? *forced : own_gpu.value_or(gpu);
  read_policy(reader, pool);
  return pool;
}

}  // namespace

std::string gpu_help() {
  return "expected \"auto\", \"software\", \"software:N\" with N from 1 to 16, an index such as \"0\" or a UUID such "
         "as "
         "\"GPU-…\"";
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
  if (!gpu) reader.mistake("gpu", "\"" + *text + "\" names no GPU; " + gpu_help());
  return gpu;
}

void read_pools(MistakeList& mistakes, const toml::table& root, const GpuChoice& gpu,
                const std::optional<GpuChoice>& forced, Config& config) {
  for (const toml::table* table : tables_of(mistakes, root, "pool")) {
    TableReader reader(mistakes, *table, "[[pool]]",
                       {"name", "gpu", "policy", "quantum_microseconds", "backlog_microseconds", "floor_percent"});
    config.pools.push_back(read_pool(reader, gpu, forced, config));
  }
  if (root.get("pool") != nullptr) return;
  for (const char* name : {"A", "B"}) {
    PoolConfig pool;
    pool.name = name;
    pool.gpu = forced.value_or(gpu);
    config.pools.push_back(std::move(pool));
  }
}

}  // namespace vgpu::daemon
