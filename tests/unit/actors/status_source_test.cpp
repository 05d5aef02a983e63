#include "actors/status_source.hpp"

#include <catch2/catch.hpp>

using namespace vgpu;
using namespace vgpu::daemon;

namespace {

constexpr std::uint64_t kMiB = 1u << 20;

GpuState gpu(const std::string& uuid) {
  GpuState state;
  state.gpu.uuid = uuid;
  state.gpu.name = "GPU of " + uuid;
  state.gpu.pci_bus_id = "00000000:F0:00.0";
  state.gpu.memory_bytes = 1000 * kMiB;
  state.gpu.compute_major = 9;
  state.gpu.driver_version = "580.1";
  state.gpu.cuda_driver_version = 13000;
  return state;
}

Limits memory_limit(std::uint64_t bytes) {
  Limits limits;
  limits[protocol::Limit::memory] = bytes;
  return limits;
}

std::unique_ptr<protocol::Status> filled(const std::vector<GpuState>& gpus, const std::vector<ProcessUse>& use,
                                         const Limits& limits = {}) {
  auto status = std::make_unique<protocol::Status>();
  fill_status(gpus, use, limits, *status);
  return status;
}

}  // namespace

TEST_CASE("A status tells the VM's limit as the memory, and its own use of it") {
  const std::vector<ProcessUse> use{{7, "a", {"GPU-1"}, 100 * kMiB, 0.25}, {8, "b", {"GPU-1"}, 50 * kMiB, 0.5}};
  const auto limited = filled({gpu("GPU-1")}, use, memory_limit(400 * kMiB));
  REQUIRE(limited->gpu_count == 1);
  CHECK(limited->gpus[0].memory_total == 400 * kMiB);
  CHECK(limited->gpus[0].memory_used == 150 * kMiB);
  CHECK(limited->gpus[0].memory_free == 250 * kMiB);
  CHECK(limited->gpus[0].utilization_percent == 75);
  CHECK(std::string(limited->driver_version.data()) == "580.1");
  CHECK(limited->cuda_driver_version == 13000);
  const auto free = filled({gpu("GPU-1")}, {}, {});
  CHECK(free->gpus[0].memory_total == 1000 * kMiB);
  CHECK(free->gpus[0].memory_free == 1000 * kMiB);
  CHECK(filled({gpu("GPU-1")}, {}, memory_limit(4000 * kMiB))->gpus[0].memory_total == 1000 * kMiB);
}

TEST_CASE("What others have of the GPU is not free, and not told otherwise") {
  GpuState state = gpu("GPU-1");
  state.readings.memory_used_bytes = 900 * kMiB;
  state.readings.utilization = 0.9;
  const auto status = filled({state}, {}, memory_limit(400 * kMiB));
  CHECK(status->gpus[0].memory_used == 0);
  CHECK(status->gpus[0].memory_free == 100 * kMiB);
  CHECK(status->gpus[0].utilization_percent == 0);
  CHECK(status->process_count == 0);
}

TEST_CASE("A sensor that is not there is not known") {
  GpuState state = gpu("GPU-1");
  state.readings.temperature_celsius = 61;
  state.readings.power_watts = 250.5;
  state.readings.sm_clock_hertz = 1.98e9;
  state.readings.ecc_corrected = 3;
  const auto status = filled({state}, {});
  const protocol::StatusGpu& seen = status->gpus[0];
  CHECK(seen.known == (protocol::kKnowsUtilization | protocol::kKnowsTemperature | protocol::kKnowsPower |
                       protocol::kKnowsSmClock | protocol::kKnowsEccCorrected));
  CHECK(seen.temperature_celsius == 61);
  CHECK(seen.power_milliwatts == 250500);
  CHECK(seen.sm_clock_megahertz == 1980);
  CHECK(seen.ecc_corrected == 3);
  CHECK(seen.healthy == 1);
  state.unhealthy = "lost";
  CHECK(filled({state}, {})->gpus[0].healthy == 0);
}

TEST_CASE("Processes are listed with the GPUs that they are on; those on none of these are not") {
  const std::vector<ProcessUse> use{
      {7, "first", {"GPU-1"}, 10, 0}, {8, "both", {"GPU-1", "GPU-2"}, 20, 0}, {9, "elsewhere", {"GPU-3"}, 30, 0}};
  const auto status = filled({gpu("GPU-1"), gpu("GPU-2")}, use);
  REQUIRE(status->process_count == 2);
  CHECK(status->processes[0].gpus == 0b01);
  CHECK(status->processes[1].gpus == 0b11);
  CHECK(status->processes[1].pid == 8);
  CHECK(std::string(status->processes[1].name.data()) == "both");
  CHECK(status->gpus[0].memory_used == 30);
  CHECK(status->gpus[1].memory_used == 20);
}

TEST_CASE("More than a status holds is left out, and a text that is too long is cut") {
  const std::vector<GpuState> gpus(protocol::kStatusGpus + 3, gpu("GPU-1"));
  const std::vector<ProcessUse> use(protocol::kStatusProcesses + 5, {7, std::string(200, 'x'), {"GPU-1"}, 1, 0});
  const auto status = filled(gpus, use);
  CHECK(status->gpu_count == protocol::kStatusGpus);
  CHECK(status->process_count == protocol::kStatusProcesses);
  CHECK(std::string(status->processes[0].name.data()) == std::string(63, 'x'));
}
