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

TEST_CASE("A sandboxed executor gets what drivers and libraries read, and no secrets") {
  for (const char* entry : {"CUDA_VISIBLE_DEVICES=0", "NVIDIA_TF32_OVERRIDE=0", "VGPU_SOFTGPU_RATE=5",
                            "LD_LIBRARY_PATH=/opt/lib", "TZ=UTC", "LC_ALL=C"})
    CHECK_FALSE(not_for_executors(entry));
  for (const char* entry :
       {"AWS_SECRET_ACCESS_KEY=x", "HOME=/root", "SSH_AUTH_SOCK=/s", "LD_PRELOAD=/x.so", "TZDIR=/x", ""})
    CHECK(not_for_executors(entry));
}
