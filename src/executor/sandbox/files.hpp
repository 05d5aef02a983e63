#pragma once
#include <filesystem>
#include <string>
#include <vector>

/// The file system as an executor sees it.
namespace vgpu::executor {

/// The GPU's device nodes that this machine has.
std::vector<std::filesystem::path> device_nodes();

/// Gives this process a mount namespace and a root of its own, with nothing in it but device nodes, the folders where
/// the driver library and what is loaded already lie, the parts of /proc and /sys that drivers read, two small folders
/// in memory, and the folder of images, if there is one: protocol::kImagesFd then leads to it within the new root, so
/// that its ".." leads nowhere else. All but these folders is read-only. Empty, or why it failed; after a failure the
/// process must not go on. `own_processes`: the process is in a PID namespace of its own, which /proc then shows.
std::string set_view(const std::string& driver, bool own_processes);

}  // namespace vgpu::executor
