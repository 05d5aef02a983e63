// NVML's chapters "System Queries" and "Error Reporting".
#include <cuda.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "shim/nvml/library.hpp"
#include "shim/say_once.hpp"

using namespace vgpu::nvml;

const char* nvmlErrorString(nvmlReturn_t result) {
  switch (result) {
    case NVML_SUCCESS:
      return "Success";
    case NVML_ERROR_UNINITIALIZED:
      return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT:
      return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED:
      return "Not Supported";
    case NVML_ERROR_NO_PERMISSION:
      return "Insufficient Permissions";
    case NVML_ERROR_ALREADY_INITIALIZED:
      return "Already Initialized";
    case NVML_ERROR_NOT_FOUND:
      return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE:
      return "Insufficient Size";
    case NVML_ERROR_INSUFFICIENT_POWER:
      return "Insufficient External Power";
    case NVML_ERROR_DRIVER_NOT_LOADED:
      return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT:
      return "Timeout";
    case NVML_ERROR_IRQ_ISSUE:
      return "Interrupt Request Issue";
    case NVML_ERROR_LIBRARY_NOT_FOUND:
      return "NVML Shared Library Not Found";
    case NVML_ERROR_FUNCTION_NOT_FOUND:
      return "Function Not Found";
    case NVML_ERROR_CORRUPTED_INFOROM:
      return "Corrupted infoROM";
    case NVML_ERROR_GPU_IS_LOST:
      return "GPU is lost";
    case NVML_ERROR_RESET_REQUIRED:
      return "GPU requires restart";
    case NVML_ERROR_OPERATING_SYSTEM:
      return "The operating system has blocked the request.";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
      return "RM has detected an NVML/RM version mismatch.";
    case NVML_ERROR_IN_USE:
      return "In use by another client";
    case NVML_ERROR_MEMORY:
      return "Insufficient Memory";
    case NVML_ERROR_NO_DATA:
      return "No data";
    case NVML_ERROR_INSUFFICIENT_RESOURCES:
      return "Insufficient Resources";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
      return "The version argument is invalid or not supported";
    case NVML_ERROR_NOT_READY:
      return "The system is not ready for the request";
    case NVML_ERROR_GPU_NOT_FOUND:
      return "No GPUs were found";
    default:
      return "Unknown Error";
  }
}

// NVIDIA's private tables, which nvidia-smi asks for. There is none here.
extern "C" nvmlReturn_t nvmlInternalGetExportTable(const void** table, const void* id) {
  if (table == nullptr || id == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *table = nullptr;
  vgpu::shim::say_once("nvmlInternalGetExportTable", "vgpu: nvmlInternalGetExportTable: there is no such table");
  return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlSystemGetDriverVersion(char* version, unsigned int length) {
  return with_status([&](const Status& status) { return give_text(status.driver_version.data(), version, length); });
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char* version, unsigned int length) {
  // As NVIDIA's: the API's version, then the driver's.
  return with_status([&](const Status& status) {
    return give_text("13." + std::string(status.driver_version.data()), version, length);
  });
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int* version) {
  return with_status([&](const Status& status) {
    if (version == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    // What the VM's libcuda says, too: nothing newer than its own build is carried.
    *version = std::min(status.cuda_driver_version, CUDA_VERSION);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int* version) { return nvmlSystemGetCudaDriverVersion_v2(version); }

nvmlReturn_t nvmlSystemGetProcessName(unsigned int pid, char* name, unsigned int length) {
  return with_status([&](const Status& status) {
    if (name == nullptr || length == 0) return NVML_ERROR_INVALID_ARGUMENT;
    // As the driver: the command as it was given. Another PID namespace's processes are known by their program's name.
    std::ifstream command("/proc/" + std::to_string(pid) + "/cmdline");
    std::string text;
    std::getline(command, text, '\0');
    for (vgpu::protocol::u32 i = 0; text.empty() && i < status.process_count; ++i)
      if (static_cast<unsigned int>(status.processes[i].pid) == pid) text = status.processes[i].name.data();
    if (text.empty()) return NVML_ERROR_NOT_FOUND;
    text.resize(std::min<std::size_t>(text.size(), length - 1));
    return give_text(text, name, length);
  });
}
