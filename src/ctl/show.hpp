#pragma once
#include <string>

#include "ctl/client.hpp"

/// What vgpud answers, for people.
namespace vgpu::ctl {

/// The lines that answer this verb.
std::string show(const std::string& verb, const Json& answer);
/// One line of a stream.
std::string show_event(const Json& event);
std::string show_call(const Json& call);

}  // namespace vgpu::ctl
