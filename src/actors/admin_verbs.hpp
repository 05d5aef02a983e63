#pragma once
#include <caf/all.hpp>

#include "actors/admin.hpp"

/// The verbs of the admin actor, which alone calls these.
namespace vgpu::daemon {

using AdminSelf = admin_actor::stateful_pointer<AdminState>;

/// One line for a client.
std::string json_text(const Json& json);

/// Does what a client asks; answers it, now or later.
void carry_out(AdminSelf self, std::uint64_t client, const AdminRequest& request);
/// Answers a client that its request is refused. It may ask again.
void fail_client(AdminSelf self, std::uint64_t client, const AdminError& error);
/// The client is gone: nothing is watched for it any more.
void drop_client(AdminSelf self, std::uint64_t client);
/// The client's profile has its time: answers.
void end_profile(AdminSelf self, std::uint64_t client);
/// Streams are looked at from now on. Of admin.cpp.
void begin_ticks(AdminSelf self);

}  // namespace vgpu::daemon
