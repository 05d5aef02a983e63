#include "actors/config_change.hpp"

#include <algorithm>

namespace vgpu::daemon {
namespace {

bool same_endpoint(const std::optional<Endpoint>& a, const std::optional<Endpoint>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->address == b->address && a->port == b->port;
}

bool same_software_gpu(const SoftwareGpuConfig& a, const SoftwareGpuConfig& b) {
  return a.memory_bytes == b.memory_bytes && a.rate == b.rate && a.launch_timeout_seconds == b.launch_timeout_seconds;
}

bool same_sandbox(const SandboxConfig& a, const SandboxConfig& b) {
  return a.mode == b.mode && a.first_id == b.first_id && a.last_id == b.last_id &&
         a.host_memory_bytes == b.host_memory_bytes;
}

/// The servers of VMs' ivshmem devices are started with the daemon.
bool same_ivshmem(const Config& one, const Config& other) {
  return std::all_of(one.vms.begin(), one.vms.end(), [&](const VmConfig& vm) {
    if (vm.ivshmem_socket.empty()) return true;
    const VmConfig* const same = other.vm(vm.id);
    return same != nullptr && same->ivshmem_socket == vm.ivshmem_socket && same->ivshmem_memory == vm.ivshmem_memory &&
           same->ivshmem_channels == vm.ivshmem_channels;
  });
}

}  // namespace

std::vector<std::string> needs_restart(const Config& running, const Config& wanted) {
  std::vector<std::string> what;
  const auto differs = [&](bool same, const char* key) {
    if (!same) what.emplace_back(key);
  };
  differs(running.socket == wanted.socket, "socket in [daemon]");
  differs(running.socket_mode == wanted.socket_mode, "socket_mode in [daemon]");
  differs(running.admin_socket == wanted.admin_socket, "admin_socket in [daemon]");
  differs(running.admin_socket_mode == wanted.admin_socket_mode, "admin_socket_mode in [daemon]");
  differs(running.admin_gid == wanted.admin_gid, "admin_group in [daemon]");
  differs(running.log_format == wanted.log_format, "log_format in [daemon]");
  differs(same_endpoint(running.metrics, wanted.metrics), "metrics in [daemon]");
  differs(running.log_file == wanted.log_file, "log_file in [daemon]");
  differs(running.state == wanted.state, "state in [daemon]");
  differs(running.qemu_socket == wanted.qemu_socket, "socket in [qemu]");
  differs(running.qemu_socket_mode == wanted.qemu_socket_mode, "socket_mode in [qemu]");
  differs(running.qemu_group == wanted.qemu_group, "group in [qemu]");
  differs(same_software_gpu(running.software_gpu, wanted.software_gpu), "[software_gpu]");
  differs(running.executor == wanted.executor, "path in [executor]");
  differs(same_sandbox(running.sandbox, wanted.sandbox), "the sandbox of [executor]");
  differs(running.images == wanted.images, "images in [executor]");
  differs(same_ivshmem(running, wanted) && same_ivshmem(wanted, running), "the ivshmem devices of [[vm]]");
  const auto same_pools = [](const PoolConfig& a, const PoolConfig& b) {
    return a.name == b.name && a.gpus == b.gpus && a.policy == b.policy;
  };
  differs(std::is_permutation(running.pools.begin(), running.pools.end(), wanted.pools.begin(), wanted.pools.end(),
                              same_pools),
          "names, GPUs and policies of [[pool]]");
  return what;
}

}  // namespace vgpu::daemon
