// vgpu-ivshmem: the other end of one VM's ivshmem-doorbell device. vgpud starts it; it can be started by hand too.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <asio/signal_set.hpp>
#include <exception>
#include <iostream>

#include "common/log.hpp"
#include "ivshmem/server.hpp"

namespace {

int run(int argc, char** argv) {
  using namespace vgpu;
  CLI::App app{"Serves a VM's ivshmem-doorbell device, so that a QEMU without vgpu-stub can use vgpud."};
  ivshmem::Options options;
  app.add_option("--socket", options.socket, "Unix socket that QEMU connects to")->required()->type_name("PATH");
  app.add_option("--daemon", options.daemon, "vgpud's socket for devices")->required()->type_name("PATH");
  app.add_option("--vm-id", options.vm, "the VM's id in vgpud's configuration")->required()->type_name("N");
  app.add_option("--memory", options.memory_bytes, "bytes of shared memory, a power of two")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--channels", options.channels, "processes of the VM that can use the GPU at once")
      ->check(CLI::Range(1u, VGPU_MAX_CHANNELS));
  app.add_option("--socket-mode", options.socket_mode, "permissions of the socket, in decimal")
      ->check(CLI::Range(0600u, 0777u));
  app.add_option("--socket-group", options.socket_group, "group of the socket, as a number")->type_name("GID");
  app.add_option("--lifeline", options.lifeline, "descriptor that closes when the starter ends")->group("");
  try {
    app.parse(argc, argv);
    if ((options.memory_bytes & (options.memory_bytes - 1)) != 0 ||
        options.memory_bytes < VGPU_MIN_MEMORY(options.channels))
      throw CLI::ValidationError("--memory", "must be a power of two, and more than " +
                                                 std::to_string(VGPU_MIN_MEMORY(options.channels) >> 20) + " MiB");
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  log::setup(log::Level::info);
  ::signal(SIGPIPE, SIG_IGN);
  asio::io_context io(1);
  asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](const asio::error_code&, int) { io.stop(); });
  ivshmem::Server server(io, std::move(options));
  io.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "vgpu-ivshmem: " << error.what() << '\n';
    return 1;
  }
}
