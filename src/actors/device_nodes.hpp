#pragma once
#include <filesystem>

namespace vgpu::daemon {

/// NVIDIA's driver library starts nvidia-modprobe where its device nodes are missing, which an executor can't do. So
/// the daemon does, once, before there is one: loads what is missing of the kernel driver, and makes the nodes. Returns
/// false where they are missing afterwards too.
bool make_device_nodes(const std::filesystem::path& devices = "/dev",
                       const std::filesystem::path& program = "/usr/bin/nvidia-modprobe");

}  // namespace vgpu::daemon
