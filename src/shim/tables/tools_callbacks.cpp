// Table a094798c, 7 words: where a profiler switches on callbacks for the runtime's calls. Without a profiler all
// switches are off, and then the runtime calls nothing else of this table but slot 4.
#include "shim/tables/slot_table.hpp"

namespace vgpu::shim {
namespace {

constexpr auto kTable = TableId::kToolsCallbacks;

// The runtime reads these words at each call, without asking for the size, so the sizes are a real driver's: the number
// counts 32-bit words, not bytes.
constexpr std::size_t kCallSwitches = 1024;
constexpr std::size_t kOtherSwitches = 14;
constinit std::uint32_t call_switches[kCallSwitches] = {};
constinit std::uint32_t other_switches[kOtherSwitches + 2] = {};

// [2] and [6]. A real driver's functions return nothing.
void give_call_switches(void** words, std::size_t* count) noexcept {
  if (words != nullptr) *words = call_switches;
  if (count != nullptr) *count = kCallSwitches;
}

void give_other_switches(void** words, std::size_t* count) noexcept {
  if (words != nullptr) *words = other_switches;
  if (count != nullptr) *count = kOtherSwitches;
}

// [4] Looks up what a profiler attached to `in`: nothing.
CUresult look_up(const void* in, std::uint64_t* out) noexcept {
  if (out == nullptr) return CUDA_ERROR_UNKNOWN;
  if (in != nullptr) return driver::refuse_slot(kTable, 4);
  *out = 0;
  return CUDA_SUCCESS;
}

}  // namespace

const void* tools_callbacks_table() noexcept {
  static const auto table =
      SlotTable<kTable, 7>().set(2, give_call_switches).set(4, look_up).set(6, give_other_switches);
  return table.data();
}

}  // namespace vgpu::shim
