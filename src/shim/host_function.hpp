#pragma once
#include <any>
#include <functional>
#include <memory>

#include "shim/session.hpp"

/// Functions of the program that the host lets run: in stream order, at each launch of a graph, or at the end of a user
/// object. One helper thread of ours runs them one after another.
namespace vgpu::shim {

/// What a number stands for. What is empty does nothing.
struct HostFunction {
  std::function<void(CUresult status)> run;
  /// Nothing has it any more: only of numbers that graphs or user objects have.
  std::function<void()> ended;
  /// What a program is told of it that asks for a node's parameters: its own CUDA_HOST_NODE_PARAMS, or the PageableBox
  /// of a copy.
  std::any given = {};
};

/// Gives it a number, and starts the helper thread. The number lives until the function has run once, or, if a graph or
/// a user object has it, until the host says that it ended.
CUresult remember_host_function(HostFunction function, u64& id);

/// What a number stands for, or null. Any thread.
std::shared_ptr<const HostFunction> find_host_function(u64 id);

/// The host never heard of the number.
void forget_host_function(u64 id);

/// Waits until no helper thread serves a session any more; the session's channel must have ended. Only for tests: a
/// program's own session lasts as long as the process.
void join_host_functions() noexcept;

}  // namespace vgpu::shim
