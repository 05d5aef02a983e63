// vgpu-executor: runs the calls of one guest process. Started by vgpud, with descriptors that executor_link.hpp names.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <span>

#include "executor/executor.hpp"
#include "executor/kernel_text.hpp"
#include "executor/sandbox/sandbox.hpp"
#include "protocol/executor_link.hpp"

int main(int argc, char** argv) {
  // Without the daemon nobody watches this process.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  if (fcntl(vgpu::protocol::kLinkFd, F_GETFD) < 0) {
    std::fputs("vgpu-executor is started by vgpud, not by hand\n", stderr);
    return 2;
  }
  if (argc > 1) {
    const std::span<const char* const> arguments(argv + 1, static_cast<std::size_t>(argc - 1));
    const auto order = vgpu::sandbox::Order::from_arguments(arguments);
    if (!order) {
      std::fputs("level=error msg=\"vgpu-executor and vgpud are not of the same release\"\n", stderr);
      return 2;
    }
    if (const int status = vgpu::executor::enter_sandbox(*order); status >= 0) return status;
  }
  vgpu::executor::Descriptors descriptors{.link = vgpu::protocol::kLinkFd, .images = vgpu::protocol::kImagesFd};
  descriptors.kernel_text = vgpu::executor::KernelText::catch_standard_output();
  // _exit: nothing of the process needs tidying, and a thread in the driver may never come back.
  const int code = vgpu::executor::run_executor(descriptors, [](int status) { _exit(status); });
  std::fflush(nullptr);
  _exit(code);
}
