#pragma once
#include <poll.h>

namespace vgpu::executor {

/// NVIDIA's driver has a thread, cuda-EvtHandlr, that looks at its events ten times a second, whether or not there is
/// anything to look at (measured: poll() of 11 descriptors for 100 ms, driver 580 on an H100). A hundred idle sessions
/// would wake the host a thousand times a second. While the session is idle that thread's poll() has no end but an
/// event; this program's poll() stands in for the C library's. Where the driver has no such thread nothing changes.
///
/// True: the session has nothing on the GPU and reads no calls. False: it goes on; the driver's thread looks at once,
/// as if its time had passed. One thread; a store and a load unless the driver's thread has really slept longer.
void let_driver_sleep(bool idle) noexcept;

/// What that poll() does: ppoll() for `timeout` milliseconds, but for the driver's thread while the session is idle.
/// Any thread.
int poll_for_driver(pollfd* descriptors, nfds_t count, int timeout) noexcept;

}  // namespace vgpu::executor
