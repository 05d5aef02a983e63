#include <bit>

#include "actors/config_limits.hpp"
#include "actors/config_parts.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {
namespace {

constexpr std::uint64_t kHighestMemory = std::uint64_t{1} << 40;
constexpr std::uint32_t kHighestWeight = 1000;
constexpr std::uint32_t kMostSeconds = 86'400;
constexpr std::uint32_t kMostFaults = 10'000;

void read_ivshmem(TableReader& reader, const Config& config, VmConfig& vm) {
  if (const auto socket = read_socket(reader, "ivshmem_socket")) {
    vm.ivshmem_socket = *socket;
    for (const VmConfig& other : config.vms)
      if (other.ivshmem_socket == *socket)
        reader.mistake("ivshmem_socket", "is VM " + std::to_string(other.id) + "'s already; give each VM its own");
    if (*socket == config.socket || *socket == config.qemu_socket)
      reader.mistake("ivshmem_socket", "is another socket of the daemon already");
  }
  if (const auto channels = reader.number("ivshmem_channels", 1, VGPU_MAX_CHANNELS)) vm.ivshmem_channels = *channels;
  if (const auto text = reader.text("ivshmem_memory")) {
    const auto bytes = parse_size(*text);
    if (bytes && std::has_single_bit(*bytes) && *bytes <= kHighestMemory)
      vm.ivshmem_memory = *bytes;
    else
      reader.mistake("ivshmem_memory", "expected a power of two up to 1TiB, such as \"4GiB\"; found \"" + *text + "\"");
  }
  if (vm.ivshmem_memory < VGPU_MIN_MEMORY(vm.ivshmem_channels))
    reader.mistake("ivshmem_memory", "is too small for " + std::to_string(vm.ivshmem_channels) +
                                         " channels, which need more than " +
                                         std::to_string(VGPU_MIN_MEMORY(vm.ivshmem_channels) >> 20) + "MiB");
}

std::optional<std::string> existing_pool(TableReader& reader, const Config& config,
                                         const std::optional<std::string>& pool) {
  if (!pool || config.pool(*pool) != nullptr) return pool;
  std::string names;
  for (const PoolConfig& known : config.pools) names += (names.empty() ? "" : ", ") + known.name;
  reader.mistake("pool", "there is no pool \"" + *pool + "\"; the pools are: " + names);
  return pool;
}

/// What a VM, or each process without one, may have of a pool.
void read_tenant(TableReader& reader, Tenant& tenant) {
  if (const auto weight = reader.number("weight", 1, kHighestWeight)) tenant.weight = *weight;
  if (const auto text = reader.text("priority")) {
    const auto priority = parse_priority(*text);
    if (priority)
      tenant.priority = *priority;
    else
      reader.mistake("priority", "expected \"low\", \"medium\" or \"high\", found \"" + *text + "\"");
  }
  if (const auto seconds = reader.number("max_kernel_seconds", 1, kMostSeconds))
    tenant.longest_overrun = std::chrono::seconds(*seconds);
}

/// A UUID in its usual form: 8-4-4-4-12 hexadecimal digits.
bool valid_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : std::string_view("0123456789abcdefABCDEF").find(text[i]) == std::string_view::npos)
      return false;
  }
  return true;
}

void read_names(TableReader& reader, const Config& config, VmConfig& vm) {
  vm.name = "vm" + std::to_string(vm.id);
  if (const auto name = reader.text("name")) {
    if (!valid_name(*name, 64))
      reader.mistake("name", "expected 1 to 64 letters, digits and _.-, found \"" + *name + "\"");
    vm.name = *name;
  }
  if (const auto uuid = reader.text("uuid")) {
    if (!valid_uuid(*uuid))
      reader.mistake("uuid",
                     "expected a UUID such as \"8f6d6d1e-0c2b-4a57-9d3e-6f1f0f9a2b11\", found \"" + *uuid + "\"");
    for (const VmConfig& other : config.vms)
      if (other.uuid == *uuid) reader.mistake("uuid", "is VM " + std::to_string(other.id) + "'s already");
    vm.uuid = *uuid;
  }
}

void read_vm(MistakeList& mistakes, const toml::table& table, Config& config) {
  TableReader reader(mistakes, table, "[[vm]]",
                     {"id", "name", "uuid", "pool", "weight", "priority", "max_kernel_seconds", "ivshmem_socket",
                      "ivshmem_memory", "ivshmem_channels", VGPU_LIMIT_KEYS});
  VmConfig vm;
  if (reader.find("id") == nullptr) {
    mistakes.add(table, "[[vm]] needs id = N");
  } else if (const auto id = reader.number("id", 0, protocol::kNoVm - 1)) {
    if (config.vm(*id) != nullptr)
      reader.mistake("id", "a VM " + std::to_string(*id) + " stands above already; give each VM its own id");
    vm.id = *id;
  }
  read_names(reader, config, vm);
  if (const auto pool = existing_pool(reader, config, reader.required_text("pool"))) vm.pool = *pool;
  read_tenant(reader, vm.tenant);
  vm.tenant.vm = vm.id;
  read_limits(reader, vm.limits);
  read_ivshmem(reader, config, vm);
  config.vms.push_back(std::move(vm));
}

}  // namespace

QuarantineTerms read_quarantine(MistakeList& mistakes, const toml::table& table) {
  TableReader reader(mistakes, table, "[quarantine]", {"faults", "window_seconds"});
  QuarantineTerms terms;
  terms.faults = reader.number("faults", 0, kMostFaults).value_or(terms.faults);
  if (const auto seconds = reader.number("window_seconds", 1, kMostSeconds))
    terms.window = std::chrono::seconds(*seconds);
  return terms;
}

void read_vm_settings(MistakeList& mistakes, const toml::table& table, VmConfig& vm) {
  TableReader reader(mistakes, table, "what may be set", {"weight", "priority", "max_kernel_seconds", VGPU_LIMIT_KEYS});
  read_tenant(reader, vm.tenant);
  read_limits(reader, vm.limits);
}

void read_vms(MistakeList& mistakes, const toml::table& root, Config& config) {
  for (const toml::table* table : tables_of(mistakes, root, "vm")) read_vm(mistakes, *table, config);

  static const toml::table kNone;
  const toml::table* const table = table_of(mistakes, root, "unregistered");
  TableReader reader(mistakes, table != nullptr ? *table : kNone, "[unregistered]",
                     {"allow", "pool", "weight", "priority", "max_kernel_seconds", VGPU_LIMIT_KEYS});
  if (const auto allow = reader.boolean("allow")) config.allow_unregistered = *allow;
  if (!config.pools.empty()) config.unregistered_pool = config.pools.front().name;
  if (const auto pool = existing_pool(reader, config, reader.text("pool"))) config.unregistered_pool = *pool;
  read_tenant(reader, config.unregistered);
  read_limits(reader, config.unregistered_limits);
}

}  // namespace vgpu::daemon
