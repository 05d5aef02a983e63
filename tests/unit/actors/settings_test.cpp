#include "actors/settings.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "actors/live_config.hpp"
#include "actors/state_file.hpp"

using namespace vgpu::daemon;

namespace {

const std::string kText =
    "[[pool]]\nname=\"A\"\n[[pool]]\nname=\"B\"\n[[vm]]\nid=1\npool=\"A\"\nweight=5\n[[vm]]\nid=2\npool=\"A\"\n";

Config config() { return std::get<Config>(read_config(kText, "test")); }

struct Folder {
  Folder() {
    char name[] = "/tmp/vgpu-settings-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

}  // namespace

TEST_CASE("Settings lie on top of the configuration") {
  Config with = config();
  const Settings settings{{{1, {{"weight", "7"}, {"memory", "8MiB"}, {"priority", "high"}}}, {9, {{"weight", "0"}}}},
                          {"B", "gone"}};
  CHECK(apply_settings(settings, with).empty());
  CHECK(with.vm(1)->tenant.weight == 7);
  CHECK(with.vm(1)->tenant.priority == Priority::high);
  CHECK(with.vm(1)->limits[vgpu::protocol::Limit::memory] == 8u << 20);
  CHECK(with.vm(1)->settings.size() == 3);
  CHECK(with.vm(2)->tenant.weight == 100);
  CHECK(!with.pool("A")->drained);
  CHECK(with.pool("B")->drained);
}

TEST_CASE("A VM with a wrong setting keeps what the configuration says, all of it") {
  Config with = config();
  const Mistakes mistakes = apply_settings({{{1, {{"weight", "1001"}, {"sessions", "3"}}}}, {}}, with);
  REQUIRE(mistakes.size() == 1);
  CHECK(mistakes[0] == "VM 1: weight in what may be set: expected an integer from 1 to 1000, found 1001");
  CHECK(with.vm(1)->tenant.weight == 5);
  CHECK(with.vm(1)->limits.sessions == config().vm(1)->limits.sessions);
  CHECK(with.vm(1)->settings.empty());
}

TEST_CASE("Keys may be spelled as options are") {
  CHECK(setting_key("memory-limit") == "memory");
  CHECK(setting_key("max-kernel-seconds") == "max_kernel_seconds");
  CHECK(setting_key("weight") == "weight");
}

TEST_CASE("Settings are kept in a file, and read again") {
  const Folder folder;
  std::string error;
  const auto file = folder.path / "settings.json";
  CHECK(read_settings(file, error) == Settings{});
  const Settings settings{{{1, {{"weight", "7"}}}}, {"B"}};
  REQUIRE(write_settings(file, settings, error));
  CHECK(read_settings(file, error) == settings);
  for (const char* wrong :
       {"", "[]", "{\"vms\":{\"x\":{}},\"drained\":[]}", "{\"vms\":{\"1\":{\"weight\":7}},\"drained\":[]}"}) {
    std::ofstream(file) << wrong;
    CHECK_FALSE(read_settings(file, error));
    CHECK(error.find("mend it, or remove it") != std::string::npos);
  }
  CHECK_FALSE(write_settings(folder.path / "missing" / "settings.json", settings, error));
}

TEST_CASE("A change is applied whole or not at all") {
  const Folder folder;
  std::string error, not_kept;
  auto live = LiveConfig::open(
      config(), [] { return config(); }, folder.path, error);
  REQUIRE(live != nullptr);
  int applied = 0;
  std::uint32_t weight = 0;
  live->on_change([&](const Config& now, bool) {
    ++applied;
    weight = now.vm(1)->tenant.weight;
  });
  CHECK(live->set(1, "weight", "9", not_kept).empty());
  CHECK(not_kept.empty());
  CHECK(weight == 9);
  CHECK(live->set(1, "weight", "0", not_kept).size() == 1);
  CHECK(live->set(1, "speed", "default", not_kept).size() == 1);
  CHECK(live->set(7, "weight", "1", not_kept).size() == 1);
  CHECK(applied == 1);
  CHECK(live->reload().empty());
  CHECK(weight == 9);  // what was set stays on top of what is read again
  const auto next = LiveConfig::open(
      config(), [] { return config(); }, folder.path, error);
  CHECK(next->config().vm(1)->tenant.weight == 9);
  CHECK(live->set(1, "weight", "default", not_kept).empty());
  CHECK(weight == 5);
  CHECK(live->drain("B", true, not_kept).empty());
  CHECK(live->config().pool("B")->drained);
}

TEST_CASE("Without a folder a change says that it is not kept") {
  std::string error, not_kept;
  const auto live = LiveConfig::open(
      config(), [] { return config(); }, "", error);
  live->on_change([](const Config&, bool) {});
  CHECK(live->set(1, "weight", "9", not_kept).empty());
  CHECK(not_kept.find("state in [daemon]") != std::string::npos);
}
