#pragma once
#include <array>
#include <type_traits>

#include "protocol/layout.h"
#include "protocol/types.hpp"

/// What a VM may know of its GPUs without a session: the daemon writes one Status where the channel's staging begins
/// and answers the Welcome; no executor is started, and the channel can do nothing else (VGPU_FEATURE_STATUS). The
/// guest copies it once, checks it and closes the channel. It holds nothing of any other VM.
namespace vgpu::protocol {

inline constexpr u32 kStatusVersion = 1;
inline constexpr u32 kStatusGpus = 16;
inline constexpr u32 kStatusProcesses = 1024;

/// What of a StatusGpu is known; the rest is 0.
enum StatusKnown : u32 {
  kKnowsUtilization = 1u << 0,
  kKnowsMemoryUtilization = 1u << 1,
  kKnowsTemperature = 1u << 2,
  kKnowsPower = 1u << 3,
  kKnowsPowerLimit = 1u << 4,
  kKnowsSmClock = 1u << 5,
  kKnowsSmClockMax = 1u << 6,
  kKnowsMemoryClock = 1u << 7,
  kKnowsMemoryClockMax = 1u << 8,
  kKnowsEccCorrected = 1u << 9,
  kKnowsEccUncorrected = 1u << 10,
};

/// One GPU as the VM sees it. Texts are NUL-terminated.
struct StatusGpu {
  u32 known = 0;  ///< StatusKnown
  u32 compute_major = 0;
  u32 compute_minor = 0;
  u32 healthy = 1;                     ///< 0: the GPU gets no work
  u64 memory_total = 0;                ///< bytes: the VM's limit, or the device's
  u64 memory_used = 0;                 ///< bytes charged to the VM, over all of its sessions
  u64 memory_free = 0;                 ///< bytes that the VM could still get
  u32 utilization_percent = 0;         ///< this VM's share of GPU time in about the last second
  u32 memory_utilization_percent = 0;  ///< of the whole GPU, as are the readings that follow
  u32 temperature_celsius = 0;
  u32 power_milliwatts = 0;
  u32 power_limit_milliwatts = 0;
  u32 sm_clock_megahertz = 0;
  u32 sm_clock_max_megahertz = 0;
  u32 memory_clock_megahertz = 0;
  u32 memory_clock_max_megahertz = 0;
  u32 zero = 0;
  u64 ecc_corrected = 0;  ///< since the host's driver was loaded
  u64 ecc_uncorrected = 0;
  std::array<char, 48> uuid{};        ///< "GPU-…", as CUDA's
  std::array<char, 96> name{};        ///< as CUDA's
  std::array<char, 32> pci_bus_id{};  ///< domain:bus:device.function, as CUDA's but for the domain's length
};
static_assert(sizeof(StatusGpu) == 272 && std::is_trivially_copyable_v<StatusGpu>);

/// One process of the VM that has a session.
struct StatusProcess {
  i32 pid = 0;          ///< as the guest numbers it: of its Hello
  u32 gpus = 0;         ///< bit n: it uses gpus[n]
  u64 memory_used = 0;  ///< bytes
  u32 utilization_percent = 0;
  u32 zero = 0;
  std::array<char, 64> name{};  ///< of the program, NUL-terminated
};
static_assert(sizeof(StatusProcess) == 88 && std::is_trivially_copyable_v<StatusProcess>);

struct Status {
  u32 magic = VGPU_MAGIC;
  u32 version = kStatusVersion;
  u32 bytes = sizeof(Status);  ///< a later version may add fields at the end
  u32 vm = 0;
  i32 cuda_driver_version = 0;  ///< of the host's driver; 13000: 13.0
  u32 gpu_count = 0;
  u32 process_count = 0;  ///< those that are listed: all, as long as a VM may have no more sessions at once
  u32 zero = 0;
  std::array<char, 80> driver_version{};  ///< of the host's driver, NUL-terminated
  std::array<StatusGpu, kStatusGpus> gpus{};
  std::array<StatusProcess, kStatusProcesses> processes{};
};
static_assert(std::is_trivially_copyable_v<Status> && sizeof(Status) <= VGPU_STAGING_CHUNK_BYTES);

/// Writes a text into a field of fixed size, cut to what fits.
template <std::size_t N>
void set_text(std::array<char, N>& field, const char* text, std::size_t length) noexcept {
  field.fill('\0');
  for (std::size_t i = 0; i < length && i + 1 < N; ++i) field[i] = text[i];
}

}  // namespace vgpu::protocol
