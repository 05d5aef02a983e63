#include "common/paths.hpp"

#include <unistd.h>

#include <cstdlib>
#include <initializer_list>
#include <string>
#include <system_error>

namespace vgpu {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSystemSocket = "/run/vgpu/vgpud.sock";

fs::path first_existing(std::initializer_list<fs::path> candidates) {
  std::error_code ignored;
  for (const fs::path& path : candidates)
    if (fs::exists(path, ignored)) return path.lexically_normal();
  return {};
}

}  // namespace

fs::path executable_directory() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : self.parent_path();
}

fs::path default_socket_path() {
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && runtime[0] == '/')
    return fs::path(runtime) / "vgpu" / "vgpud.sock";
  if (::getuid() == 0) return kSystemSocket;
  return fs::path("/tmp/vgpu-" + std::to_string(::getuid())) / "vgpud.sock";
}

std::vector<fs::path> candidate_socket_paths() {
  std::vector<fs::path> paths{default_socket_path()};
  if (::getuid() != 0) {
    const fs::path fallback = fs::path("/tmp/vgpu-" + std::to_string(::getuid())) / "vgpud.sock";
    if (paths.front() != fallback) paths.push_back(fallback);
  }
  if (paths.front() != kSystemSocket) paths.emplace_back(kSystemSocket);
  return paths;
}

fs::path guest_directory() {
  const fs::path bin = executable_directory();
  return first_existing({bin / "../guest/libcuda.so.1", bin / "../lib/vgpu/guest/libcuda.so.1"}).parent_path();
}

fs::path softgpu_library() {
  const fs::path bin = executable_directory();
  return first_existing(
      {bin / "../lib/libvgpu-softgpu.so", bin / "../lib/vgpu/libvgpu-softgpu.so", bin / "libvgpu-softgpu.so"});
}

}  // namespace vgpu
