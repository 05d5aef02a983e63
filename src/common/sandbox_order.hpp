#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What vgpud tells a vgpu-executor, on its command line, about the walls that it has to build around itself before it
/// loads a driver. Both ends are the same build.
namespace vgpu::sandbox {

/// One wall each. A part is in force or it is not; docs/operations.md has the table for operators.
enum class Part : std::uint8_t {
  no_new_privileges,  ///< nothing that it executes could raise its rights
  limits,             ///< rlimits: no core dump, bounded descriptors and threads
  private_memory,     ///< not dumpable: no other process of its user may look into it
  user,               ///< a user id that no other process has, or a user namespace of its own
  processes,          ///< a PID namespace: it can name no other process
  files,              ///< a mount view: device nodes, libraries and its folder of images, read-only but for the last
  network,            ///< a network namespace without any interface that is up
  ipc,                ///< System V objects, POSIX queues and host name of its own
  system_calls,       ///< a seccomp filter: what drivers need, nothing else
  count
};
inline constexpr std::size_t kParts = static_cast<std::size_t>(Part::count);

/// As it is called in the log, in metrics and on the command line.
std::string_view part_name(Part part) noexcept;
std::optional<Part> part_of(std::string_view name) noexcept;

/// A set of parts.
class Parts {
 public:
  static Parts all() noexcept;
  bool has(Part part) const noexcept { return (bits_ & bit(part)) != 0; }
  void add(Part part) noexcept { bits_ |= bit(part); }
  bool empty() const noexcept { return bits_ == 0; }
  std::string text() const;  ///< names with commas
  static std::optional<Parts> from_text(std::string_view text);
  bool operator==(const Parts&) const = default;

 private:
  static constexpr std::uint32_t bit(Part part) noexcept { return 1u << static_cast<unsigned>(part); }
  std::uint32_t bits_ = 0;
};

/// How the daemon made the process, which decides what the process can still do by itself.
struct Order {
  bool probe = false;  ///< try every part of `parts`, report on protocol::kLinkFd which came about, and exit
  Parts parts;         ///< otherwise: each of these, or no executor
  bool in_user_namespace = false;  ///< started in a new one, in which it has every right and no id is mapped yet
  bool in_pid_namespace = false;   ///< started as the first process of a new one
  uid_t uid = 0;                   ///< of the process once it is ready; meaningless in a user namespace
  gid_t gid = 0;
  std::string driver;  ///< path of the driver library

  /// The executor's arguments after its own name.
  std::vector<std::string> arguments() const;
  /// Nothing: these are no arguments of ours.
  static std::optional<Order> from_arguments(std::span<const char* const> arguments);
};

/// What a probe reports of one part, one line each: the part's name, and why it is not in force, if it is not.
struct Finding {
  Part part = Part::no_new_privileges;
  std::string reason;  ///< empty: in force
};
std::string report_text(std::span<const Finding> findings);
/// Lines that make no sense are left out.
std::vector<Finding> findings_in(std::string_view report);

}  // namespace vgpu::sandbox
