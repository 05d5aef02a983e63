#include "actors/config_change.hpp"

#include <catch2/catch.hpp>

using namespace vgpu::daemon;

namespace {

Config config(const std::string& text) { return std::get<Config>(read_config(text, "test")); }

using Texts = std::vector<std::string>;

const std::string kPools = "[[pool]]\nname=\"A\"\n[[pool]]\nname=\"B\"\npolicy=\"concurrent\"\n";

}  // namespace

TEST_CASE("VMs, their terms and the terms of pools change while the daemon runs") {
  const Config running = config(kPools + "[[vm]]\nid=1\npool=\"A\"\n[[vm]]\nid=2\npool=\"A\"\n");
  CHECK(needs_restart(running, running).empty());
  CHECK(needs_restart(running, config("[unregistered]\nallow=false\n[executor]\nspin_microseconds=1\n"
                                      "[daemon]\nlog_level=\"debug\"\n"
                                      "[[pool]]\nname=\"B\"\npolicy=\"concurrent\"\n"
                                      "[[pool]]\nname=\"A\"\nquantum_microseconds=900\nfloor_percent=0\n"
                                      "[[vm]]\nid=1\npool=\"B\"\nweight=7\n[[vm]]\nid=3\npool=\"A\"\n"))
            .empty());
}

TEST_CASE("What was opened at the start changes with a restart only, and is named") {
  const Config running = config(kPools);
  const auto changed = GENERATE(table<std::string, std::string>({
      {kPools + "[[pool]]\nname=\"C\"\n", "[[pool]]"},
      {"[[pool]]\nname=\"A\"\n", "[[pool]]"},
      {"[[pool]]\nname=\"A\"\n[[pool]]\nname=\"B\"\n", "[[pool]]"},
      {"gpu=\"software\"\n" + kPools, "[[pool]]"},
      {kPools + "[daemon]\nsocket_mode=\"0666\"\n", "socket_mode in [daemon]"},
      {kPools + "[daemon]\nmetrics=\"off\"\n", "metrics in [daemon]"},
      {kPools + "[daemon]\nmetrics=\"127.0.0.1:1\"\n", "metrics in [daemon]"},
      {kPools + "[daemon]\nstate=\"/tmp\"\n", "state in [daemon]"},
      {kPools + "[software_gpu]\nrate=\"1M\"\n", "[software_gpu]"},
      {kPools + "[executor]\nimages=\"off\"\n", "images in [executor]"},
      {kPools + "[[vm]]\nid=1\npool=\"A\"\nivshmem_socket=\"/tmp/s\"\n", "ivshmem"},
  }));
  CAPTURE(std::get<0>(changed));
  const Texts what = needs_restart(running, config(std::get<0>(changed)));
  REQUIRE_FALSE(what.empty());
  CHECK_THAT(what.front(), Catch::Contains(std::get<1>(changed)));
}
