#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "actors/config.hpp"
#include "actors/settings.hpp"

namespace vgpu::daemon {

/// Reads the configuration again, as it was read at the start.
using ReadConfig = std::function<std::variant<Config, Mistakes>()>;

/// The configuration as it is now: the file's, and on top of it what operators set. A change is applied whole or not at
/// all, one at a time. Any thread.
class LiveConfig {
 public:
  /// Puts a new configuration in force; `reloaded`: the file was read again.
  /// Must not come back to this object.
  using Apply = std::function<void(const Config& config, bool reloaded)>;

  /// Takes over what is kept in `state`; empty: nothing is kept. Null: `error` says what is wrong there.
  static std::unique_ptr<LiveConfig> open(Config file, ReadConfig read_again, const std::filesystem::path& state,
                                          std::string& error);

  /// The configuration to begin with; settings that are wrong by now are left out and logged.
  Config config() const;
  /// Who is told of changes; before that nobody changes anything.
  void on_change(Apply apply) { apply_ = std::move(apply); }

  /// Each of these says why it did nothing, a line for each reason; nothing: it is done.
  std::vector<std::string> reload();
  /// `value` "default": as the configuration says. `not_kept` says why the change ends with the daemon; empty: it does
  /// not.
  std::vector<std::string> set(std::uint32_t vm, const std::string& key, const std::string& value,
                               std::string& not_kept);
  std::vector<std::string> drain(const std::string& pool, bool drained, std::string& not_kept);

 private:
  LiveConfig(Config file, ReadConfig read_again, std::filesystem::path kept_in, Settings settings)
      : file_(std::move(file)),
        read_again_(std::move(read_again)),
        kept_in_(std::move(kept_in)),
        settings_(std::move(settings)) {}
  Config with_settings() const;
  std::vector<std::string> change(Settings settings, std::string& not_kept);

  mutable std::mutex mutex_;
  Config file_;
  const ReadConfig read_again_;
  const std::filesystem::path kept_in_;  ///< empty: nowhere
  Settings settings_;
  Apply apply_;
};

}  // namespace vgpu::daemon
