#pragma once
#include "softgpu/ptx/machine.hpp"

/// What the files that run a warp share.
namespace vgpu::softgpu::ptx {

enum class Step : std::uint8_t {
  choose,     ///< another fragment may have to run
  impatient,  ///< this one has run long while others could
  slice,
  fault,
};
/// Runs the fragment until it must give way. meeting: the place at which another fragment of its frame waits.
Step run_straight(Warp& warp, Fragment& fragment, std::uint32_t meeting, std::uint32_t& left, std::uint32_t& patience);

/// The parts of an instruction that waits for lanes of its warp; false if lanes are missing. Ready lanes have run it.
Step run_warp_sync(Warp& warp, const Insn& in, std::uint32_t lanes);
Step run_barrier(Warp& warp, const Insn& in, std::uint32_t lanes);
Step run_call(Warp& warp, const Insn& in, std::uint32_t lanes);

/// Makes a fragment's frame the one that operands refer to.
void load_frame(Warp& warp, const Fragment& fragment);
void start_frames(Warp& warp, const Function& function);
bool enter_call(Warp& warp, std::uint32_t lanes, const Function& callee, const CallSite& site, std::uint32_t return_pc);
/// Takes lanes out of the current fragment and makes a ready one of them at pc.
void split_off(Warp& warp, std::uint32_t lanes, std::uint32_t pc);
void return_from(Warp& warp, std::uint32_t lanes);
/// Ends the lanes of the current fragment, all of them; the fragment is gone then.
void exit_lanes(Warp& warp, std::uint32_t lanes);

enum class BarrierKind : std::uint8_t { sync, arrive, count_true, all_true, any_true };
/// Insn::flags of barriers and warp synchronisations.
inline constexpr std::uint8_t kAnyPlace = 1;           ///< lanes may wait at different instructions (bar.warp.sync)
inline constexpr std::uint8_t kPredicateInverted = 2;  ///< of bar.red

}  // namespace vgpu::softgpu::ptx
