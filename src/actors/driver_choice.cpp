#include "actors/driver_choice.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#include "common/paths.hpp"
#include "common/unique_fd.hpp"

namespace vgpu::daemon {
namespace fs = std::filesystem;
namespace {

constexpr const char* kDriverSoname = "libcuda.so.1";
constexpr std::string_view kShimMark = "VGPU_SOCKET";

std::vector<std::string> split_path_list(const std::string& value) {
  std::vector<std::string> parts;
  std::istringstream stream(value);
  for (std::string part; std::getline(stream, part, ':');)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

std::string file_text(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

fs::path find_driver(const DriverSearch& search) {
  std::error_code error;
  for (const fs::path& folder : search.library_folders) {
    const fs::path candidate = folder / kDriverSoname;
    if (!folder.is_absolute() || !fs::is_regular_file(candidate, error) || is_shim(candidate)) continue;
    return candidate;
  }
  return {};
}

/// NVML beside the driver, else the first one.
fs::path find_nvml(const fs::path& driver, const DriverSearch& search) {
  std::vector<fs::path> folders{driver.parent_path()};
  folders.insert(folders.end(), search.library_folders.begin(), search.library_folders.end());
  std::error_code error;
  for (const fs::path& folder : folders) {
    const fs::path candidate = folder / "libnvidia-ml.so.1";
    if (folder.is_absolute() && fs::is_regular_file(candidate, error) && !is_shim(candidate)) return candidate;
  }
  return {};
}

bool kernel_driver_present(const DriverSearch& search) {
  std::error_code error;
  for (const fs::path& sign : search.kernel_signs)
    if (fs::exists(sign, error)) return true;
  return false;
}

}  // namespace

std::vector<fs::path> linker_cache_paths(const std::string& cache, const std::string& soname) {
  // glibc, sysdeps/generic/dl-cache.h: struct cache_file_new and struct file_entry_new.
  constexpr std::string_view kMagic = "glibc-ld.so.cache1.1";
  constexpr std::size_t kHeaderBytes = 48, kEntryBytes = 24;
  std::vector<fs::path> paths;
  const std::size_t start = cache.find(kMagic);  // an old-format header may stand before it
  if (start == std::string::npos || cache.size() - start < kHeaderBytes) return paths;
  const std::string_view file(cache.data() + start, cache.size() - start);
  const auto word = [&](std::size_t offset) {
    std::uint32_t value;
    std::memcpy(&value, file.data() + offset, sizeof value);
    return value;
  };
  const auto text = [&](std::uint32_t offset) -> std::string_view {
    if (offset >= file.size()) return {};
    const std::string_view rest = file.substr(offset);
    return rest.substr(0, rest.find('\0'));
  };
  const std::size_t count = word(kMagic.size());
  if (count > (file.size() - kHeaderBytes) / kEntryBytes) return paths;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t entry = kHeaderBytes + i * kEntryBytes;
    constexpr std::uint32_t kX86_64 = 0x0303, kAArch64 = 0x0a03;  // FLAG_X8664_LIB64 | FLAG_ELF_LIBC6 and so on
    const std::uint32_t flags = word(entry);
    if ((flags == kX86_64 || flags == kAArch64) && text(word(entry + 4)) == soname)
      paths.emplace_back(text(word(entry + 8)));
  }
  return paths;
}

DriverSearch system_driver_search() {
  DriverSearch search;
  if (const char* value = std::getenv("LD_LIBRARY_PATH"))
    for (std::string& folder : split_path_list(value)) search.library_folders.emplace_back(std::move(folder));
  for (const fs::path& path : linker_cache_paths(file_text("/etc/ld.so.cache"), kDriverSoname))
    search.library_folders.push_back(path.parent_path());
  for (const char* folder :
       {"/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib",
        "/usr/local/nvidia/lib64", "/run/opengl-driver/lib", "/usr/lib/wsl/lib"})
    search.library_folders.emplace_back(folder);
  search.kernel_signs = {"/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg"};
  search.software_library = softgpu_library();
  return search;
}

std::variant<Driver, std::string> choose_driver(const GpuChoice& gpu, const DriverSearch& search) {
  using Kind = GpuChoice::Kind;
  if (gpu.kind != Kind::software && kernel_driver_present(search)) {
    if (fs::path library = find_driver(search); !library.empty()) {
      Driver driver{library, -1, {}, false, find_nvml(library, search), {}};
      if (gpu.kind == Kind::index) driver.device = static_cast<std::int32_t>(gpu.index);
      if (gpu.kind == Kind::uuid) {
        driver.visible_devices = gpu.uuid;
        driver.device = 0;
      }
      return driver;
    }
  }
  if (gpu.kind == Kind::index || gpu.kind == Kind::uuid)
    return "gpu " + gpu_text(gpu) + " needs NVIDIA's driver, and there is none on this machine (" +
           (kernel_driver_present(search) ? "the kernel driver is loaded, but no libcuda.so.1 was found"
                                          : "no /dev/nvidiactl") +
           "); install it, or take gpu \"software\"";
  if (search.software_library.empty())
    return std::string(
               "the software GPU, libvgpu-softgpu.so, is not beside vgpud (looked in ../lib and ../lib/vgpu); "
               "build or install it") +
           (gpu.kind == Kind::automatic ? ", or install NVIDIA's driver" : "");
  fs::path nvml = search.software_library.parent_path() / "libvgpu-softgpu-nvml.so";
  std::error_code error;
  if (!fs::exists(nvml, error)) nvml.clear();
  return Driver{search.software_library, -1, {}, true, std::move(nvml), {}};
}

std::vector<std::string> software_gpu_environment(const GpuChoice& gpu, const SoftwareGpuConfig& config) {
  std::vector<std::string> environment;
  const auto set = [&](const char* name, std::uint64_t value) {
    environment.push_back(std::string(name) + "=" + std::to_string(value));
  };
  if (gpu.devices != 0) set("VGPU_SOFTGPU_DEVICES", gpu.devices);
  if (gpu.index != 0) set("VGPU_SOFTGPU_FIRST", gpu.index);
  if (config.memory_bytes) set("VGPU_SOFTGPU_MEMORY", *config.memory_bytes);
  if (config.rate) set("VGPU_SOFTGPU_RATE", *config.rate);
  if (config.launch_timeout_seconds) set("VGPU_SOFTGPU_LAUNCH_TIMEOUT", *config.launch_timeout_seconds);
  return environment;
}

bool is_shim(const fs::path& library) {
  const UniqueFd file(::open(library.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) return false;
  const auto bytes = static_cast<std::size_t>(status.st_size);
  void* data = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) return false;
  const bool found = ::memmem(data, bytes, kShimMark.data(), kShimMark.size()) != nullptr;
  ::munmap(data, bytes);
  return found;
}

std::string library_path_without_shim(const std::string& value) {
  std::string kept;
  for (const std::string& folder : split_path_list(value)) {
    if (is_shim(fs::path(folder) / kDriverSoname)) continue;
    kept += (kept.empty() ? "" : ":") + folder;
  }
  return kept;
}

}  // namespace vgpu::daemon
