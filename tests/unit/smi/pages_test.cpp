#include "smi/pages.hpp"

#include <catch2/catch.hpp>
#include <sstream>

#include "facts.hpp"

using namespace vgpu::smi;
using namespace vgpu::smi::test;

TEST_CASE("smi: the table is the familiar one, and all its lines are of one width") {
  const std::string page = table_page(two_gpus());
  CHECK_THAT(page, Catch::Contains("Driver Version: 580.159.04     CUDA Version: 13.0 "));
  CHECK_THAT(page, Catch::Contains(
                       "|   0  NVIDIA H100 80GB HBM3          N/A |   00000000:0F:00.0 N/A |                    0 |"));
  CHECK_THAT(page, Catch::Contains("|      64MiB /   1024MiB |     42%      Default |"));
  CHECK_THAT(page, Catch::Contains("61C") && Catch::Contains("250W /   700W"));
  CHECK_THAT(page, Catch::Contains("   ...t/does/not/fit/into/the/table/train "));
  std::istringstream lines(page);
  std::string line;
  std::getline(lines, line);
  CHECK(line == "Mon Nov 23 15:40:00 2026");
  while (std::getline(lines, line)) {
    INFO(line);
    CHECK((line.empty() || line.size() == 91));
  }
}

TEST_CASE("smi: a VM without processes is told so") {
  Facts facts = two_gpus();
  facts.gpus[0].processes.clear();
  CHECK_THAT(table_page(facts), Catch::Contains("|  No running processes found  "));
  CHECK_THAT(detail_page(facts, {"PIDS"}), Catch::Contains("Processes                             : None"));
}

TEST_CASE("smi: GPUs are listed with their UUIDs") {
  CHECK(list_page(two_gpus()) == "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)\nGPU 1: N/A (UUID: N/A)\n");
}

TEST_CASE("smi: details come by sections") {
  const std::string all = detail_page(two_gpus(), {});
  CHECK_THAT(all, Catch::Contains("GPU 00000000:0F:00.0\n"));
  CHECK_THAT(all, Catch::Contains("        Used                              : 64 MiB\n"));
  CHECK_THAT(all, Catch::Contains("        GPU Current Temp                  : 61 C\n"));
  CHECK_THAT(all, Catch::Contains("            Used GPU Memory               : 64 MiB\n"));
  const std::string memory = detail_page(two_gpus(), {"MEMORY"});
  CHECK_THAT(memory, Catch::Contains("FB Memory Usage") && !Catch::Contains("Temperature"));
}
