#include "actors/device_nodes.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace vgpu::daemon {
namespace fs = std::filesystem;

bool make_device_nodes(const fs::path& devices, const fs::path& program) {
  const auto there = [&] {
    std::error_code ignored;
    return fs::exists(devices / "nvidiactl", ignored) && fs::exists(devices / "nvidia-uvm", ignored);
  };
  if (there()) return true;
  // -u: unified memory, without which cuInit() fails; -c 0: the first GPU's node and the control node.
  std::string name = program.string(), unified = "-u", create = "-c", first = "0";
  char* const arguments[] = {name.data(), unified.data(), create.data(), first.data(), nullptr};
  pid_t child = -1;
  if (::posix_spawn(&child, name.c_str(), nullptr, nullptr, arguments, ::environ) != 0) return false;
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return there();
}

}  // namespace vgpu::daemon
