#pragma once
#include <string>

namespace vgpu::executor {

/// Installs the filter, for this process and every thread that it starts, for good: the calls of system_calls.def, with
/// bounds on the arguments of some; every other call fails with EPERM. Empty, or why it failed.
std::string install_system_call_filter();

}  // namespace vgpu::executor
