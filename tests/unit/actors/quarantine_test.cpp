#include "actors/quarantine.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "actors/config.hpp"

using namespace vgpu::daemon;
using namespace std::chrono_literals;

namespace {

const Quarantine::Time kStart{std::chrono::seconds(1'800'000'000)};

struct Folder {
  Folder() {
    std::string name = "/tmp/vgpu-quarantine-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

std::unique_ptr<Quarantine> opened(const std::filesystem::path& folder) {
  std::string error;
  auto quarantine = Quarantine::open(folder, error);
  INFO(error);
  REQUIRE(quarantine != nullptr);
  return quarantine;
}

}  // namespace

TEST_CASE("a VM is quarantined by so many faults within the window, and by nothing else") {
  const QuarantineTerms terms{3, 60s};
  Quarantine quarantine;
  std::string error;
  const auto fault = [&](std::uint32_t vm, vgpu_end_reason reason, std::chrono::seconds at) {
    return quarantine.fault(vm, reason, terms, kStart + at, error);
  };
  CHECK_FALSE(fault(7, VGPU_END_WATCHDOG, 0s));
  CHECK_FALSE(fault(7, VGPU_END_EXECUTOR_DIED, 10s));
  // The first is no longer within the window.
  CHECK_FALSE(fault(7, VGPU_END_WATCHDOG, 61s));
  for (const vgpu_end_reason reason :
       {VGPU_END_CLOSED, VGPU_END_DAEMON_STOPPED, VGPU_END_KILLED, VGPU_END_EXECUTOR_START})
    CHECK_FALSE(fault(7, reason, 62s));
  CHECK_FALSE(fault(8, VGPU_END_WATCHDOG, 62s));
  CHECK_FALSE(quarantine.holds(7));
  CHECK(fault(7, VGPU_END_BAD_REQUEST, 63s));
  CHECK(quarantine.holds(7));
  CHECK_FALSE(quarantine.holds(8));
  CHECK_FALSE(fault(7, VGPU_END_WATCHDOG, 64s));  // it is already
  CHECK(error.empty());
  quarantine.refresh();
  CHECK_FALSE(quarantine.holds(7));
  CHECK_FALSE(fault(7, VGPU_END_WATCHDOG, 65s));
}

TEST_CASE("processes that claim no VM are not quarantined for each other, and nobody where that is switched off") {
  Quarantine quarantine;
  std::string error;
  for (int i = 0; i < 100; ++i) {
    CHECK_FALSE(quarantine.fault(0, VGPU_END_WATCHDOG, {3, 60s}, kStart, error));
    CHECK_FALSE(quarantine.fault(1, VGPU_END_WATCHDOG, {0, 60s}, kStart, error));
  }
}

TEST_CASE("a quarantine outlives the daemon, and is lifted by removing its file") {
  const Folder folder;
  std::string error;
  {
    const auto quarantine = opened(folder.path / "quarantine");
    CHECK(quarantine->fault(111, VGPU_END_WATCHDOG, {1, 60s}, kStart, error));
    CHECK(error.empty());
  }
  const auto file = folder.path / "quarantine" / "111";
  {
    std::ifstream stream(file);
    const auto what = nlohmann::json::parse(stream);
    CHECK(what.at("vm") == 111);
    CHECK(what.at("since") == "2027-01-15T08:00:00Z");
    CHECK(what.at("faults") == 1);
    CHECK(what.at("last_fault") == "watchdog");
  }
  const auto later = opened(folder.path / "quarantine");
  CHECK(later->all() == std::set<std::uint32_t>{111});
  { std::ofstream(folder.path / "quarantine" / "112.new") << "half of a file"; }
  later->refresh();
  CHECK(later->all() == std::set<std::uint32_t>{111});
  std::filesystem::remove(file);
  CHECK(later->holds(111));
  later->refresh();
  CHECK_FALSE(later->holds(111));
}

TEST_CASE("a folder that can't be used is named") {
  std::string error;
  CHECK(Quarantine::open("/dev/null/quarantine", error) == nullptr);
  CHECK(error.find("/dev/null/quarantine") != std::string::npos);
}

TEST_CASE("the quarantine's terms are configured") {
  const auto terms = [](const std::string& text) {
    return std::get<Config>(read_config("[quarantine]\n" + text, "vgpud.toml")).quarantine;
  };
  CHECK(terms("") == QuarantineTerms{});
  CHECK(terms("faults = 5\nwindow_seconds = 30\n") == QuarantineTerms{5, 30s});
  CHECK(terms("faults = 0\n").faults == 0);
  CHECK(std::holds_alternative<Mistakes>(read_config("[quarantine]\nwindow_seconds = 0\n", "vgpud.toml")));
}

TEST_CASE("an operator imposes and lifts a quarantine, and the file says who") {
  const Folder folder;
  const auto quarantine = opened(folder.path);
  std::string error;
  CHECK(quarantine->impose(5, kStart, error));
  CHECK_FALSE(quarantine->impose(5, kStart, error));
  CHECK(quarantine->holds(5));
  const auto kept = nlohmann::json::parse(std::ifstream(folder.path / "5"));
  CHECK(kept["by"] == "operator");
  CHECK(kept["since"] == "2027-01-15T08:00:00Z");
  CHECK(opened(folder.path)->holds(5));
  CHECK(quarantine->lift(5, error));
  CHECK_FALSE(quarantine->lift(5, error));
  CHECK_FALSE(std::filesystem::exists(folder.path / "5"));
  CHECK(error.empty());
}
