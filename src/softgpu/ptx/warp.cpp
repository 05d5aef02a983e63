#include <algorithm>
#include <bit>
#include <cstring>

#include "softgpu/ptx/lanes.hpp"
#include "softgpu/ptx/parser.hpp"
#include "softgpu/ptx/warp_internal.hpp"

/// How lanes diverge and meet again. The lanes of a warp that stand at the same place form a fragment. Of the fragments
/// that can go on, the one deepest in calls runs, and among those the one at the lowest instruction: compilers lay code
/// out so that paths meet at a later place, so the laggards catch up and join. Nothing depends on it but speed:
/// instructions that need lanes together wait for them, and a fragment that runs for long yields to the others, so that
/// lanes may wait for each other through memory.
namespace vgpu::softgpu::ptx {
namespace {

constexpr std::uint32_t kNever = ~std::uint32_t{0};
/// Instructions after which a fragment yields to its siblings, and for which the sibling then keeps its turn.
constexpr std::uint32_t kPatience = 2048;
constexpr std::size_t kMaxFrameBytes = std::size_t{64} << 20;

Frame* new_frame(Warp& w, const Function& function) {
  const std::size_t bytes = function.register_bytes;
  Frame* frame = nullptr;
  for (std::size_t i = w.free_frames.size(); i-- > 0;) {
    if (w.free_frames[i]->registers.size() >= bytes) {
      frame = w.free_frames[i];
      w.free_frames[i] = w.free_frames.back();
      w.free_frames.pop_back();
      break;
    }
  }
  if (frame == nullptr) {
    if (w.frame_bytes + bytes > kMaxFrameBytes) return nullptr;
    w.frames.push_back(std::make_unique<Frame>());
    frame = w.frames.back().get();
    frame->registers.resize(std::max<std::size_t>(bytes, 64));
    w.frame_bytes += bytes + sizeof(Frame);
  }
  frame->function = &function;
  frame->parent = nullptr;
  frame->site = nullptr;
  frame->live = 0;
  frame->local_base = 0;
  frame->local_top = 0;
  frame->depth = 0;
  return frame;
}

void leave_frame(Warp& w, Frame* frame, std::uint32_t lanes) {
  frame->live &= ~lanes;
  if (frame->live == 0) w.free_frames.push_back(frame);
}

/// Joins into fragment i every other one that stands at the same place in the same state.
void join(Warp& w, std::uint32_t i) {
  for (std::uint32_t k = 0; k < w.fragment_count;) {
    Fragment& one = w.fragments[i];
    const Fragment& other = w.fragments[k];
    const bool same = k != i && other.pc == one.pc && other.frame == one.frame && other.state == one.state &&
                      (one.state == Fragment::State::ready ||
                       (one.state == Fragment::State::at_warp_sync && one.members == other.members));
    if (!same) {
      ++k;
      continue;
    }
    one.mask |= other.mask;
    const std::uint32_t last = --w.fragment_count;
    w.fragments[k] = w.fragments[last];
    if (i == last) i = k;
    if (w.current == last) w.current = k;
    k = 0;
  }
  w.current = i;
}

/// Chooses the fragment that runs next. False if none can.
bool choose(Warp& w, bool rotate) {
  std::uint32_t best = kNever;
  for (std::uint32_t i = 0; i < w.fragment_count; ++i) {
    const Fragment& one = w.fragments[i];
    if (one.state != Fragment::State::ready) continue;
    if (best == kNever) {
      best = i;
      continue;
    }
    const Fragment& other = w.fragments[best];
    const bool better = rotate                                   ? one.stamp < other.stamp
                        : one.frame->depth != other.frame->depth ? one.frame->depth > other.frame->depth
                                                                 : one.pc < other.pc;
    if (better) best = i;
  }
  if (best == kNever) return false;
  join(w, best);
  w.fragments[w.current].stamp = ++w.stamp;
  load_frame(w, w.fragments[w.current]);
  return true;
}

/// The nearest place ahead at which another fragment of the same frame waits.
std::uint32_t next_meeting(const Warp& w) {
  const Fragment& one = w.fragments[w.current];
  std::uint32_t meeting = kNever;
  for (std::uint32_t i = 0; i < w.fragment_count; ++i) {
    const Fragment& other = w.fragments[i];
    if (i != w.current && other.state == Fragment::State::ready && other.frame == one.frame && other.pc > one.pc) {
      meeting = std::min(meeting, other.pc);
    }
  }
  return meeting;
}

void copy_local(Warp& w, std::uint32_t lanes, std::uint32_t from_base, const std::vector<Stretch>& from,
                std::uint32_t to_base, const std::vector<Stretch>& to) {
  for (std::size_t i = 0; i < from.size() && i < to.size(); ++i) {
    const std::uint32_t bytes = std::min(from[i].bytes, to[i].bytes);
    for (std::uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
      std::byte* lane = w.local_of(static_cast<std::uint32_t>(std::countr_zero(rest)));
      std::memcpy(lane + to_base + to[i].offset, lane + from_base + from[i].offset, bytes);
    }
  }
}

}  // namespace

void load_frame(Warp& w, const Fragment& fragment) {
  w.base[0] = fragment.frame->registers.data();
  w.base[1] = fragment.frame->function->constants.data();
  w.local_base = fragment.frame->local_base;
}

bool grow_local(Warp& w, std::uint32_t bytes) {
  if (bytes <= w.local_stride) return true;
  if (bytes > kMaxLocalBytes) return false;
  std::uint32_t stride = std::max<std::uint32_t>(w.local_stride, 64);
  while (stride < bytes) stride *= 2;
  stride = std::min(stride, kMaxLocalBytes);
  std::vector<std::byte> grown(std::size_t{stride} * kLanes);
  for (std::uint32_t lane = 0; lane < kLanes && w.local_stride != 0; ++lane) {
    std::memcpy(grown.data() + std::size_t{lane} * stride, w.local_of(lane), w.local_stride);
  }
  w.local = std::move(grown);
  w.local_stride = stride;
  return true;
}

void start_frames(Warp& w, const Function& function) {
  w.free_frames.clear();
  for (const auto& frame : w.frames) w.free_frames.push_back(frame.get());
  w.fragment_count = 1;
  w.current = 0;
  w.stamp = 0;
  w.rotating = false;
  Frame* frame = new_frame(w, function);
  if (frame == nullptr || !grow_local(w, function.local_bytes)) {
    w.raise(Fault::illegal_address, 0, 0, "out of memory for registers or local variables");
    return;
  }
  frame->live = w.live;
  frame->local_top = function.local_bytes;
  w.fragments[0] = Fragment{w.live, 0, frame, Fragment::State::ready, 0, 0, 0};
}

bool enter_call(Warp& w, std::uint32_t lanes, const Function& callee, const CallSite& site, std::uint32_t return_pc) {
  Fragment& caller = w.fragments[w.current];
  Frame* parent = caller.frame;
  const std::uint32_t local_base = parent->local_top;
  Frame* frame = new_frame(w, callee);
  if (frame == nullptr || !grow_local(w, local_base + callee.local_bytes)) {
    w.raise(Fault::illegal_address, static_cast<std::uint32_t>(std::countr_zero(lanes)), 0, "the stack overflows");
    return false;
  }
  frame->parent = parent;
  frame->site = &site;
  frame->return_pc = return_pc;
  frame->live = lanes;
  frame->local_base = local_base;
  frame->local_top = local_base + callee.local_bytes;
  frame->depth = parent->depth + 1;
  copy_local(w, lanes, parent->local_base, site.arguments, local_base, callee.parameters);
  caller.frame = frame;
  caller.pc = 0;
  load_frame(w, caller);
  return true;
}

void split_off(Warp& w, std::uint32_t lanes, std::uint32_t pc) {
  Fragment& one = w.fragments[w.current];
  one.mask &= ~lanes;
  Fragment& other = w.fragments[w.fragment_count++];
  other = one;
  other.mask = lanes;
  other.pc = pc;
  other.state = Fragment::State::ready;
}

void drop_current(Warp& w) {
  w.fragments[w.current] = w.fragments[--w.fragment_count];
  w.current = 0;
}

void return_from(Warp& w, std::uint32_t lanes) {
  // All lanes of the fragment return together; the others were split off before.
  Fragment& one = w.fragments[w.current];
  Frame* frame = one.frame;
  copy_local(w, lanes, frame->local_base, frame->function->returns, frame->parent->local_base, frame->site->results);
  one.frame = frame->parent;
  one.pc = frame->return_pc;
  leave_frame(w, frame, lanes);
}

void exit_lanes(Warp& w, std::uint32_t lanes) {
  for (Frame* frame = w.fragments[w.current].frame; frame != nullptr;) {
    Frame* parent = frame->parent;
    leave_frame(w, frame, lanes);
    frame = parent;
  }
  w.live &= ~lanes;
  drop_current(w);
  // Who waited for these lanes must look again.
  for (std::uint32_t i = 0; i < w.fragment_count; ++i) {
    if (w.fragments[i].state == Fragment::State::at_warp_sync) w.fragments[i].state = Fragment::State::ready;
  }
  w.block->lanes_left();
}

Stop run_warp(Warp& w, std::uint32_t slice) {
  if (w.fault != Fault::none) return Stop::faulted;
  if (w.live == 0) return Stop::finished;
  if (!choose(w, w.rotating)) return Stop::waiting;
  std::uint32_t left = slice;
  std::uint32_t patience = kPatience;
  bool& rotate = w.rotating;
  for (;;) {
    Fragment& fragment = w.fragments[w.current];
    const std::uint32_t meeting = w.fragment_count > 1 ? next_meeting(w) : kNever;
    const Step step = run_straight(w, fragment, meeting, left, patience);
    switch (step) {
      case Step::fault:
        return Stop::faulted;
      case Step::slice:
        return Stop::slice;
      case Step::impatient:
        patience = kPatience;
        rotate = !rotate;
        break;
      case Step::choose:
        break;
    }
    if (w.live == 0) return Stop::finished;
    if (rotate && step == Step::choose && w.fragment_count > 1 &&
        w.fragments[w.current].state == Fragment::State::ready) {
      // The fragment whose turn it is keeps it, but takes along those it meets.
      join(w, w.current);
      load_frame(w, w.fragments[w.current]);
      continue;
    }
    if (step == Step::choose) rotate = false;
    if (!choose(w, rotate)) return Stop::waiting;
  }
}

}  // namespace vgpu::softgpu::ptx
