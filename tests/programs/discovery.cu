// What frameworks ask before they use a GPU, in the order in which they ask it: CUDA's driver, found by its name, and
// NVML, found by its name, must speak of the same devices. As torch.cuda, pynvml, llama.cpp and Ollama do.
#include <dlfcn.h>

#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"

// NVML's ABI, as its documentation has it: programs that look for it at run time declare it themselves.
struct Memory {
  unsigned long long total, free, used;
};
struct Process {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};
struct Pci {
  char bus_id_legacy[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};
using Handle = void*;

static constexpr int kMajor = 75, kMinor = 76, kIntegrated = 18;

struct Library {
  explicit Library(const char* name) : name(name), handle(dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
    REQUIRE(handle != nullptr, "%s: %s", name, dlerror());
  }
  template <typename... Arguments>
  int call(const char* function, Arguments... arguments) const {
    void* const symbol = dlsym(handle, function);
    REQUIRE(symbol != nullptr, "%s has no %s", name, function);
    return reinterpret_cast<int (*)(Arguments...)>(symbol)(arguments...);
  }
  template <typename... Arguments>
  void ask(const char* function, Arguments... arguments) const {
    const int result = call(function, arguments...);
    REQUIRE(result == 0, "%s gave %d", function, result);
  }
  const char* name;
  void* handle;
};

/// "GPU-" and the bytes in NVML's order.
static std::string uuid_text(const unsigned char (&bytes)[16]) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", bytes[i]);
    text += pair;
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return text;
}

/// "0000:01:00.0" of "00000000:01:00.0".
static std::string short_bus_id(const std::string& id) {
  const size_t colon = id.find(':');
  return colon > 4 ? id.substr(colon - 4) : id;
}

static void look_at(const Library& cuda, const Library& nvml, int ordinal) {
  int device = 0, major = 0, minor = 0, integrated = -1;
  char name[256] = {}, bus_id[64] = {};
  size_t total = 0;
  unsigned char uuid[16] = {};
  cuda.ask("cuDeviceGet", &device, ordinal);
  cuda.ask("cuDeviceGetAttribute", &major, kMajor, device);
  cuda.ask("cuDeviceGetAttribute", &minor, kMinor, device);
  cuda.ask("cuDeviceGetAttribute", &integrated, kIntegrated, device);
  cuda.ask("cuDeviceGetName", name, 256, device);
  cuda.ask("cuDeviceTotalMem_v2", &total, device);
  cuda.ask("cuDeviceGetPCIBusId", bus_id, 64, device);
  cuda.ask("cuDeviceGetUuid_v2", uuid, device);
  REQUIRE(integrated == 0, "an integrated GPU");

  const std::string id = uuid_text(uuid);
  Handle by_uuid = nullptr, by_pci = nullptr;
  nvml.ask("nvmlDeviceGetHandleByUUID", id.c_str(), &by_uuid);
  nvml.ask("nvmlDeviceGetHandleByPciBusId_v2", static_cast<const char*>(bus_id), &by_pci);
  REQUIRE(by_uuid == by_pci, "%s and %s are two devices to NVML", id.c_str(), bus_id);

  Memory memory = {};
  char nvml_name[96] = {}, nvml_uuid[96] = {};
  int nvml_major = 0, nvml_minor = 0;
  Pci pci = {};
  unsigned processes = 64;
  std::vector<Process> list(processes);
  nvml.ask("nvmlDeviceGetMemoryInfo", by_uuid, &memory);
  nvml.ask("nvmlDeviceGetName", by_uuid, nvml_name, 96u);
  nvml.ask("nvmlDeviceGetUUID", by_uuid, nvml_uuid, 96u);
  nvml.ask("nvmlDeviceGetPciInfo_v3", by_uuid, &pci);
  nvml.ask("nvmlDeviceGetCudaComputeCapability", by_uuid, &nvml_major, &nvml_minor);
  nvml.ask("nvmlDeviceGetComputeRunningProcesses_v3", by_uuid, &processes, list.data());
  REQUIRE(std::strcmp(name, nvml_name) == 0, "'%s' is '%s' to NVML", name, nvml_name);
  REQUIRE(id == nvml_uuid, "%s is %s to NVML", id.c_str(), nvml_uuid);
  REQUIRE(short_bus_id(bus_id) == short_bus_id(pci.bus_id), "%s is at %s to NVML", bus_id, pci.bus_id);
  REQUIRE(major == nvml_major && minor == nvml_minor, "%d.%d is %d.%d to NVML", major, minor, nvml_major, nvml_minor);
  // NVIDIA's NVML counts what the driver keeps for itself, too.
  REQUIRE(memory.total >= total && memory.total - total < total / 16, "%zu bytes are %llu to NVML", total,
          memory.total);
  REQUIRE(memory.free <= memory.total && memory.used <= memory.total, "%llu and %llu of %llu", memory.free, memory.used,
          memory.total);

  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, ordinal));
  REQUIRE(std::strcmp(properties.name, name) == 0 && properties.totalGlobalMem == total && properties.major == major,
          "the runtime says %s, %zu bytes", properties.name, properties.totalGlobalMem);
  std::printf("%s: %s at %s, compute capability %d.%d, %llu MiB\n", name, id.c_str(), bus_id, major, minor,
              memory.total >> 20);
}

int main() {
  const Library cuda("libcuda.so.1"), nvml("libnvidia-ml.so.1");
  int version = 0, nvml_version = 0, devices = 0;
  unsigned nvml_devices = 0;
  char driver[96] = {};
  cuda.ask("cuInit", 0u);
  cuda.ask("cuDriverGetVersion", &version);
  cuda.ask("cuDeviceGetCount", &devices);
  nvml.ask("nvmlInit_v2");
  nvml.ask("nvmlSystemGetDriverVersion", driver, 96u);
  nvml.ask("nvmlSystemGetCudaDriverVersion_v2", &nvml_version);
  nvml.ask("nvmlDeviceGetCount_v2", &nvml_devices);
  REQUIRE(version == nvml_version, "CUDA %d is %d to NVML", version, nvml_version);
  REQUIRE(devices > 0 && nvml_devices >= static_cast<unsigned>(devices), "%d devices, %u to NVML", devices,
          nvml_devices);
  for (int ordinal = 0; ordinal < devices; ++ordinal) look_at(cuda, nvml, ordinal);
  nvml.ask("nvmlShutdown");
  std::printf("discovery: ok, %d of CUDA %d, driver %s\n", devices, version, driver);
  return 0;
}
