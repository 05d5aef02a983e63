// Processes: this VM's own, by the numbers that they have in it.
#include "shim/nvml/library.hpp"

using namespace vgpu::nvml;
using vgpu::protocol::StatusProcess;

namespace {

constexpr unsigned int kNoInstance = 0xffffffff;

void fill(nvmlProcessInfo_v1_t& info, const StatusProcess& process) noexcept {
  info = {static_cast<unsigned int>(process.pid), process.memory_used};
}

void fill(nvmlProcessInfo_t& info, const StatusProcess& process) noexcept {
  info = {static_cast<unsigned int>(process.pid), process.memory_used, kNoInstance, kNoInstance};
}

void fill(nvmlProcessDetail_v1_t& info, const StatusProcess& process) noexcept {
  info = {static_cast<unsigned int>(process.pid), process.memory_used, kNoInstance, kNoInstance, 0};
}

/// Gives out the GPU's processes as far as there is room; `count` becomes their number.
template <typename Info>
nvmlReturn_t give_processes(nvmlDevice_t device, unsigned int* count, Info* infos) noexcept {
  return with_gpu(device, [&](const StatusGpu& gpu, const Status& status) {
    if (count == nullptr || (*count != 0 && infos == nullptr)) return NVML_ERROR_INVALID_ARGUMENT;
    const unsigned int room = *count;
    *count = 0;
    for (u32 i = 0; i < status.process_count; ++i) {
      if ((status.processes[i].gpus >> index_of(gpu, status) & 1) == 0) continue;
      if (*count < room) fill(infos[*count], status.processes[i]);
      ++*count;
    }
    return *count <= room ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
  });
}

/// Of a kind that no process here is of.
nvmlReturn_t give_none(nvmlDevice_t device, unsigned int* count) noexcept {
  return with_gpu(device, [&](const StatusGpu&, const Status&) {
    if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *count = 0;
    return NVML_SUCCESS;
  });
}

}  // namespace

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device, unsigned int* count,
                                                  nvmlProcessInfo_v1_t* infos) {
  return give_processes(device, count, infos);
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int* count,
                                                     nvmlProcessInfo_t* infos) {
  return give_processes(device, count, infos);
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int* count,
                                                     nvmlProcessInfo_t* infos) {
  return give_processes(device, count, infos);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses(nvmlDevice_t device, unsigned int* count, nvmlProcessInfo_v1_t*) {
  return give_none(device, count);
}
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v2(nvmlDevice_t device, unsigned int* count, nvmlProcessInfo_t*) {
  return give_none(device, count);
}
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int* count, nvmlProcessInfo_t*) {
  return give_none(device, count);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses(nvmlDevice_t device, unsigned int* count, nvmlProcessInfo_v1_t*) {
  return give_none(device, count);
}
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int* count, nvmlProcessInfo_t*) {
  return give_none(device, count);
}
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int* count, nvmlProcessInfo_t*) {
  return give_none(device, count);
}

nvmlReturn_t nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device, nvmlProcessDetailList_v1_t* list) {
  if (!is_initialized()) return NVML_ERROR_UNINITIALIZED;
  if (list == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (list->version != nvmlProcessDetailList_v1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (list->mode == NVML_PROCESS_MODE_GRAPHICS || list->mode == NVML_PROCESS_MODE_MPS)
    return give_none(device, &list->numProcArrayEntries);
  if (list->mode != NVML_PROCESS_MODE_COMPUTE && list->mode != NVML_PROCESS_MODE_ALL)
    return NVML_ERROR_INVALID_ARGUMENT;
  return give_processes(device, &list->numProcArrayEntries, list->procArray);
}
