#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <iostream>
#include <system_error>

#include "actors/build_info.hpp"
#include "actors/config.hpp"
#include "actors/daemon.hpp"

namespace {

constexpr const char* kDefaultConfig = "/etc/vgpu/vgpud.toml";
constexpr int kWrongConfiguration = 2;

int run(int argc, char** argv) {
  using namespace vgpu::daemon;
  CLI::App app{"Shares one GPU between many guests: serves CUDA calls of guest processes."};
  std::string config_file;
  bool check = false;
  Overrides overrides;
  app.add_option("--config", config_file, std::string("TOML file; default: ") + kDefaultConfig + " if it exists")
      ->type_name("FILE");
  app.add_option("--socket", overrides.socket, "Unix socket that guests connect to")->type_name("PATH");
  app.add_option("--metrics", overrides.metrics, "where /metrics and /healthz are served, or off; port 0: any free one")
      ->type_name("ADDRESS:PORT");
  app.add_option("--gpu", overrides.gpu, "auto, software, software:N for N devices, an index or a UUID; for every pool")
      ->type_name("GPU");
  app.add_option("--log-level", overrides.log_level, "trace, debug, info, warn or error")->type_name("LEVEL");
  app.add_flag("--check-config", check, "check the configuration, say what is wrong with it, and end");
  app.set_version_flag("--version", std::string("vgpud ") + kVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongConfiguration;
  }

  std::error_code ignored;
  if (config_file.empty() && std::filesystem::exists(kDefaultConfig, ignored)) config_file = kDefaultConfig;
  const ReadConfig read_all = [&] {
    return config_file.empty() ? read_config("", "the command line", overrides)
                               : read_config_file(config_file, overrides);
  };
  const auto read = read_all();
  if (const auto* mistakes = std::get_if<Mistakes>(&read)) {
    for (const std::string& mistake : *mistakes) std::cerr << mistake << '\n';
    return kWrongConfiguration;
  }
  if (check) {
    std::cout << (config_file.empty() ? "the defaults" : config_file) << ": ok\n";
    return 0;
  }
  return run_daemon(std::get<Config>(read), read_all);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "vgpud: " << error.what() << '\n';
    return 1;
  }
}
