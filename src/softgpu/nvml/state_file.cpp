#include "softgpu/nvml/state_file.hpp"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace vgpu::softgpu {
namespace {

std::uint64_t number(const nlohmann::json& value) {
  return value.is_boolean() ? static_cast<std::uint64_t>(value.get<bool>()) : value.get<std::uint64_t>();
}

}  // namespace

void StateFile::refresh() {
  if (!exists()) return;
  std::ifstream file(path_, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || text == text_) return;
  decltype(devices_) devices;
  decltype(xids_) xids;
  try {
    const auto root = nlohmann::json::parse(text);
    if (root.contains("devices"))
      for (const auto& [ordinal, readings] : root["devices"].items())
        for (const auto& [name, value] : readings.items())
          devices[static_cast<unsigned>(std::stoul(ordinal))][name] = number(value);
    if (root.contains("xids"))
      for (const auto& event : root["xids"])
        xids.push_back({event.at("device").get<unsigned>(), event.at("xid").get<std::uint64_t>()});
  } catch (const std::exception&) {
    return;  // half written, or wrong
  }
  text_ = std::move(text);
  devices_ = std::move(devices);
  xids_ = std::move(xids);
}

std::optional<std::uint64_t> StateFile::reading(unsigned device, const std::string& name) const {
  const auto found = devices_.find(device);
  if (found == devices_.end()) return std::nullopt;
  const auto value = found->second.find(name);
  return value != found->second.end() ? std::optional(value->second) : std::nullopt;
}

}  // namespace vgpu::softgpu
