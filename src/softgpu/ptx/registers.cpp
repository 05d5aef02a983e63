#include "softgpu/ptx/registers.hpp"

#include <algorithm>
#include <map>
#include <vector>

namespace vgpu::softgpu::ptx {
namespace {

/// The first and last instruction that touch a register.
struct Span {
  std::uint32_t first;
  std::uint32_t last;
};

}  // namespace

std::uint32_t held_registers(const Function& function) {
  std::map<std::uint32_t, Span> spans;  // by offset of the register
  const auto touch = [&](Ref ref, std::uint32_t at) {
    // Registers lie at multiples of a narrow operand; what lies between are predicates.
    if (ref == kNoRef || ref >> 30 != static_cast<std::uint32_t>(Base::registers) || ref % kNarrow != 0) return;
    const auto [found, fresh] = spans.try_emplace(ref, Span{at, at});
    if (!fresh) found->second.last = at;
  };
  std::vector<Span> loops;
  for (std::uint32_t i = 0; i < function.code.size(); ++i) {
    const Insn& in = function.code[i];
    for (const Ref ref : {in.d, in.a, in.b, in.c, in.e}) touch(ref, i);
    if (in.flow == Flow::branch && in.target <= i) loops.push_back({in.target, i});
  }
  // What enters a loop and is used in it is held until its end. Inner loops end first.
  std::sort(loops.begin(), loops.end(), [](const Span& a, const Span& b) { return a.last < b.last; });
  constexpr std::size_t kMaxLoops = 256;  // beyond that the figure may be a little low
  if (loops.size() > kMaxLoops) loops.resize(kMaxLoops);
  std::vector<std::int32_t> change(function.code.size() + 1);
  for (auto it = spans.begin(); it != spans.end(); ++it) {
    Span span = it->second;
    for (const Span& loop : loops) {
      if (span.first < loop.first && span.last >= loop.first && span.last < loop.last) span.last = loop.last;
    }
    const auto next = std::next(it);
    const bool wide = next != spans.end() && next->first - it->first >= kWide;
    change[span.first] += wide ? 2 : 1;
    change[span.last] -= wide ? 2 : 1;  // a register that is read last may take the result
  }
  std::int32_t held = 0;
  std::int32_t most = 0;
  for (const std::int32_t one : change) {
    held += one;
    most = std::max(most, held);
  }
  // A GPU's own conventions take a few; none gives a thread more than 255 or fewer than 8.
  return static_cast<std::uint32_t>(std::clamp(most + 4, 8, 255));
}

}  // namespace vgpu::softgpu::ptx
