#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

namespace vgpu::daemon {

/// An Xid after which a GPU can't be trusted with anybody's work until somebody has reset or replaced it.
struct FatalXid {
  std::uint64_t xid;
  const char* text;
};

/// Those for which NVIDIA's catalogue ("XID Errors", docs.nvidia.com/deploy/xid-errors) names a reset, a restart or a
/// repair as what is to be done. Others are of one program (13, 31, 43, 45, 94 and so on), or tell and do no harm.
inline constexpr std::array<FatalXid, 14> kFatalXids{{
    {46, "the GPU stopped processing"},
    {48, "double-bit ECC error"},
    {61, "internal micro-controller breakpoint or warning"},
    {62, "internal micro-controller halt"},
    {64, "a memory page or row could not be retired"},
    {74, "NVLink error"},
    {79, "the GPU has fallen off the bus"},
    {95, "uncontained ECC error"},
    {110, "security fault"},
    {119, "the GPU's system processor does not answer"},
    {120, "error of the GPU's system processor"},
    {136, "link training failed"},
    {140, "unrecovered ECC error"},
    {143, "the GPU could not be initialized"},
}};

/// Null for an Xid that is not fatal.
constexpr const char* fatal_xid_text(std::uint64_t xid) noexcept {
  const auto found =
      std::find_if(kFatalXids.begin(), kFatalXids.end(), [&](const auto& one) { return one.xid == xid; });
  return found != kFatalXids.end() ? found->text : nullptr;
}

}  // namespace vgpu::daemon
