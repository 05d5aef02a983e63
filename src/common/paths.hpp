#pragma once
#include <filesystem>
#include <vector>

/// Where the project's own files lie. Programs are moved about (build folder, /usr, an unpacked archive), so everything
/// is found from the running program first.
namespace vgpu {

/// Folder of the running program, links resolved (/proc/self/exe). Empty if /proc is missing.
std::filesystem::path executable_directory();

/// Where the daemon of this user listens when nothing else is said: $XDG_RUNTIME_DIR/vgpu/vgpud.sock, else
/// /run/vgpu/vgpud.sock for root and /tmp/vgpu-UID/vgpud.sock for others.
std::filesystem::path default_socket_path();

/// Sockets where a client looks for a daemon, best first: this user's, then the machine's.
std::vector<std::filesystem::path> candidate_socket_paths();

/// The first of: BIN/../guest (build folder), BIN/../lib/vgpu/guest (installed) that holds a libcuda.so.1; else empty.
std::filesystem::path guest_directory();

/// The first of: BIN/../lib/libvgpu-softgpu.so, BIN/../lib/vgpu/libvgpu-softgpu.so, BIN/libvgpu-softgpu.so; else empty.
std::filesystem::path softgpu_library();

}  // namespace vgpu
