#pragma once
#include <functional>

namespace vgpu::executor {

struct Descriptors {
  int link = -1;
  int images = -1;       ///< may be closed: then it comes with the session, if there is one
  int kernel_text = -1;  ///< of KernelText::catch_standard_output()
};

/// The whole life of an executor: initializes the driver, waits for a session, sets it up, reads its ring until it is
/// over. Takes the link over; the others stay the caller's. `leave(code)` is called at the end, and before if a thread
/// hangs: the program passes _exit, since what follows (joining threads) may wait for a kernel without end. Returns the
/// exit code.
int run_executor(const Descriptors& descriptors, const std::function<void(int)>& leave);

}  // namespace vgpu::executor
