#pragma once
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "common/unique_fd.hpp"

namespace vgpu::daemon {

/// A program to start with the descriptors that executor_link.hpp names, in their order, and no others but 0 to 2. One
/// that is -1 is closed there.
struct ChildSpec {
  std::string program;
  std::vector<std::string> arguments;    ///< the first is the program's own name
  std::vector<std::string> environment;  ///< "NAME=value"
  std::array<int, 2> descriptors{-1, -1};
  std::uint64_t namespaces = 0;  ///< CLONE_NEW…: that it starts in new ones of
};

struct Child {
  pid_t pid = -1;  ///< as this process's PID namespace numbers it; -1: errno says why there is none
  UniqueFd pidfd;
};

/// Forks and executes, in a process group of its own, with the address layout that keeps device addresses clear of a
/// guest's mappings. The child dies with the calling thread. The exec itself may fail later; then the child exits with
/// 127. Any thread.
Child start_child(ChildSpec spec);

}  // namespace vgpu::daemon
