#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "protocol/layout.h"

namespace vgpu::daemon {

/// When a VM gets no session any more.
struct QuarantineTerms {
  std::uint32_t faults = 20;  ///< of its sessions, within the window; 0: never
  std::chrono::seconds window{600};
  bool operator==(const QuarantineTerms&) const = default;
};

/// VMs whose sessions ended by faults again and again: each fault costs its neighbours time, and may be an attack. They
/// get no session until the operator lifts that. VM 0, which stands for every process that claims no VM, is never
/// quarantined. Any thread.
class Quarantine {
 public:
  using Time = std::chrono::system_clock::time_point;

  /// One that ends with the daemon.
  Quarantine() = default;
  /// `folder` has a file for each VM that is quarantined, by its number, and is made if it is not there; empty: the
  /// quarantine ends with the daemon. Null: `error` says why the folder can't be used.
  static std::unique_ptr<Quarantine> open(const std::filesystem::path& folder, std::string& error);

  /// True if such a fault is the VM's doing, as far as anybody can tell: not the host's, nor anybody's wish.
  static bool counts(vgpu_end_reason reason) noexcept;
  /// A session of the VM had a fault. True: from now on the VM is quarantined; `error` says why that is not kept in the
  /// folder, and is empty if it is.
  bool fault(std::uint32_t vm, vgpu_end_reason reason, const QuarantineTerms& terms, Time now, std::string& error);
  /// The operator quarantines the VM, for no fault. False: it was already. `error` says why that is not kept.
  bool impose(std::uint32_t vm, Time now, std::string& error);
  /// The operator lifts the quarantine. False: there was none. `error` says why it comes back with the next start.
  bool lift(std::uint32_t vm, std::string& error);
  bool holds(std::uint32_t vm) const;
  std::set<std::uint32_t> all() const;
  /// Looks into the folder again: the operator lifts a quarantine by removing its file. Without a folder all are
  /// lifted. Faults are counted from 0 again for those that are free now.
  void refresh();

 private:
  explicit Quarantine(std::filesystem::path folder) : folder_(std::move(folder)) {}
  /// Writes the VM's file. Under the lock.
  void keep(std::uint32_t vm, const std::string& what, std::string& error) const;

  const std::filesystem::path folder_;
  mutable std::mutex mutex_;
  std::set<std::uint32_t> quarantined_;
  std::map<std::uint32_t, std::deque<Time>> faults_;  ///< within the window
};

}  // namespace vgpu::daemon
