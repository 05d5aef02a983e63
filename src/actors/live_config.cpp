#include "actors/live_config.hpp"

#include <algorithm>
#include <system_error>

#include "actors/config_change.hpp"
#include "common/log.hpp"

namespace vgpu::daemon {

std::unique_ptr<LiveConfig> LiveConfig::open(Config file, ReadConfig read_again, const std::filesystem::path& state,
                                             std::string& error) {
  Settings settings;
  std::filesystem::path kept_in;
  if (!state.empty()) {
    std::error_code ignored;  // the first write says what is wrong
    std::filesystem::create_directories(state, ignored);
    kept_in = state / "settings.json";
    auto kept = read_settings(kept_in, error);
    if (!kept) return nullptr;
    settings = std::move(*kept);
  }
  return std::unique_ptr<LiveConfig>(
      new LiveConfig(std::move(file), std::move(read_again), std::move(kept_in), std::move(settings)));
}

Config LiveConfig::config() const {
  const std::lock_guard lock(mutex_);
  return with_settings();
}

Config LiveConfig::with_settings() const {
  Config config = file_;
  for (const std::string& mistake : apply_settings(settings_, config))
    log::warn("a setting of an operator does not fit the configuration any more and is left out",
              {{"mistake", mistake}});
  return config;
}

std::vector<std::string> LiveConfig::reload() {
  const auto read = read_again_();
  if (const auto* mistakes = std::get_if<Mistakes>(&read)) return *mistakes;
  const Config& wanted = std::get<Config>(read);
  const std::lock_guard lock(mutex_);
  std::vector<std::string> fixed;
  for (const std::string& what : needs_restart(file_, wanted))
    fixed.push_back(what + " can't change while vgpud runs: restart it");
  if (!fixed.empty()) return fixed;
  file_ = wanted;
  apply_(with_settings(), true);
  return {};
}

std::vector<std::string> LiveConfig::change(Settings settings, std::string& not_kept) {
  Config config = file_;
  Config before = file_;
  const Mistakes known = apply_settings(settings_, before);
  Mistakes mistakes = apply_settings(settings, config);
  std::erase_if(mistakes, [&](const auto& mistake) { return std::count(known.begin(), known.end(), mistake) != 0; });
  if (!mistakes.empty()) return mistakes;
  if (kept_in_.empty())
    not_kept = "vgpud keeps no state: name a folder with state in [daemon]";
  else
    write_settings(kept_in_, settings, not_kept);
  settings_ = std::move(settings);
  apply_(config, false);
  return {};
}

std::vector<std::string> LiveConfig::set(std::uint32_t vm, const std::string& key, const std::string& value,
                                         std::string& not_kept) {
  const std::lock_guard lock(mutex_);
  if (file_.vm(vm) == nullptr)
    return {"VM " + std::to_string(vm) + " has no [[vm]] in the configuration: add one, and reload vgpud"};
  Settings settings = settings_;
  auto& values = settings.vms[vm];
  const std::string name = setting_key(key);
  if (value == "default") {
    // A key that does not exist is a mistake here, too.
    Settings probe;
    Config config = file_;
    probe.vms[vm][name] = "1";
    for (const std::string& mistake : apply_settings(probe, config))
      if (mistake.find("unknown key") != std::string::npos) return {mistake};
    values.erase(name);
  } else {
    values[name] = value;
  }
  if (values.empty()) settings.vms.erase(vm);
  return change(std::move(settings), not_kept);
}

std::vector<std::string> LiveConfig::drain(const std::string& pool, bool drained, std::string& not_kept) {
  const std::lock_guard lock(mutex_);
  Settings settings = settings_;
  if (drained)
    settings.drained.insert(pool);
  else
    settings.drained.erase(pool);
  return change(std::move(settings), not_kept);
}

}  // namespace vgpu::daemon
