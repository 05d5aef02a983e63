#include <catch2/catch.hpp>

#include "actors/executor_process.hpp"

using namespace vgpu::daemon;

TEST_CASE("What the driver wants in its environment stands in place of the daemon's own") {
  Driver driver;
  driver.environment = {"VGPU_SOFTGPU_DEVICES=2"};
  const char* const environment[] = {"VGPU_SOFTGPU_DEVICES=9", "VGPU_SOFTGPU_RATE=5", nullptr};
  CHECK(executor_environment(environment, driver) ==
        std::vector<std::string>{"VGPU_SOFTGPU_RATE=5", "VGPU_SOFTGPU_DEVICES=2"});
}
