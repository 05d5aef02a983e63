#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/nvml_api.h"

/// What NVML says at one moment. What it does not know is empty: "N/A" in every output.
namespace vgpu::smi {

struct Process {
  unsigned int pid = 0;
  std::string name;
  std::optional<std::uint64_t> memory_bytes;
};

struct Gpu {
  unsigned int index = 0;
  std::optional<std::string> name, uuid, bus_id;
  std::optional<nvmlPciInfo_t> pci;
  std::optional<std::string> compute_capability;  ///< "9.0"
  std::optional<nvmlMemory_v2_t> memory;
  std::optional<nvmlUtilization_t> utilization;                                    ///< percent
  std::optional<unsigned int> temperature;                                         ///< degrees Celsius
  std::optional<unsigned int> power, power_limit;                                  ///< milliwatts
  std::optional<unsigned int> graphics_clock, sm_clock, memory_clock;              ///< megahertz
  std::optional<unsigned int> max_graphics_clock, max_sm_clock, max_memory_clock;  ///< megahertz
  std::optional<unsigned long long> ecc_corrected, ecc_uncorrected;                ///< since the driver was loaded
  std::optional<std::string> ecc_mode, compute_mode;
  std::vector<Process> processes;
};

struct Facts {
  std::string timestamp;  ///< "2026/11/23 15:40:00.123"
  std::string date;       ///< "Mon Nov 23 15:40:00 2026"
  std::optional<std::string> driver_version, cuda_version;
  std::vector<Gpu> gpus;  ///< that were asked for
  std::size_t count = 0;  ///< of all GPUs
};

/// NVML failed in a way that ends the program.
struct Failure {
  nvmlReturn_t result;
};

/// Asks for everything. `only`: indices, UUIDs or PCI bus ids; empty: all GPUs. Throws Failure, also where one of
/// `only` is no GPU (NVML_ERROR_NOT_FOUND).
Facts read_facts(const std::vector<std::string>& only);

}  // namespace vgpu::smi
