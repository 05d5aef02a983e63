#pragma once
#include <filesystem>
#include <string>

namespace vgpu::daemon {

/// Writes a file that is there whole or not at all, also after a crash of the machine. False: errno says why.
bool write_state_file(const std::filesystem::path& path, const std::string& text);

}  // namespace vgpu::daemon
