// The library's answers, with a host of the test's own.
#include "shim/nvml/library.hpp"

#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

using namespace vgpu::nvml;
using namespace vgpu::protocol;

namespace {

template <std::size_t N>
void put(std::array<char, N>& field, const std::string& text) {
  set_text(field, text.data(), text.size());
}

Answer answer;
int asked = 0;

std::shared_ptr<Status> two_gpus() {
  auto status = std::make_shared<Status>();
  status->cuda_driver_version = 13000;
  put(status->driver_version, "580.159.04");
  status->gpu_count = 2;
  for (u32 i = 0; i < 2; ++i) {
    StatusGpu& gpu = status->gpus[i];
    put(gpu.uuid, "GPU-00000000-0000-0000-0000-00000000000" + std::to_string(i));
    put(gpu.name, "GPU " + std::to_string(i));
    put(gpu.pci_bus_id, i == 0 ? "00000000:0A:00.0" : "00000001:F0:00.0");
    gpu.compute_major = 9;
    gpu.memory_total = 1000;
    gpu.memory_used = 300;
    gpu.memory_free = 600;
  }
  status->gpus[0].known = kKnowsUtilization | kKnowsTemperature;
  status->gpus[0].utilization_percent = 42;
  status->gpus[0].temperature_celsius = 61;
  status->process_count = 2;
  status->processes[0] = {static_cast<i32>(::getpid()), 0b01, 100, 0, 0, {}};
  status->processes[1] = {1 << 30, 0b11, 200, 0, 0, {}};
  put(status->processes[1].name, "elsewhere");
  return status;
}

/// A library whose host says this, initialized.
struct Fixture {
  explicit Fixture(Answer says = {two_gpus(), NVML_SUCCESS, {}}) {
    answer = std::move(says);
    asked = 0;
    set_host([] {
      ++asked;
      return answer;
    });
  }
  ~Fixture() { set_host(nullptr); }
  nvmlDevice_t init(unsigned int index = 0) {
    REQUIRE(nvmlInit_v2() == NVML_SUCCESS);
    nvmlDevice_t device = nullptr;
    REQUIRE(nvmlDeviceGetHandleByIndex_v2(index, &device) == NVML_SUCCESS);
    return device;
  }
};

}  // namespace

TEST_CASE("nvml: nothing is answered before nvmlInit and after the last nvmlShutdown") {
  Fixture f;
  unsigned int count = 0;
  char text[96];
  CHECK(nvmlDeviceGetCount_v2(&count) == NVML_ERROR_UNINITIALIZED);
  CHECK(nvmlSystemGetDriverVersion(text, sizeof text) == NVML_ERROR_UNINITIALIZED);
  CHECK(nvmlShutdown() == NVML_ERROR_UNINITIALIZED);
  CHECK(asked == 0);
  CHECK(nvmlInit() == NVML_SUCCESS);
  CHECK(nvmlInitWithFlags(NVML_INIT_FLAG_NO_GPUS) == NVML_SUCCESS);
  CHECK(nvmlShutdown() == NVML_SUCCESS);
  CHECK(nvmlDeviceGetCount_v2(&count) == NVML_SUCCESS);
  CHECK(count == 2);
  CHECK(nvmlShutdown() == NVML_SUCCESS);
  CHECK(nvmlDeviceGetCount_v2(&count) == NVML_ERROR_UNINITIALIZED);
}

TEST_CASE("nvml: without a daemon the driver is not loaded; one that goes and comes back is noticed") {
  Fixture f({nullptr, NVML_ERROR_DRIVER_NOT_LOADED, "no daemon"});
  CHECK(nvmlInit_v2() == NVML_ERROR_DRIVER_NOT_LOADED);
  CHECK(nvmlShutdown() == NVML_ERROR_UNINITIALIZED);
  Fixture with;
  const nvmlDevice_t device = with.init();
  char name[96];
  CHECK(nvmlDeviceGetName(device, name, sizeof name) == NVML_SUCCESS);
  answer = {nullptr, NVML_ERROR_DRIVER_NOT_LOADED, "gone"};
  nvmlReturn_t result = NVML_SUCCESS;
  while (result == NVML_SUCCESS) result = nvmlDeviceGetName(device, name, sizeof name);  // until it asks again
  CHECK(result == NVML_ERROR_DRIVER_NOT_LOADED);
  answer = {two_gpus(), NVML_SUCCESS, {}};
  while (result != NVML_SUCCESS) result = nvmlDeviceGetName(device, name, sizeof name);
  CHECK(std::string(name) == "GPU 0");
}

TEST_CASE("nvml: a GPU is found by index, UUID and PCI address, always by the same handle") {
  Fixture f;
  const nvmlDevice_t device = f.init(1);
  nvmlDevice_t other = nullptr;
  CHECK(nvmlDeviceGetHandleByUUID("GPU-00000000-0000-0000-0000-000000000001", &other) == NVML_SUCCESS);
  CHECK(other == device);
  other = nullptr;
  for (const char* id : {"00000001:F0:00.0", "0001:f0:00.0", "1:F0:0"}) {
    CHECK(nvmlDeviceGetHandleByPciBusId_v2(id, &other) == NVML_SUCCESS);
    CHECK(other == device);
  }
  nvmlUUID_v1_t uuid{};
  uuid.version = nvmlUUID_v1;
  uuid.type = NVML_UUID_TYPE_ASCII;
  std::strcpy(uuid.value.str, "GPU-00000000-0000-0000-0000-000000000001");
  CHECK(nvmlDeviceGetHandleByUUIDV(&uuid, &other) == NVML_SUCCESS);
  uuid.type = NVML_UUID_TYPE_BINARY;
  std::memset(uuid.value.bytes, 0, sizeof uuid.value.bytes);
  uuid.value.bytes[15] = 1;
  other = nullptr;
  CHECK(nvmlDeviceGetHandleByUUIDV(&uuid, &other) == NVML_SUCCESS);
  CHECK(other == device);
  uuid.version = 1;
  CHECK(nvmlDeviceGetHandleByUUIDV(&uuid, &other) == NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  CHECK(nvmlDeviceGetHandleByUUID("GPU-1", &other) == NVML_ERROR_NOT_FOUND);
  CHECK(nvmlDeviceGetHandleByPciBusId("0000:00:00.0", &other) == NVML_ERROR_NOT_FOUND);
  CHECK(nvmlDeviceGetHandleByPciBusId("nonsense", &other) == NVML_ERROR_INVALID_ARGUMENT);
  CHECK(nvmlDeviceGetHandleByIndex_v2(2, &other) == NVML_ERROR_INVALID_ARGUMENT);
  CHECK(nvmlDeviceGetHandleByIndex_v2(0, nullptr) == NVML_ERROR_INVALID_ARGUMENT);
  CHECK(nvmlDeviceGetHandleByUUID(nullptr, &other) == NVML_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("nvml: handles that are none are refused, and one whose GPU is gone is lost") {
  Fixture f;
  const nvmlDevice_t device = f.init(1);
  char text[96];
  CHECK(nvmlDeviceGetName(nullptr, text, sizeof text) == NVML_ERROR_INVALID_ARGUMENT);
  CHECK(nvmlDeviceGetName(reinterpret_cast<nvmlDevice_t>(text), text, sizeof text) == NVML_ERROR_INVALID_ARGUMENT);
  const auto one = two_gpus();
  one->gpu_count = 1;
  answer.status = one;
  nvmlReturn_t result = NVML_SUCCESS;
  while (result == NVML_SUCCESS) result = nvmlDeviceGetName(device, text, sizeof text);
  CHECK(result == NVML_ERROR_GPU_IS_LOST);
}

TEST_CASE("nvml: a text goes into a buffer that holds it, and into no other") {
  Fixture f;
  const nvmlDevice_t device = f.init();
  char text[96] = "before";
  CHECK(nvmlDeviceGetName(device, text, 5) == NVML_ERROR_INSUFFICIENT_SIZE);
  CHECK(std::string(text) == "before");
  CHECK(nvmlDeviceGetName(device, text, 6) == NVML_SUCCESS);
  CHECK(std::string(text) == "GPU 0");
  CHECK(nvmlDeviceGetName(device, nullptr, 96) == NVML_ERROR_INVALID_ARGUMENT);
  CHECK(nvmlSystemGetDriverVersion(text, 3) == NVML_ERROR_INSUFFICIENT_SIZE);
  CHECK(nvmlSystemGetNVMLVersion(text, sizeof text) == NVML_SUCCESS);
  CHECK(std::string(text) == "13.580.159.04");
}

TEST_CASE("nvml: PCI information of each version fills its own structure and no more") {
  Fixture f;
  const nvmlDevice_t device = f.init(1);
  nvmlPciInfo_t pci;
  REQUIRE(nvmlDeviceGetPciInfo_v3(device, &pci) == NVML_SUCCESS);
  CHECK(std::string(pci.busId) == "00000001:F0:00.0");
  CHECK(std::string(pci.busIdLegacy) == "0001:F0:00.0");
  CHECK(pci.domain == 1);
  CHECK(pci.bus == 0xf0);
  CHECK(sizeof pci == 68);
  const auto written = [&](nvmlReturn_t (*call)(nvmlDevice_t, nvmlPciInfo_t*)) {
    std::array<char, sizeof pci> bytes;
    bytes.fill('#');
    CHECK(call(device, reinterpret_cast<nvmlPciInfo_t*>(bytes.data())) == NVML_SUCCESS);
    return std::string_view(bytes.data(), bytes.size()).find_last_not_of('#') + 1;
  };
  CHECK(written(nvmlDeviceGetPciInfo) == 32);
  CHECK(written(nvmlDeviceGetPciInfo_v2) == 36);
}

TEST_CASE("nvml: memory adds up, and its second version must be named") {
  Fixture f;
  const nvmlDevice_t device = f.init();
  nvmlMemory_t memory;
  REQUIRE(nvmlDeviceGetMemoryInfo(device, &memory) == NVML_SUCCESS);
  CHECK(memory.total == 1000);
  CHECK(memory.used == 300);
  CHECK(memory.free == 600);
  nvmlMemory_v2_t second{};
  CHECK(nvmlDeviceGetMemoryInfo_v2(device, &second) == NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  second.version = 2;
  CHECK(nvmlDeviceGetMemoryInfo_v2(device, &second) == NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  second.version = 0x02000028;  // as pynvml computes it
  REQUIRE(nvmlDeviceGetMemoryInfo_v2(device, &second) == NVML_SUCCESS);
  CHECK(second.used + second.free + second.reserved == second.total);
  CHECK(second.version == 0x02000028);
  CHECK(nvmlDeviceGetMemoryInfo(device, nullptr) == NVML_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("nvml: what is known is told, what is not is not supported") {
  Fixture f;
  const nvmlDevice_t device = f.init();
  nvmlUtilization_t utilization{};
  CHECK(nvmlDeviceGetUtilizationRates(device, &utilization) == NVML_SUCCESS);
  CHECK(utilization.gpu == 42);
  unsigned int value = 0;
  CHECK(nvmlDeviceGetTemperature(device, NVML_TEMPERATURE_GPU, &value) == NVML_SUCCESS);
  CHECK(value == 61);
  CHECK(nvmlDeviceGetTemperature(device, static_cast<nvmlTemperatureSensors_t>(1), &value) ==
        NVML_ERROR_INVALID_ARGUMENT);
  nvmlTemperature_v1_t temperature{nvmlTemperature_v1, NVML_TEMPERATURE_GPU, 0};
  CHECK(nvmlDeviceGetTemperatureV(device, &temperature) == NVML_SUCCESS);
  CHECK(temperature.temperature == 61);
  temperature.version = 0;
  CHECK(nvmlDeviceGetTemperatureV(device, &temperature) == NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  CHECK(nvmlDeviceGetPowerUsage(device, &value) == NVML_ERROR_NOT_SUPPORTED);
  CHECK(nvmlDeviceGetClockInfo(device, NVML_CLOCK_SM, &value) == NVML_ERROR_NOT_SUPPORTED);
  CHECK(nvmlDeviceGetClockInfo(device, NVML_CLOCK_VIDEO, &value) == NVML_ERROR_NOT_SUPPORTED);
  nvmlEnableState_t state{};
  CHECK(nvmlDeviceGetEccMode(device, &state, &state) == NVML_ERROR_NOT_SUPPORTED);
  nvmlDriverModel_t model{};
  CHECK(nvmlDeviceGetDriverModel(device, &model, &model) == NVML_ERROR_NOT_SUPPORTED);
  CHECK(refuse("nvmlDeviceGetSerial") == NVML_ERROR_NOT_SUPPORTED);
  int major = 0, minor = 0;
  CHECK(nvmlDeviceGetCudaComputeCapability(device, &major, &minor) == NVML_SUCCESS);
  CHECK(major == 9);
  nvmlDeviceArchitecture_t architecture = 0;
  CHECK(nvmlDeviceGetArchitecture(device, &architecture) == NVML_SUCCESS);
  CHECK(architecture == 9);
}

TEST_CASE("nvml: processes are given as far as there is room, in each version's structure") {
  Fixture f;
  const nvmlDevice_t first = f.init(0);
  unsigned int count = 0;
  CHECK(nvmlDeviceGetComputeRunningProcesses_v3(first, &count, nullptr) == NVML_ERROR_INSUFFICIENT_SIZE);
  CHECK(count == 2);
  nvmlProcessInfo_t infos[3]{};
  infos[1].pid = 12345;
  count = 1;
  CHECK(nvmlDeviceGetComputeRunningProcesses_v2(first, &count, infos) == NVML_ERROR_INSUFFICIENT_SIZE);
  CHECK(infos[1].pid == 12345);
  count = 3;
  REQUIRE(nvmlDeviceGetComputeRunningProcesses_v3(first, &count, infos) == NVML_SUCCESS);
  REQUIRE(count == 2);
  CHECK(infos[0].pid == static_cast<unsigned int>(::getpid()));
  CHECK(infos[0].usedGpuMemory == 100);
  CHECK(infos[0].gpuInstanceId == 0xffffffff);
  CHECK(sizeof infos[0] == 24);
  nvmlProcessInfo_v1_t old[2]{};
  count = 2;
  CHECK(nvmlDeviceGetComputeRunningProcesses(first, &count, old) == NVML_SUCCESS);
  CHECK(old[1].usedGpuMemory == 200);
  CHECK(sizeof old[0] == 16);
  nvmlDevice_t second = nullptr;
  REQUIRE(nvmlDeviceGetHandleByIndex_v2(1, &second) == NVML_SUCCESS);
  count = 3;
  CHECK(nvmlDeviceGetComputeRunningProcesses_v3(second, &count, infos) == NVML_SUCCESS);
  CHECK(count == 1);
  count = 3;
  CHECK(nvmlDeviceGetGraphicsRunningProcesses_v3(first, &count, infos) == NVML_SUCCESS);
  CHECK(count == 0);
  count = 1;
  CHECK(nvmlDeviceGetComputeRunningProcesses_v3(first, &count, nullptr) == NVML_ERROR_INVALID_ARGUMENT);
  nvmlProcessDetail_v1_t details[2]{};
  nvmlProcessDetailList_v1_t list{nvmlProcessDetailList_v1, NVML_PROCESS_MODE_COMPUTE, 2, details};
  CHECK(nvmlDeviceGetRunningProcessDetailList(first, &list) == NVML_SUCCESS);
  CHECK(list.numProcArrayEntries == 2);
  list.version = 0;
  CHECK(nvmlDeviceGetRunningProcessDetailList(first, &list) == NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  char name[64];
  CHECK(nvmlSystemGetProcessName(1u << 30, name, sizeof name) == NVML_SUCCESS);
  CHECK(std::string(name) == "elsewhere");
  CHECK(nvmlSystemGetProcessName(static_cast<unsigned int>(::getpid()), name, sizeof name) == NVML_SUCCESS);
  CHECK(std::string(name).find("nvml_test") != std::string::npos);
  CHECK(nvmlSystemGetProcessName((1u << 30) + 1, name, sizeof name) == NVML_ERROR_NOT_FOUND);
}

TEST_CASE("nvml: threads that ask at once share an answer") {
  Fixture f;
  const nvmlDevice_t device = f.init();
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        nvmlMemory_t memory;
        if (nvmlDeviceGetMemoryInfo(device, &memory) != NVML_SUCCESS || memory.total != 1000) ++failures;
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(asked < 800);
}
