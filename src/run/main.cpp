// vgpu-run: runs a command as a guest of the local daemon, by showing it the guest's libcuda.so.1.
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "common/paths.hpp"
#include "common/unique_fd.hpp"
#include "common/unix_address.hpp"

namespace {

namespace fs = std::filesystem;

// As env(1): 125 for its own failure, 126 for a command that can't be run, 127 for one that isn't there.
constexpr int kOwnFailure = 125, kCannotRun = 126, kNotFound = 127;

struct Options {
  std::optional<fs::path> socket;
  std::optional<std::uint32_t> vm;
  std::optional<std::string> pool;
  std::vector<std::string> command;
};

/// 0, or the errno of a connection to the daemon.
int connect_error(const fs::path& path) {
  const auto address = vgpu::unix_address(path.native());
  if (!address) return ENAMETOOLONG;
  const vgpu::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return errno;
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0 ? 0 : errno;
}

/// The socket of a daemon that answers, or nothing after saying what to do.
std::optional<fs::path> find_daemon(const Options& options) {
  std::vector<fs::path> candidates;
  if (options.socket)
    candidates = {*options.socket};
  else if (const char* named = std::getenv("VGPU_SOCKET"); named != nullptr && named[0] != '\0')
    candidates = {named};
  else
    candidates = vgpu::candidate_socket_paths();
  std::string tried;
  bool denied = false;
  for (const fs::path& path : candidates) {
    const int error = connect_error(path);
    if (error == 0) return fs::absolute(path);
    denied = denied || error == EACCES;
    tried += "\n  " + path.string() + ": " + std::strerror(error);
  }
  std::cerr << "vgpu-run: no daemon answers:" << tried << "\n";
  if (denied)
    std::cerr << "vgpu-run: this user may not use the daemon's socket; ask for its group, or set socket_mode in "
                 "vgpud.toml\n";
  else
    std::cerr << "vgpu-run: start one with: "
              << (fs::exists(vgpu::executable_directory() / "vgpud") ? vgpu::executable_directory() / "vgpud"
                                                                     : fs::path("vgpud"))
                     .string()
              << (options.socket ? " --socket " + options.socket->string() : "") << "\n";
  return std::nullopt;
}

int run(int argc, char** argv) {
  CLI::App app{"Runs a command as a guest of the local vgpud: its CUDA calls go to the daemon's GPU."};
  Options options;
  app.add_option("--socket", options.socket, "the daemon's socket; default: VGPU_SOCKET, or where vgpud listens")
      ->type_name("PATH");
  app.add_option("--vm-id", options.vm, "run as this VM (root and the daemon's own user may)")->type_name("N");
  app.add_option("--pool", options.pool, "pool to use, if the VM is not registered with another")->type_name("POOL");
  app.add_option("COMMAND", options.command, "the command and its arguments")->required();
  app.prefix_command();
  app.positionals_at_end();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kOwnFailure;
  }
  std::vector<std::string> command = options.command;
  for (const std::string& argument : app.remaining()) command.push_back(argument);

  const fs::path guest = vgpu::guest_directory();
  if (guest.empty()) {
    std::cerr << "vgpu-run: the guest's libcuda.so.1 is not beside vgpu-run (looked in ../guest and "
                 "../lib/vgpu/guest); build or install it\n";
    return kOwnFailure;
  }
  const auto socket = find_daemon(options);
  if (!socket) return kOwnFailure;

  const char* before = std::getenv("LD_LIBRARY_PATH");
  const std::string libraries =
      guest.string() + (before != nullptr && before[0] != '\0' ? ":" + std::string(before) : "");
  ::setenv("LD_LIBRARY_PATH", libraries.c_str(), 1);
  ::setenv("VGPU_SOCKET", socket->c_str(), 1);
  if (options.vm) ::setenv("VGPU_VM_ID", std::to_string(*options.vm).c_str(), 1);
  if (options.pool) ::setenv("VGPU_POOL", options.pool->c_str(), 1);

  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  ::execvp(arguments.front(), arguments.data());
  const int error = errno;
  std::cerr << "vgpu-run: " << command.front() << ": " << std::strerror(error) << "\n";
  return error == ENOENT ? kNotFound : kCannotRun;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "vgpu-run: " << error.what() << '\n';
    return kOwnFailure;
  }
}
