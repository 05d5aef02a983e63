#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "actors/config.hpp"

/// Which driver library the executors of a pool load. Looks at files only: a process that initializes CUDA can't start
/// workers that use it, so vgpud never loads libcuda itself.
namespace vgpu::daemon {

struct Driver {
  std::filesystem::path library;  ///< absolute; the executor opens exactly this file
  std::int32_t device = -1;       ///< ordinal; -1: all
  std::string visible_devices;    ///< value of CUDA_VISIBLE_DEVICES for the executor; empty: left as it is
  bool software = false;
  std::filesystem::path nvml;            ///< the NVML that knows its GPUs; empty: none was found
  std::vector<std::string> environment;  ///< "NAME=value" for the executor, in place of the daemon's own
  bool operator==(const Driver&) const = default;
};

/// Where to look; a test names folders of its own.
struct DriverSearch {
  std::vector<std::filesystem::path> library_folders;  ///< first match wins
  std::vector<std::filesystem::path> kernel_signs;     ///< one of them exists: the kernel driver is loaded
  std::filesystem::path software_library;              ///< empty: not built
};

/// This machine: LD_LIBRARY_PATH, the linker's cache, the usual folders; /dev/nvidiactl, /proc/driver/nvidia/version
/// and WSL's /dev/dxg.
DriverSearch system_driver_search();

/// Looks the choice up. The text says what is missing and what to do.
std::variant<Driver, std::string> choose_driver(const GpuChoice& gpu, const DriverSearch& search);

/// The variables that make the software GPU what the configuration says.
std::vector<std::string> software_gpu_environment(const GpuChoice& gpu, const SoftwareGpuConfig& config);

/// True if the file is the project's own libcuda.so.1, which guests load: it holds the name of the variable that only
/// the shim reads. vgpud must not hand it to executors, whatever LD_LIBRARY_PATH says.
bool is_shim(const std::filesystem::path& library);

/// `value` of LD_LIBRARY_PATH without the folders that hold the shim.
std::string library_path_without_shim(const std::string& value);

/// Paths that /etc/ld.so.cache (glibc's new format, glibc-ld.so.cache1.1) gives for `soname`. Anything malformed: none.
std::vector<std::filesystem::path> linker_cache_paths(const std::string& cache, const std::string& soname);

}  // namespace vgpu::daemon
