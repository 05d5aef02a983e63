#include "actors/settings.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "actors/config_parts.hpp"
#include "actors/state_file.hpp"

namespace vgpu::daemon {
namespace {

using Json = nlohmann::ordered_json;

/// Whole numbers are integers, as in the configuration; sizes and names are texts.
toml::table table_of_values(const std::map<std::string, std::string>& values) {
  toml::table table;
  for (const auto& [key, text] : values) {
    std::int64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error == std::errc() && stop == end && key != "memory" && key != "arena")
      table.insert(key, number);
    else
      table.insert(key, text);
  }
  return table;
}

Settings from_json(const Json& json) {
  Settings settings;
  for (const auto& [id, values] : json.at("vms").get<std::map<std::string, std::map<std::string, std::string>>>())
    settings.vms[static_cast<std::uint32_t>(std::stoul(id))] = values;
  settings.drained = json.at("drained").get<std::set<std::string>>();
  return settings;
}

}  // namespace

std::string setting_key(std::string_view text) {
  std::string key(text);
  std::replace(key.begin(), key.end(), '-', '_');
  return key == "memory_limit" ? "memory" : key;
}

Mistakes apply_settings(const Settings& settings, Config& config) {
  Mistakes mistakes;
  for (VmConfig& vm : config.vms) {
    const auto found = settings.vms.find(vm.id);
    if (found == settings.vms.end()) continue;
    const toml::table values = table_of_values(found->second);
    MistakeList wrong("VM " + std::to_string(vm.id));
    VmConfig changed = vm;
    read_vm_settings(wrong, values, changed);
    if (wrong.empty()) {
      vm = std::move(changed);
      vm.settings = found->second;
    }
    for (std::string& mistake : wrong.take()) mistakes.push_back(std::move(mistake));
  }
  for (PoolConfig& pool : config.pools) pool.drained = settings.drained.contains(pool.name);
  return mistakes;
}

std::optional<Settings> read_settings(const std::filesystem::path& file, std::string& error) {
  std::ifstream stream(file);
  if (!stream) {
    if (errno == ENOENT) return Settings{};
    error = file.string() + ": " + std::strerror(errno);
    return std::nullopt;
  }
  try {
    return from_json(Json::parse(stream));
  } catch (const std::exception& failure) {  // also what is no number
    error = file.string() + " is not what vgpud has written (" + failure.what() + "); mend it, or remove it";
    return std::nullopt;
  }
}

bool write_settings(const std::filesystem::path& file, const Settings& settings, std::string& error) {
  Json json{{"vms", Json::object()}, {"drained", settings.drained}};
  for (const auto& [vm, values] : settings.vms) json["vms"][std::to_string(vm)] = values;
  if (write_state_file(file, json.dump(2) + "\n")) return true;
  error = file.string() + ": " + std::strerror(errno);
  return false;
}

}  // namespace vgpu::daemon
