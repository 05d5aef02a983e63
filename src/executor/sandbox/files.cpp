#include "executor/sandbox/files.hpp"

#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <sstream>
#include <system_error>

#include "executor/sandbox/view.hpp"
#include "protocol/executor_link.hpp"

namespace vgpu::executor {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kLibraries = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
constexpr std::uint64_t kInformation = kLibraries | MOUNT_ATTR_NOEXEC;
constexpr std::uint64_t kDevices = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
constexpr std::uint64_t kImages = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr const char* kImagesPlace = "/images";

/// Where the loader looks for what the driver library brings along: beside it, beside what is loaded already, and where
/// the operator says.
std::set<fs::path> library_folders(const std::string& driver) {
  std::set<fs::path> folders;
  const auto add = [&](const fs::path& folder) {
    if (folder.is_absolute() && folder.has_relative_path()) folders.insert(folder);
  };
  std::error_code error;
  add(fs::path(driver).parent_path());
  add(fs::canonical(driver, error).parent_path());
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* collected) {
        const fs::path object = info->dlpi_name;
        if (object.is_absolute()) static_cast<std::set<fs::path>*>(collected)->insert(object.parent_path());
        return 0;
      },
      &folders);
  if (const char* list = std::getenv("LD_LIBRARY_PATH")) {
    std::istringstream stream(list);
    for (std::string folder; std::getline(stream, folder, ':');) add(folder);
  }
  return folders;
}

/// The folder of images as the daemon's file system names it; empty where there is none.
fs::path images_folder() {
  std::error_code error;
  const fs::path path = fs::read_symlink("/proc/self/fd/" + std::to_string(protocol::kImagesFd), error);
  return error ? fs::path() : path;
}

bool same_folder(int one, int other) {
  struct stat a {
  }, b{};
  return ::fstat(one, &a) == 0 && ::fstat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// Puts the folder as the new root has it in the place of the daemon's descriptor; closes it where they differ.
void replace_images_folder() {
  const UniqueFd folder(::open(kImagesPlace, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder && same_folder(folder.get(), protocol::kImagesFd))
    ::dup2(folder.get(), protocol::kImagesFd);
  else
    ::close(protocol::kImagesFd);
}

}  // namespace

std::vector<fs::path> device_nodes() {
  std::vector<fs::path> nodes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/dev", error)) {
    const std::string name = entry.path().filename();
    // Switches and links between GPUs are set up by a service; who may open them reaches other tenants' GPUs.
    if (name.starts_with("nvidia-nvswitch") || name.starts_with("nvidia-nvlink")) continue;
    if (name.starts_with("nvidia") || name == "dxg") nodes.push_back(entry.path());
  }
  return nodes;
}

std::string set_view(const std::string& driver, bool own_processes) {
  View view;
  if (std::string error = view.begin(); !error.empty()) return error;
  for (const fs::path& folder : library_folders(driver)) view.add(folder, kLibraries);
  // What the loader, the C library and NVIDIA's driver read.
  for (const char* path : {"/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/usr/share/nvidia",
                           "/sys/devices", "/sys/bus/pci", "/sys/dev/char", "/sys/module"})
    view.add(path, kInformation);
  for (const char* path : {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"})
    view.add(path, kDevices);
  for (const fs::path& node : device_nodes()) view.add(node, kDevices);
  // CUDA keeps a small file in /dev/shm for debuggers and profilers.
  view.add_scratch("/dev/shm");
  view.add_scratch("/tmp");
  const fs::path images = images_folder();
  if (!images.empty()) view.add_at(images, kImagesPlace, kImages);
  if (std::string error = view.enter(own_processes); !error.empty()) return error;
  if (!images.empty()) replace_images_folder();
  return {};
}

}  // namespace vgpu::executor
