#pragma once
#include <cstring>

#include "smi/facts.hpp"

namespace vgpu::smi::test {

/// One GPU of which everything is known, with two processes, and one of which nothing is.
inline Facts two_gpus() {
  Facts facts;
  facts.timestamp = "2026/11/23 15:40:00.123";
  facts.date = "Mon Nov 23 15:40:00 2026";
  facts.driver_version = "580.159.04";
  facts.cuda_version = "13.0";
  facts.count = 2;
  Gpu gpu;
  gpu.name = "NVIDIA H100 80GB HBM3";
  gpu.uuid = "GPU-1";
  gpu.bus_id = "00000000:0F:00.0";
  gpu.pci.emplace();
  gpu.pci->bus = 15;
  gpu.compute_capability = "9.0";
  gpu.memory = nvmlMemory_v2_t{nvmlMemory_v2, 1024ull << 20, 0, 960ull << 20, 64ull << 20};
  gpu.utilization = nvmlUtilization_t{42, 7};
  gpu.temperature = 61;
  gpu.power = 250499;
  gpu.power_limit = 700000;
  gpu.sm_clock = 1980;
  gpu.ecc_uncorrected = 0;
  gpu.ecc_mode = "Enabled";
  gpu.compute_mode = "Default";
  gpu.processes = {{140, "python3", 64ull << 20},
                   {141, "/a/path/so/long/that/it/does/not/fit/into/the/table/train", {}}};
  facts.gpus.push_back(gpu);
  facts.gpus.emplace_back().index = 1;
  return facts;
}

}  // namespace vgpu::smi::test
