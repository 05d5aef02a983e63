#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/source_line.hpp"
#include "softgpu/ptx/warp_internal.hpp"

namespace vgpu::softgpu::ptx {
namespace {

void fill(Narrow& to, u32 value) noexcept { std::fill_n(to, kLanes, value); }
void fill(Wide& to, u64 value) noexcept { std::fill_n(to, kLanes, value); }

}  // namespace

void start_warp(Warp& w, Block& block, u32 index) {
  const Grid& grid = *block.grid;
  const Launch& launch = *grid.launch;
  const u32 first = index * kLanes;
  const u32 lanes = std::min(kLanes, grid.threads - first);
  w.block = &block;
  w.index = index;
  w.launched = lanes == kLanes ? kAllLanes : (1u << lanes) - 1;
  w.live = w.launched;
  w.fault = Fault::none;
  Specials& s = w.specials;
  w.base[2] = reinterpret_cast<std::byte*>(&s);
  w.base[3] = nullptr;
  const u32 dynamic = (grid.static_shared + 15) / 16 * 16;
  fill(s.gridid, grid.id);
  fill(s.dynamic_shared_wide, dynamic);
  fill(s.zero_wide, 0);
  const Dim3& block_size = launch.block;
  const Dim3& grid_size = launch.grid;
  for (u32 i = 0; i < kLanes; ++i) {
    const u32 thread = first + i;
    s.tid[0][i] = thread % block_size.x;
    s.tid[1][i] = thread / block_size.x % block_size.y;
    s.tid[2][i] = thread / block_size.x / block_size.y;
    s.laneid[i] = i;
    s.lanemask_eq[i] = 1u << i;
    s.lanemask_lt[i] = (1u << i) - 1;
    s.lanemask_le[i] = s.lanemask_lt[i] | 1u << i;
    s.lanemask_ge[i] = ~s.lanemask_lt[i];
    s.lanemask_gt[i] = ~s.lanemask_le[i];
  }
  const u32 sizes[3] = {block_size.x, block_size.y, block_size.z};
  const u32 grid_sizes[3] = {grid_size.x, grid_size.y, grid_size.z};
  for (u32 axis = 0; axis < 3; ++axis) {
    fill(s.ntid[axis], sizes[axis]);
    fill(s.nctaid[axis], grid_sizes[axis]);
    fill(s.ctaid[axis], block.ctaid[axis]);
  }
  fill(s.tid[3], 0);
  fill(s.ntid[3], 0);
  fill(s.nctaid[3], 0);
  fill(s.ctaid[3], 0);
  fill(s.warpid, index);
  fill(s.nwarpid, grid.warps);
  fill(s.smid, block.multiprocessor);
  fill(s.nsmid, grid.multiprocessors);
  fill(s.dynamic_smem_size, launch.dynamic_shared_bytes);
  fill(s.total_smem_size, grid.shared_bytes);
  fill(s.dynamic_shared, dynamic);
  const u64 workspace = launch.cooperative ? kGridWindow : 0;
  fill(s.envreg1, static_cast<u32>(workspace >> 32));
  fill(s.envreg2, static_cast<u32>(workspace));
  const u32 reserved = (grid.shared_bytes + 15) / 16 * 16;
  fill(s.reserved_begin, reserved);
  fill(s.reserved_first, reserved);
  fill(s.reserved_second, reserved + kReservedShared / 2);
  fill(s.reserved_end, reserved + grid.reserved_shared);
  fill(s.zero, 0);
  fill(s.one, 1);
  s.never = 0;
  start_frames(w, *grid.function);
}

void Block::start(Grid& owner, std::uint64_t block_index, u32 on) {
  multiprocessor = on;
  grid = &owner;
  index = block_index;
  const Dim3& size = owner.launch->grid;
  ctaid[0] = static_cast<u32>(block_index % size.x);
  ctaid[1] = static_cast<u32>(block_index / size.x % size.y);
  ctaid[2] = static_cast<u32>(block_index / size.x / size.y);
  shared.resize(owner.reserved_shared == 0 ? owner.shared_bytes
                                           : (owner.shared_bytes + 15) / 16 * 16 + owner.reserved_shared);
  while (warps.size() < owner.warps) warps.push_back(std::make_unique<Warp>());
  arrived.assign(std::size_t{kBarriers} * owner.warps, 0);
  barriers = {};
  next_warp = 0;
  outcome = {};
  for (u32 i = 0; i < owner.warps; ++i) start_warp(*warps[i], *this, i);
}

std::string Block::place(const Warp& w, const Fragment& fragment) const {
  const Function& function = *fragment.frame->function;
  const Source& source = function.sources[function.code[fragment.pc].source];
  const u32 lane = w.fault_lane;
  const std::string written = source_line(grid->program->text, source.line);
  return "block (" + std::to_string(ctaid[0]) + "," + std::to_string(ctaid[1]) + "," + std::to_string(ctaid[2]) +
         ") thread (" + std::to_string(w.specials.tid[0][lane]) + "," + std::to_string(w.specials.tid[1][lane]) + "," +
         std::to_string(w.specials.tid[2][lane]) + ") in " + function.name + " at " +
         (written.empty() ? std::string{} : written + ", ") + "line " + std::to_string(source.line) + ": " +
         std::string(source.text.substr(0, 200));
}

Block::Status Block::run(std::uint32_t slice) {
  u32 finished = 0;
  bool advanced = false;
  for (u32 i = 0; i < grid->warps; ++i) {
    Warp& w = *warps[i];
    const Stop stop = run_warp(w, slice);
    lane_instructions += std::exchange(w.lane_instructions, 0);
    switch (stop) {
      case Stop::finished:
        ++finished;
        break;
      case Stop::waiting:
        break;
      case Stop::slice:
        advanced = true;
        break;
      case Stop::faulted: {
        outcome.fault = w.fault;
        outcome.address = w.fault_address;
        outcome.kernel = grid->function->name;
        outcome.detail = w.fault_text;
        if (w.fragment_count > 0) {
          const Fragment& fragment = w.fragments[w.current];
          const Function& function = *fragment.frame->function;
          outcome.line = function.sources[function.code[fragment.pc].source].line;
          outcome.detail += " in " + place(w, fragment);
        }
        return Status::faulted;
      }
    }
  }
  if (finished == grid->warps) return Status::finished;
  if (advanced) return Status::running;
  // A warp that waited may have been released by one that ran after it.
  const Warp* stuck = nullptr;
  for (u32 i = 0; i < grid->warps; ++i) {
    const Warp& w = *warps[i];
    if (w.live == 0) continue;
    stuck = &w;
    for (u32 k = 0; k < w.fragment_count; ++k) {
      if (w.fragments[k].state == Fragment::State::ready) return Status::running;
    }
  }
  outcome.fault = Fault::trap;
  outcome.kernel = grid->function->name;
  outcome.detail = "every thread waits for others that never come";
  if (stuck != nullptr && stuck->fragment_count > 0) {
    const Fragment& fragment = stuck->fragments[0];
    const Function& function = *fragment.frame->function;
    outcome.line = function.sources[function.code[fragment.pc].source].line;
    outcome.detail += ": " + place(*stuck, fragment);
  }
  return Status::faulted;
}

void Block::arrive(Warp& w, u32 lanes, u32 number, u32 expected, u32 truths) {
  Barrier& barrier = barriers[number];
  barrier.open = true;
  if (expected != 0) barrier.expected = expected;
  barrier.total += static_cast<u32>(std::popcount(lanes));
  barrier.true_count += static_cast<u32>(std::popcount(truths));
  arrived[std::size_t{number} * grid->warps + w.index] |= lanes;
  check(number);
}

void Block::check(u32 number) {
  Barrier& barrier = barriers[number];
  if (!barrier.open) return;
  u32* const by_warp = arrived.data() + std::size_t{number} * grid->warps;
  u32 count = 0;
  bool everyone = true;
  for (u32 i = 0; i < grid->warps; ++i) {
    const Warp& w = *warps[i];
    const bool whole = (w.live & ~by_warp[i]) == 0;
    everyone = everyone && whole;
    // A barrier counts warps of 32: a warp whose living lanes are all here counts in full.
    if (by_warp[i] != 0) count += whole ? kLanes : static_cast<u32>(std::popcount(by_warp[i]));
  }
  if (barrier.expected != 0 ? count < barrier.expected : !everyone) return;
  const u32 total = barrier.total;
  const u32 truths = barrier.true_count;
  barrier = {};
  std::fill_n(by_warp, grid->warps, 0);
  for (u32 i = 0; i < grid->warps; ++i) {
    Warp& w = *warps[i];
    for (u32 k = 0; k < w.fragment_count; ++k) {
      Fragment& one = w.fragments[k];
      if (one.state != Fragment::State::at_barrier || one.barrier != number) continue;
      const Insn& in = one.frame->function->code[one.pc];
      auto* registers = one.frame->registers.data();
      u32 result = 0;
      const auto kind = static_cast<BarrierKind>(in.count);
      if (kind == BarrierKind::count_true) result = truths;
      if (kind == BarrierKind::all_true) result = truths == total ? kAllLanes : 0;
      if (kind == BarrierKind::any_true) result = truths != 0 ? kAllLanes : 0;
      if (in.d != kNoRef && kind != BarrierKind::sync) {
        auto* d = reinterpret_cast<u32*>(registers + (in.d & 0x3fffffffu));
        if (kind == BarrierKind::count_true) {
          each_lane(one.mask, [&](u32 lane) { d[lane] = result; });
        } else {
          *d = (*d & ~one.mask) | (result & one.mask);
        }
      }
      one.state = Fragment::State::ready;
      ++one.pc;
    }
  }
}

void Block::lanes_left() {
  for (u32 number = 0; number < kBarriers; ++number) check(number);
}

}  // namespace vgpu::softgpu::ptx
