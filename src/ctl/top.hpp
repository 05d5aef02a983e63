#pragma once
#include <chrono>
#include <filesystem>

#include "ctl/top_model.hpp"

namespace vgpu::ctl {

struct TopOptions {
  std::filesystem::path socket;  ///< empty: where a vgpud usually listens
  std::chrono::milliseconds interval{1000};
  SortKey sort = SortKey::share;
};

/// Prints one picture of `interval`, as lines of text. Returns the exit code.
int top_once(const TopOptions& options);

/// Shows pictures until the user has enough; needs a terminal. Returns the exit code, the terminal as it was before.
int top(const TopOptions& options);

}  // namespace vgpu::ctl
