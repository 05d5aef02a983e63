#pragma once
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "actors/lease_policy.hpp"
#include "actors/limits.hpp"
#include "actors/quarantine.hpp"
#include "common/log.hpp"
#include "protocol/device.h"

namespace vgpu::daemon {

/// Which GPU a pool uses.
struct GpuChoice {
  enum class Kind { automatic, software, index, uuid };
  Kind kind = Kind::automatic;
  std::uint32_t index = 0;    ///< NVML's; of the software GPU: of the first device
  std::string uuid;           ///< as nvidia-smi -L prints it: GPU-… or MIG-…
  std::uint32_t devices = 0;  ///< of the software GPU; 0: not said, one unless the daemon's environment says otherwise
  bool operator==(const GpuChoice&) const = default;
};
/// "auto", "software", "software:N", an index or a UUID; nothing for any other text.
std::optional<GpuChoice> parse_gpu(std::string_view text);
std::string gpu_text(const GpuChoice& gpu);

struct Endpoint {
  std::string address;     ///< an IPv4 address, or an IPv6 address without its brackets
  std::uint16_t port = 0;  ///< 0: any free port
};
/// "ADDRESS:PORT" or "[IPv6]:PORT"; nothing for any other text.
std::optional<Endpoint> parse_endpoint(std::string_view text);

/// A count of bytes with an optional unit: "16GiB", "512 MiB", "4096". Nothing for any other text.
std::optional<std::uint64_t> parse_size(std::string_view text);

/// A count with an optional unit of the decimal system: "100M", "2G", "5000". Nothing for any other text.
std::optional<std::uint64_t> parse_rate(std::string_view text);

/// What the software GPU's devices are like; see docs/software-gpu.md for the variables that say so to executors. What
/// is not given is left to the daemon's own environment.
struct SoftwareGpuConfig {
  std::optional<std::uint64_t> memory_bytes;            ///< of each device
  std::optional<std::uint64_t> rate;                    ///< lane-instructions a second of each device
  std::optional<std::uint32_t> launch_timeout_seconds;  ///< 0: none
};

/// How executors are shut in.
struct SandboxConfig {
  enum class Mode : std::uint8_t {
    required,   ///< every part, or vgpud does not start
    automatic,  ///< what this machine and the daemon's rights allow
    off,
  };
  Mode mode = Mode::automatic;
  /// Numbers of users and groups that executors get where the daemon is root: by default from a range that Linux
  /// distributions leave to nobody.
  std::uint32_t first_id = 1'900'000'000;
  std::uint32_t last_id = 1'900'065'535;
  std::optional<std::uint64_t> host_memory_bytes;  ///< of each executor's cgroup, where there is one; nothing: no limit
};

struct PoolConfig {
  std::string name;
  std::vector<GpuChoice> gpus{GpuChoice{}};  ///< a session is placed on one of them; never empty
  enum class Policy { fair, concurrent };
  Policy policy = Policy::fair;
  FairShareTerms fair;   ///< of that policy
  bool drained = false;  ///< by an operator: it gets no new sessions
};
/// "low", "medium" or "high"; nothing for any other text.
std::optional<Priority> parse_priority(std::string_view text);

struct VmConfig {
  std::uint32_t id = 0;
  std::string name;
  std::string uuid;  ///< as the VM's management knows it; may be empty
  std::string pool;
  Tenant tenant;
  /// Served to this VM's ivshmem-doorbell device; empty: it has none.
  std::filesystem::path ivshmem_socket;
  std::uint64_t ivshmem_memory = std::uint64_t{4} << 30;  ///< bytes, a power of two
  std::uint32_t ivshmem_channels = VGPU_DEFAULT_CHANNELS;
  Limits limits;
  std::map<std::string, std::string> settings;  ///< what of this an operator has set; see settings.hpp
};

/// How the log is written.
enum class LogFormat : std::uint8_t {
  automatic,  ///< the journal where stderr is the journal's, else text
  text,
  json,
  journald,
};

/// The whole configuration, checked: names are unique, each pool that is named exists, each size is in bounds.
struct Config {
  std::filesystem::path file;  ///< where it was read; empty: nowhere
  std::filesystem::path socket;
  mode_t socket_mode = 0600;
  std::filesystem::path qemu_socket;   ///< for QEMU's vgpu-stub devices
  mode_t qemu_socket_mode = 0600;      ///< of this socket and of the ivshmem servers'
  std::optional<gid_t> qemu_group;     ///< whose these sockets are; nothing: vgpud's own
  std::optional<uid_t> qemu_user;      ///< beside root and the daemon's own user, whose word on VM ids is taken
  std::filesystem::path admin_socket;  ///< for vgpuctl
  mode_t admin_socket_mode = 0660;
  std::string admin_group = "vgpu-admin";  ///< whose members may do everything there
  std::optional<gid_t> admin_gid;          ///< of that group; nothing: this machine does not have it
  std::optional<Endpoint> metrics = Endpoint{"127.0.0.1", 9745};  ///< nothing: switched off
  log::Level log_level = log::Level::info;
  LogFormat log_format = LogFormat::automatic;
  std::filesystem::path log_file;  ///< empty: stderr
  /// What outlives the daemon lies there: accounts; empty: nothing does.
  std::filesystem::path state;
  SoftwareGpuConfig software_gpu;
  std::vector<PoolConfig> pools;
  std::vector<VmConfig> vms;
  bool allow_unregistered = true;
  std::string unregistered_pool;
  Tenant unregistered;         ///< of each VM that is not listed
  Limits unregistered_limits;  ///< of each VM that is not registered
  QuarantineTerms quarantine;
  std::uint32_t spin_microseconds = 50;
  std::optional<std::uint64_t> context_memory;  ///< bytes that a context takes; nothing: what is known of the driver
  std::filesystem::path executor;               ///< empty: beside vgpud
  std::uint32_t spare_executors = 2;            ///< that wait for a session, for each GPU
  SandboxConfig sandbox;
  std::uint64_t region_bytes = std::uint64_t{16} << 30;
  std::filesystem::path images;                         ///< where executors keep programs' images; empty: nowhere
  std::uint64_t images_bytes = std::uint64_t{4} << 30;  ///< at most, for each user of each VM

  const PoolConfig* pool(std::string_view name) const noexcept;
  const VmConfig* vm(std::uint32_t id) const noexcept;
  /// What the VM was given, be it listed or not.
  Tenant tenant(std::uint32_t vm) const noexcept;
  const Limits& limits_of(std::uint32_t vm) const noexcept;
};

using ConfigPtr = std::shared_ptr<const Config>;

/// What the command line sets; it wins over the file.
struct Overrides {
  std::optional<std::filesystem::path> socket;
  std::optional<std::string> metrics;  ///< Endpoint text, or "off"
  std::optional<std::string> gpu;      ///< for every pool
  std::optional<std::string> log_level;
};

/// Every mistake that was found, each as "FILE:LINE: what is wrong; what would be right".
using Mistakes = std::vector<std::string>;

/// Reads and checks `text`, which came from `file` (for messages only). Nothing is started or opened.
std::variant<Config, Mistakes> read_config(std::string_view text, const std::string& file,
                                           const Overrides& overrides = {});

/// The same for a file.
std::variant<Config, Mistakes> read_config_file(const std::filesystem::path& file, const Overrides& overrides = {});

}  // namespace vgpu::daemon
