// Asking the host: one channel for one status.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "shim/carrier.hpp"
#include "shim/nvml/library.hpp"

namespace vgpu::nvml {
namespace {

constexpr std::size_t kMappedBytes = (sizeof(Status) + VGPU_PAGE - 1) / VGPU_PAGE * VGPU_PAGE;

nvmlReturn_t result_of(CUresult result) noexcept {
  switch (result) {
    case CUDA_ERROR_NO_DEVICE:
      return NVML_ERROR_DRIVER_NOT_LOADED;
    case CUDA_ERROR_NOT_PERMITTED:
      return NVML_ERROR_NO_PERMISSION;
    case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
      return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    case CUDA_ERROR_OUT_OF_MEMORY:
      return NVML_ERROR_MEMORY;
    default:
      return NVML_ERROR_UNKNOWN;
  }
}

template <std::size_t N>
void end_text(std::array<char, N>& text) noexcept {
  text.back() = '\0';
}

}  // namespace

Answer ask_host() {
  shim::Opened opened = shim::open_carrier(shim::Purpose::status);
  if (opened.carrier == nullptr) return {nullptr, result_of(opened.result), std::move(opened.reason)};
  if (opened.carrier->region_bytes() < VGPU_STAGING_OFFSET + VGPU_STAGING_BYTES)
    return {nullptr, NVML_ERROR_LIB_RM_VERSION_MISMATCH, "the host's shared memory is too small"};
  void* const mapping =
      ::mmap(nullptr, kMappedBytes, PROT_READ, MAP_SHARED, opened.carrier->region_fd(), VGPU_STAGING_OFFSET);
  if (mapping == MAP_FAILED) return {nullptr, NVML_ERROR_OPERATING_SYSTEM, "the host's status can't be mapped"};
  StatusPtr status = read_status(static_cast<const std::byte*>(mapping), sizeof(Status));
  ::munmap(mapping, kMappedBytes);
  if (status != nullptr) return {std::move(status), NVML_SUCCESS, {}};
  return {nullptr, NVML_ERROR_LIB_RM_VERSION_MISMATCH,
          "the host's daemon tells no status that this library understands; install the same version of vgpu"};
}

StatusPtr read_status(const std::byte* shared, std::size_t bytes) {
  if (bytes < sizeof(Status)) return nullptr;
  auto status = std::make_shared<Status>();
  // Once: what is checked below is this copy.
  std::memcpy(status.get(), shared, sizeof(Status));
  if (status->magic != VGPU_MAGIC || status->version != protocol::kStatusVersion || status->bytes < sizeof(Status))
    return nullptr;
  if (status->gpu_count > protocol::kStatusGpus || status->process_count > protocol::kStatusProcesses) return nullptr;
  end_text(status->driver_version);
  for (u32 i = 0; i < status->gpu_count; ++i) {
    StatusGpu& gpu = status->gpus[i];
    end_text(gpu.uuid);
    end_text(gpu.name);
    end_text(gpu.pci_bus_id);
    if (gpu.memory_used > gpu.memory_total || gpu.memory_free > gpu.memory_total - gpu.memory_used) return nullptr;
  }
  for (u32 i = 0; i < status->process_count; ++i) {
    end_text(status->processes[i].name);
    status->processes[i].gpus &= (u32{1} << status->gpu_count) - 1;
  }
  return status;
}

}  // namespace vgpu::nvml
