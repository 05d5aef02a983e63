#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "actors/config.hpp"

namespace vgpu::daemon {

/// What operators set while vgpud runs, on top of the configuration. Kept over a restart.
struct Settings {
  /// By VM: keys of its [[vm]], as that spells them, and their values as a person writes them.
  std::map<std::uint32_t, std::map<std::string, std::string>> vms;
  std::set<std::string> drained;  ///< pools that get no new sessions
  bool operator==(const Settings&) const = default;
};

/// The key of [[vm]] that a person means: "memory-limit" is "memory".
std::string setting_key(std::string_view text);

/// Puts the settings on top of `config`. Says what of them is wrong, which then is left out; what belongs to VMs and
/// pools that the configuration does not have is left out, too, and no mistake.
Mistakes apply_settings(const Settings& settings, Config& config);

/// Reads the settings that are kept in `file`; none if there is no such file. Nothing: `error` says what is wrong.
std::optional<Settings> read_settings(const std::filesystem::path& file, std::string& error);
/// Keeps them there. False: `error` says why they are not kept.
bool write_settings(const std::filesystem::path& file, const Settings& settings, std::string& error);

}  // namespace vgpu::daemon
