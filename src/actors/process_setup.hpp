#pragma once
#include <cstddef>
#include <filesystem>
#include <string>

#include "actors/config.hpp"

/// What the process that is vgpud needs before it does anything. One thread.
namespace vgpu::daemon {

/// Descriptors 0 to 2 must exist: else a guest's socket could become stderr of an executor.
void fill_standard_descriptors();

/// Where log lines go, and which. Before the first one.
void choose_log(const Config& config);

/// Everything goes to stderr, so that executors, which inherit it, write into the same file; empty: stays as it is.
/// False: `error` says why not.
bool redirect_log(const std::filesystem::path& file, std::string& error);

/// Raises the limit of open files as far as it goes, and says how many connections that carries.
std::size_t most_connections();

}  // namespace vgpu::daemon
