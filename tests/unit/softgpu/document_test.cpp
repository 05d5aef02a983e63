#include <sched.h>

#include <map>
#include <sstream>

#include "fixture.hpp"

/// docs/software-gpu.md tells the attributes: its table and the device must say the same.
TEST_CASE("document: the table of attributes is what the device says") {
  cpu_set_t cores;
  sched_getaffinity(0, sizeof cores, &cores);
  std::ifstream file(SOFTGPU_DOCUMENT);
  REQUIRE(file);
  std::map<int, int> told;
  for (std::string line; std::getline(file, line);) {
    std::istringstream cells(line);
    std::string bar, name, value;
    int number = 0;
    if (!(cells >> bar >> number >> bar >> name >> bar >> value) || bar != "|") continue;
    told[number] = value == "cores" ? CPU_COUNT(&cores) : std::stoi(value);
  }
  REQUIRE(told.size() > 20);
  REQUIRE_OK(cuInit(0));
  for (int number = 1; number < CU_DEVICE_ATTRIBUTE_MAX; ++number) {
    int value = -1;
    REQUIRE_OK(cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(number), 0));
    INFO("attribute " << number);
    CHECK(value == (told.count(number) != 0 ? told[number] : 0));
  }
}

TEST_CASE("document: a launch timeout is an attribute") {
  setenv("VGPU_SOFTGPU_LAUNCH_TIMEOUT", "60", 1);
  REQUIRE_OK(cuInit(0));
  int value = -1;
  REQUIRE_OK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT, 0));
  CHECK(value == 1);
}
