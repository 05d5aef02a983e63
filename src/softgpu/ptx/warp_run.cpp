#include <algorithm>
#include <bit>

#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/warp_internal.hpp"

namespace vgpu::softgpu::ptx {
namespace {

/// Sends the lanes to the instructions of a table. The lanes stay in the current fragment where they agree.
Step run_branch_table(Warp& w, Fragment& f, const Insn& in, u32 lanes) {
  const auto& table = f.frame->function->tables[in.target];
  const u32* index = slots<u32>(w, in.a);
  for (u32 rest = lanes; rest != 0;) {
    const u32 lane = static_cast<u32>(std::countr_zero(rest));
    if (index[lane] >= table.size()) {
      w.raise(Fault::illegal_instruction, lane, index[lane], "a branch index beyond its table");
      return Step::fault;
    }
    u32 same = 0;
    for (u32 i = 0; i < kLanes; ++i) same |= index[i] == index[lane] ? rest & 1u << i : 0;
    rest &= ~same;
    if (same == f.mask) {
      f.pc = table[index[lane]];
    } else {
      split_off(w, same, table[index[lane]]);
    }
  }
  return Step::choose;
}

}  // namespace

Step run_straight(Warp& w, Fragment& f, u32 meeting, u32& left, u32& patience) {
  const bool many = w.fragment_count > 1;
  const Insn* code = f.frame->function->code.data();
  u32 pc = f.pc;
  u32 mask = f.mask;
  const u32 granted = many ? std::min(left, patience) : left;
  u32 budget = granted;
  u32 counted = 0;
  // Counted by stretches that the same lanes ran, not by instructions.
  const auto count = [&] {
    const u32 used = granted - budget;
    w.lane_instructions += u64{used - counted} * static_cast<u32>(std::popcount(mask));
    counted = used;
  };
  const auto account = [&](Step step) {
    count();
    const u32 used = granted - budget;
    left -= used;
    if (many) patience -= used;
    return step;
  };
  const auto leave = [&](Step step) {
    f.pc = pc;
    return account(step);
  };
  for (;;) {
    if (pc == meeting) return leave(Step::choose);
    if (budget == 0) return leave(left == granted ? Step::slice : Step::impatient);
    --budget;
    const Insn& in = code[pc];
    u32 lanes = mask;
    if (in.guard != kNoRef) {
      const u32 truth = predicate(w, in.guard);
      lanes &= in.guard_inverted ? ~truth : truth;
    }
    if (in.flow == Flow::plain) [[likely]] {
      if (lanes != 0) {
        in.run(w, in, lanes);
        if (w.fault != Fault::none) [[unlikely]]
          return leave(Step::fault);
      }
      ++pc;
      continue;
    }
    if (lanes == 0) {
      ++pc;
      continue;
    }
    if (in.flow == Flow::branch) {
      if (lanes != mask) {
        f.pc = pc + 1;
        split_off(w, lanes, in.target);
        return account(Step::choose);
      }
      pc = in.target;
      if (many) return leave(Step::choose);
      continue;
    }
    // The others move the fragment as a whole: lanes whose guard is false go on by themselves.
    f.pc = pc;
    if (lanes != mask) split_off(w, mask & ~lanes, pc + 1);
    Step step = Step::choose;
    switch (in.flow) {
      case Flow::branch_table:
        step = run_branch_table(w, f, in, lanes);
        break;
      case Flow::call:
        step = run_call(w, in, lanes);
        break;
      case Flow::ret:
        if (f.frame->parent != nullptr) {
          return_from(w, lanes);
          load_frame(w, f);
          break;
        }
        [[fallthrough]];
      case Flow::exit:
        exit_lanes(w, lanes);
        return account(Step::choose);
      case Flow::barrier:
        return account(run_barrier(w, in, lanes));
      case Flow::warp_sync:
        step = run_warp_sync(w, in, lanes);
        break;
      case Flow::yield:
        f.pc = pc + 1;
        count();
        counted = granted;
        budget = 0;
        return account(w.fragment_count > 1 ? Step::impatient : Step::slice);
      case Flow::plain:
      case Flow::branch:
        break;
    }
    if (step == Step::fault || w.fragment_count > 1) return account(step);
    // Alone: go on at once.
    if (f.state != Fragment::State::ready) return account(Step::choose);
    code = f.frame->function->code.data();
    pc = f.pc;
    count();
    mask = f.mask;
  }
}

Step run_call(Warp& w, const Insn& in, u32 lanes) {
  Fragment& f = w.fragments[w.current];
  const Function& function = *f.frame->function;
  const CallSite& site = function.calls[in.target];
  const Program& program = *w.block->grid->program;
  const u32 return_pc = f.pc + 1;
  if (site.builtin != Builtin::none) {
    call_builtin(w, site, lanes);
    if (w.fault != Fault::none) return Step::fault;
    f.pc = return_pc;
    return Step::choose;
  }
  u32 index = site.function;
  if (site.target != kNoRef) {
    const u64* target = slots<u64>(w, site.target);
    const u32 lane = static_cast<u32>(std::countr_zero(lanes));
    u32 same = 0;
    for (u32 i = 0; i < kLanes; ++i) same |= target[i] == target[lane] ? lanes & 1u << i : 0;
    if (same != lanes) split_off(w, lanes & ~same, f.pc);
    lanes = same;
    const u64 number = (target[lane] - kFunctionWindow) / 16 - 1;
    if (target[lane] % 16 != 0 || number >= program.functions.size()) {
      w.raise(Fault::invalid_pc, lane, target[lane], "a call of what is not a function");
      return Step::fault;
    }
    index = static_cast<u32>(number);
  }
  const Function& callee = program.functions[index];
  if (!callee.defined || callee.broken || callee.entry) {
    w.raise(Fault::illegal_instruction, static_cast<u32>(std::countr_zero(lanes)), 0,
            "a call of a function that can't run");
    return Step::fault;
  }
  return enter_call(w, lanes, callee, site, return_pc) ? Step::choose : Step::fault;
}

Step run_barrier(Warp& w, const Insn& in, u32 lanes) {
  Fragment& f = w.fragments[w.current];
  const u32* number = slots<u32>(w, in.a);
  const u32 lane = static_cast<u32>(std::countr_zero(lanes));
  u32 same = 0;
  for (u32 i = 0; i < kLanes; ++i) same |= number[i] == number[lane] ? lanes & 1u << i : 0;
  if (same != lanes) split_off(w, lanes & ~same, f.pc);
  const u32 id = number[lane];
  const u32 expected = in.b == kNoRef ? 0 : slots<u32>(w, in.b)[lane];
  if (id >= kBarriers) {
    w.raise(Fault::illegal_instruction, lane, id, "there is no barrier of that number");
    return Step::fault;
  }
  u32 truths = 0;
  if (in.c != kNoRef) truths = predicate(w, in.c) ^ ((in.flags & kPredicateInverted) != 0 ? kAllLanes : 0);
  if (static_cast<BarrierKind>(in.count) == BarrierKind::arrive) {
    ++f.pc;
  } else {
    f.state = Fragment::State::at_barrier;
    f.barrier = static_cast<std::uint8_t>(id);
  }
  w.block->arrive(w, same, id, expected, truths & same);
  return Step::choose;
}

Step run_warp_sync(Warp& w, const Insn& in, u32 lanes) {
  const u32 self = w.current;
  const u32 pc = w.fragments[self].pc;
  const u32* members = slots<u32>(w, in.e);
  u32 ready = 0;
  for (u32 rest = lanes; rest != 0;) {
    const u32 named = members[std::countr_zero(rest)];
    u32 group = 0;
    for (u32 i = 0; i < kLanes; ++i) group |= members[i] == named ? rest & 1u << i : 0;
    rest &= ~group;
    if ((named & w.live & ~group) == 0) {
      ready |= group;
      continue;
    }
    // Lanes are missing. These wait, together with those of the same group that wait already.
    u32 waiting = self;
    if (group != w.fragments[self].mask) {
      waiting = w.fragment_count;
      split_off(w, group, pc);
    }
    Fragment& one = w.fragments[waiting];
    one.state = Fragment::State::at_warp_sync;
    one.members = named;
    u32 present = 0;
    for (u32 i = 0; i < w.fragment_count; ++i) {
      const Fragment& other = w.fragments[i];
      if (other.state != Fragment::State::at_warp_sync || other.members != named) continue;
      const Insn& at = other.frame->function->code[other.pc];
      const bool same_place = other.frame == one.frame && other.pc == pc;
      if (same_place || ((in.flags & kAnyPlace) != 0 && (at.flags & kAnyPlace) != 0)) present |= other.mask;
    }
    if ((named & w.live & ~present) != 0) continue;
    for (u32 i = 0; i < w.fragment_count; ++i) {
      Fragment& other = w.fragments[i];
      if (other.state != Fragment::State::at_warp_sync || other.members != named || (other.mask & ~present) != 0)
        continue;
      other.state = Fragment::State::ready;
      if ((in.flags & kAnyPlace) != 0) ++other.pc;
    }
  }
  if (ready == 0) return Step::choose;
  in.run(w, in, ready);
  if (w.fault != Fault::none) return Step::fault;
  ++w.fragments[self].pc;
  return Step::choose;
}

}  // namespace vgpu::softgpu::ptx
