#pragma once
#include <string>

#include "common/sandbox_order.hpp"

/// Who the process is and what it may use. Each function returns an empty text, or why it failed.
namespace vgpu::executor {

/// Maps the daemon's own user, and no other, into the new user namespace that this process runs in.
std::string map_own_user(const sandbox::Order& order);

/// Takes the order's user and group, where there is no user namespace, and gives every capability up. Groups that the
/// GPU's device nodes are kept for stay.
std::string drop_rights(const sandbox::Order& order);

/// No core dumps; bounded descriptors, threads where the user is its own, and queues.
std::string set_limits(const sandbox::Order& order);

/// SIGKILL when the daemon's thread that started this process ends. Changing the user takes it away.
void keep_death_signal();

}  // namespace vgpu::executor
