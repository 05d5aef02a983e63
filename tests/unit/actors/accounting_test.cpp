#include "actors/accounting.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

using namespace vgpu::daemon;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

/// 2026-03-01T23:59:30Z
const Accounting::Time kStart = Accounting::Time(std::chrono::seconds(1772409570));

struct Folder {
  fs::path path = fs::temp_directory_path() / ("vgpu-accounting-" + std::to_string(::getpid()));
  Folder() { fs::remove_all(path); }
  ~Folder() { fs::remove_all(path); }
  std::vector<nlohmann::json> lines(const std::string& day) const {
    std::ifstream stream(path / (day + ".jsonl"));
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
};

MetricsStore::Account account(std::uint32_t vm, std::uint64_t gpu_nanoseconds) {
  MetricsStore::Account account{vm, "A", {}, 0};
  account.totals.gpu_nanoseconds = gpu_nanoseconds;
  account.totals.calls = 10 * gpu_nanoseconds;
  return account;
}

}  // namespace

TEST_CASE("Accounting: a line says what was used in an interval, in the file of the day in which it began") {
  const Folder folder;
  std::string error;
  const auto accounting = Accounting::open(folder.path / "below", kStart, error);
  REQUIRE(accounting != nullptr);
  CHECK(accounting->write({account(111, 2'000'000'000), account(112, 0)}, kStart + 60s, error));
  CHECK(accounting->write({account(111, 2'500'000'000), account(112, 1'000'000)}, kStart + 120s, error));
  CHECK(accounting->write({account(111, 2'500'000'000), account(112, 1'000'000)}, kStart + 180s, error));
  std::ifstream first(folder.path / "below" / "2026-03-01.jsonl");
  std::string line;
  REQUIRE(std::getline(first, line));
  const auto one = nlohmann::json::parse(line);
  CHECK(one["from"] == "2026-03-01T23:59:30Z");
  CHECK(one["to"] == "2026-03-02T00:00:30Z");
  CHECK(one["vm"] == 111);
  CHECK(one["pool"] == "A");
  CHECK(one["gpu_seconds"] == 2.0);
  CHECK(one["host_to_device_bytes"] == 0);
  CHECK_FALSE(std::getline(first, line));
  std::ifstream second(folder.path / "below" / "2026-03-02.jsonl");
  REQUIRE(std::getline(second, line));
  CHECK(nlohmann::json::parse(line)["gpu_seconds"] == 0.5);
  REQUIRE(std::getline(second, line));
  CHECK(nlohmann::json::parse(line)["vm"] == 112);
  CHECK_FALSE(std::getline(second, line));
}

TEST_CASE("Accounting: half a line that a crash left is cut off, and whole ones stay") {
  const Folder folder;
  fs::create_directories(folder.path);
  for (const std::string& before :
       {std::string(), std::string("{\"vm\":1}\n"), std::string("{\"vm\":1}\n{\"vm\":2}\n")})
    for (const std::string& half : {std::string(), std::string("{\"vm\":3,\"po"), std::string(10'000, 'x')}) {
      std::ofstream(folder.path / "2026-03-01.jsonl", std::ios::trunc) << before << half;
      std::string error;
      const auto accounting = Accounting::open(folder.path, kStart, error);
      REQUIRE(accounting != nullptr);
      REQUIRE(accounting->write({account(111, 1)}, kStart + 1s, error));
      const auto lines = folder.lines("2026-03-01");
      CHECK(lines.size() == static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')) + 1);
      CHECK(lines.back()["vm"] == 111);
    }
}

TEST_CASE("Accounting: what could not be written is in the next interval, and leaves no half line") {
  const Folder folder;
  std::string error;
  const auto accounting = Accounting::open(folder.path, kStart, error);
  REQUIRE(accounting != nullptr);
  REQUIRE(accounting->write({account(111, 1'000'000'000)}, kStart + 1s, error));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{fs::file_size(folder.path / "2026-03-01.jsonl") + 20, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &full);
  const bool written = accounting->write({account(111, 3'000'000'000)}, kStart + 2s, error);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK_FALSE(written);
  CHECK_FALSE(error.empty());
  CHECK(folder.lines("2026-03-01").size() == 1);
  REQUIRE(accounting->write({account(111, 4'000'000'000)}, kStart + 3s, error));
  const auto lines = folder.lines("2026-03-01");
  REQUIRE(lines.size() == 2);
  CHECK(lines[1]["gpu_seconds"] == 3.0);
  CHECK(lines[1]["from"] == lines[0]["to"]);
}

TEST_CASE("Accounting: a folder that cannot be is named") {
  std::string error;
  CHECK(Accounting::open("/dev/null/accounting", kStart, error) == nullptr);
  CHECK_THAT(error, Catch::Contains("/dev/null/accounting"));
  CHECK_THAT(error, Catch::Contains("[daemon]"));
}
