#pragma once
#include <optional>
#include <string>
#include <vector>

#include "ctl/client.hpp"

/// What `vgpuctl top` shows, from two answers of vgpud: no terminal, no clock.
namespace vgpu::ctl {

enum class SortKey { share, memory, calls, waits, sessions, name };
/// "share", "memory", "calls", "waits", "sessions" or "name"; nothing for any other text.
std::optional<SortKey> parse_sort_key(const std::string& text);

struct TopVm {
  std::uint64_t id = 0;
  std::string name, pool, state, priority;
  std::uint64_t weight = 0, sessions = 0, faults = 0, memory = 0;
  std::uint64_t memory_limit = 0;  ///< 0: none
  double share = 0;                ///< of the GPU time of its pool, 0 to 1
  double due = 0;                  ///< what its weight gives it of that among the VMs that have sessions
  double calls = 0;                ///< a second
  std::optional<double> wait_p99;  ///< seconds; nothing: it waited for no lease
};

struct TopGpu {
  std::string name;
  std::string sensors;  ///< "61 C  250 W"
  bool healthy = true;
  std::optional<double> utilization;
  std::uint64_t memory = 0, memory_used = 0;
};

struct TopPool {
  std::string name, policy, state;
  std::uint64_t gpus = 0, sessions = 0, vms = 0;
  double busy = 0;  ///< part of its GPUs' time that leases used
};

struct TopView {
  std::string version, problems;
  double uptime = 0;
  std::uint64_t sessions = 0, vms = 0, active = 0;
  bool healthy = true;
  std::vector<TopGpu> gpus;
  std::vector<TopPool> pools;
  std::vector<TopVm> vms_by_key;
};

/// Compares two answers to the verb `top`; with the same twice all rates are 0.
TopView top_view(const Json& before, const Json& after, SortKey sort, bool reverse);

/// How a part of a line looks on a terminal that can show it.
enum class Style : std::uint8_t { plain, bold, heading, good, warning, bad, bar };
struct Piece {
  std::string text;
  Style style = Style::plain;
};
using Line = std::vector<Piece>;

/// The lines of a screen of this width: what vgpud is, GPUs, pools, and the VMs under a heading.
std::vector<Line> top_lines(const TopView& view, std::size_t width, SortKey sort);

}  // namespace vgpu::ctl
