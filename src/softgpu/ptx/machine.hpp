#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "softgpu/address_map.hpp"
#include "softgpu/ptx/program.hpp"

/// The state of a grid that runs: blocks of warps of lanes.
namespace vgpu::softgpu::ptx {

inline constexpr std::uint32_t kAllLanes = ~std::uint32_t{0};
inline constexpr std::uint32_t kBarriers = 16;

using Narrow = std::uint32_t[kLanes];
using Wide = std::uint64_t[kLanes];

/// The special registers of a warp, each in the form of an operand (see Ref).
struct alignas(64) Specials {
  Wide gridid, dynamic_shared_wide, zero_wide;
  Narrow tid[4], ntid[4], ctaid[4], nctaid[4];
  Narrow laneid, warpid, nwarpid, smid, nsmid;
  Narrow lanemask_eq, lanemask_le, lanemask_lt, lanemask_ge, lanemask_gt;
  Narrow dynamic_smem_size, total_smem_size, dynamic_shared, envreg1, envreg2;
  Narrow reserved_begin, reserved_first, reserved_second, reserved_end;
  Narrow zero, one;
  std::uint32_t never;  ///< a predicate
};

/// One call of a function by some lanes of a warp.
struct Frame {
  const Function* function = nullptr;
  Frame* parent = nullptr;
  const CallSite* site = nullptr;
  std::uint32_t return_pc = 0;
  std::uint32_t live = 0;  ///< lanes that have not returned from it
  std::uint32_t local_base = 0;
  std::uint32_t local_top = 0;  ///< where the local memory of a callee, or of an alloca, begins
  std::uint32_t depth = 0;
  Lines registers;
};

/// Lanes of a warp that go the same way.
struct Fragment {
  enum class State : std::uint8_t { ready, at_barrier, at_warp_sync };
  std::uint32_t mask = 0;
  std::uint32_t pc = 0;
  Frame* frame = nullptr;
  State state = State::ready;
  std::uint8_t barrier = 0;
  std::uint32_t members = 0;  ///< at_warp_sync: the member mask
  std::uint64_t stamp = 0;    ///< when it ran last, in the warp's own count
};

struct Block;

struct Warp {
  std::byte* base[4] = {};
  Block* block = nullptr;
  std::uint32_t launched = 0;  ///< lanes that exist
  std::uint32_t live = 0;      ///< lanes that have not exited
  std::uint32_t index = 0;
  Fault fault = Fault::none;
  std::uint32_t fault_lane = 0;
  std::uint64_t fault_address = 0;
  std::string fault_text;
  std::uint32_t local_base = 0;  ///< of the running frame
  std::uint32_t local_stride = 0;
  std::vector<std::byte> local;  ///< lane after lane
  std::array<Fragment, kLanes> fragments;
  std::uint32_t fragment_count = 0;
  std::uint32_t current = 0;
  std::uint64_t stamp = 0;
  std::uint64_t lane_instructions = 0;  ///< since its block took them over
  bool rotating = false;                ///< the fragments run in turn, so that the one that waited longest gets on
  std::vector<std::unique_ptr<Frame>> frames;  ///< all of them
  std::vector<Frame*> free_frames;
  std::size_t frame_bytes = 0;
  Specials specials;

  std::byte* local_of(std::uint32_t lane) noexcept { return local.data() + std::size_t{lane} * local_stride; }
  /// Notes the first fault of an instruction.
  void raise(Fault what, std::uint32_t lane, std::uint64_t address, const char* text) {
    if (fault != Fault::none) return;
    fault = what;
    fault_lane = lane;
    fault_address = address;
    fault_text = text;
  }
};

struct Barrier {
  std::uint32_t expected = 0;  ///< threads; 0: all of the block
  bool open = false;           ///< someone has arrived
  std::uint32_t true_count = 0;
  std::uint32_t total = 0;
};

/// Everything the blocks of a launch share.
struct Grid {
  const Program* program = nullptr;
  const Function* function = nullptr;
  const Launch* launch = nullptr;
  std::uint64_t blocks = 0;
  std::uint32_t threads = 0;
  std::uint32_t warps = 0;
  std::uint32_t static_shared = 0;
  std::uint32_t shared_bytes = 0;
  std::uint32_t multiprocessors = 1;  ///< threads that run blocks at once
  std::uint32_t reserved_shared = 0;  ///< bytes behind those, for cooperative_groups
  std::uint64_t id = 0;
  /// What cooperative_groups' grid sync keeps its count in: its address is read from %envreg1 and 2.
  alignas(64) std::array<std::byte, 64> workspace{};
};

/// Checks a launch and lays its grid out; the launch must outlive it. The outcome's fault says why it can't run, none
/// if it can.
Outcome open_grid(const Launch& launch, Grid& grid);

struct Block {
  Grid* grid = nullptr;
  std::uint32_t multiprocessor = 0;
  std::uint64_t index = 0;
  std::uint32_t ctaid[3] = {};
  Lines shared;
  std::vector<std::unique_ptr<Warp>> warps;
  std::array<Barrier, kBarriers> barriers;
  std::vector<std::uint32_t> arrived;  ///< lanes, for barrier b and warp w at [b * warps + w]
  std::uint32_t next_warp = 0;
  Outcome outcome;
  std::uint64_t lane_instructions = 0;  ///< since the pool took them over

  /// multiprocessor: what %smid tells, below the grid's number of them.
  void start(Grid& owner, std::uint64_t block_index, std::uint32_t multiprocessor);
  enum class Status : std::uint8_t { running, finished, faulted };
  /// Runs each warp that can go on for one slice. running: call again.
  Status run(std::uint32_t slice);
  /// Lanes of a warp reach a barrier. Releases the waiting ones when it is complete.
  void arrive(Warp& warp, std::uint32_t lanes, std::uint32_t barrier, std::uint32_t expected, std::uint32_t truths);
  /// To be called when lanes have exited: a barrier may be complete now.
  void lanes_left();

 private:
  void check(std::uint32_t barrier);
  std::string place(const Warp& warp, const Fragment& fragment) const;
};

enum class Stop : std::uint8_t { slice, waiting, finished, faulted };
/// Runs a warp until its slice is used up or none of its lanes can go on.
Stop run_warp(Warp& warp, std::uint32_t slice);
/// Puts all lanes at the start of the kernel.
void start_warp(Warp& warp, Block& block, std::uint32_t index);
/// Gives each lane at least this much local memory. False if that is more than a thread may have.
bool grow_local(Warp& warp, std::uint32_t bytes);

/// Where a generic address of a lane lies in this process, or null. writable: kernel parameters don't count.
std::byte* resolve(Warp& warp, std::uint32_t lane, std::uint64_t address, std::uint32_t bytes, bool writable) noexcept;

/// Calls of the functions that the CUDA runtime offers to device code; arguments lie in the caller's local memory.
void call_builtin(Warp& warp, const CallSite& site, std::uint32_t mask);

}  // namespace vgpu::softgpu::ptx
