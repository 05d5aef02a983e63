#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "common/nvml_api.h"
#include "protocol/status.hpp"

/// The guest's libnvidia-ml.so.1: NVML's questions answered from a protocol::Status, which costs the host a message but
/// no session and no executor. Everything here may be called from any thread and lets no exception out.
namespace vgpu::nvml {

using protocol::Status;
using protocol::StatusGpu;
using protocol::u32;
using protocol::u64;
using StatusPtr = std::shared_ptr<const Status>;

/// How things stand on the host, or why nobody says so.
struct Answer {
  StatusPtr status;  ///< null: `result` and `reason` say why
  nvmlReturn_t result = NVML_SUCCESS;
  std::string reason;  ///< for people
};

/// Asks the host anew.
Answer ask_host();

/// Copies a status out of memory that others can write, and checks it. Null: it is none, or one of another version.
StatusPtr read_status(const std::byte* shared, std::size_t bytes);

/// Of an initialized library; what the host says is at most 100 ms old. Else null, and `result` says why.
StatusPtr current_status(nvmlReturn_t& result) noexcept;
bool is_initialized() noexcept;

/// A handle is the same for a GPU for the whole life of the process. NVML_ERROR_MEMORY: too many GPUs came by.
nvmlReturn_t handle_of(const StatusGpu& gpu, nvmlDevice_t* device) noexcept;
/// The handle's GPU, or null with NVML_ERROR_INVALID_ARGUMENT (no such handle), NVML_ERROR_GPU_IS_LOST (it is no longer
/// this VM's).
const StatusGpu* find_gpu(const Status& status, nvmlDevice_t device, nvmlReturn_t& result) noexcept;

/// Asks something other than ask_host() (null: that again), and forgets what was asked. For tests.
void set_host(Answer (*host)()) noexcept;

/// Refuses a function that is not carried, and names it once on stderr with VGPU_LOG set. NVML_ERROR_NOT_SUPPORTED, or
/// NVML_ERROR_UNINITIALIZED.
nvmlReturn_t refuse(const char* name) noexcept;

/// Copies a text with its end into a caller's buffer.
nvmlReturn_t give_text(std::string_view text, char* buffer, unsigned int length) noexcept;

/// Runs body(status) with what the host says.
template <typename Body>
nvmlReturn_t with_status(Body body) noexcept {
  nvmlReturn_t result = NVML_SUCCESS;
  const StatusPtr status = current_status(result);
  if (status == nullptr) return result;
  try {
    return body(*status);
  } catch (...) {
    return NVML_ERROR_MEMORY;
  }
}

/// Runs body(gpu, status) with the handle's GPU.
template <typename Body>
nvmlReturn_t with_gpu(nvmlDevice_t device, Body body) noexcept {
  return with_status([&](const Status& status) {
    nvmlReturn_t result = NVML_SUCCESS;
    const StatusGpu* const gpu = find_gpu(status, device, result);
    return gpu != nullptr ? body(*gpu, status) : result;
  });
}

/// Gives out one field if the status knows it.
template <typename T, typename U>
nvmlReturn_t give_known(nvmlDevice_t device, u32 bit, T StatusGpu::*field, U* value) noexcept {
  return with_gpu(device, [&](const StatusGpu& gpu, const Status&) {
    if (value == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if ((gpu.known & bit) == 0) return NVML_ERROR_NOT_SUPPORTED;
    *value = static_cast<U>(gpu.*field);
    return NVML_SUCCESS;
  });
}

inline u32 index_of(const StatusGpu& gpu, const Status& status) noexcept {
  return static_cast<u32>(&gpu - status.gpus.data());
}

/// "00000000:F0:00.0" and shorter forms. False: it is no PCI address.
struct PciAddress {
  unsigned int domain = 0, bus = 0, device = 0, function = 0;
  bool operator==(const PciAddress&) const = default;
};
bool parse_pci_address(const char* text, PciAddress& address) noexcept;

}  // namespace vgpu::nvml
