#pragma once
#include <string>
#include <vector>

#include "common/sandbox_order.hpp"

namespace vgpu::executor {

/// Builds the walls that `order` names around this process, for good. Only the program's one thread exists yet, and
/// nothing of a guest's or a driver's was read or loaded. What can't be had is left out and reported: one finding for
/// each part of the order.
std::vector<sandbox::Finding> build_sandbox(const sandbox::Order& order);

/// What is left to do of main() before the executor runs: builds the sandbox that the arguments order, and says so on
/// stderr where a part fails that is ordered. Returns -1: go on; otherwise the exit status.
int enter_sandbox(const sandbox::Order& order);

}  // namespace vgpu::executor
