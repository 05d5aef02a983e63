// cuGetProcAddress. Each rule below was measured on driver 580.159.04, with every name, flag and version; where its
// answer is a crash (null arguments), this one is CUDA_ERROR_INVALID_VALUE.
#include <algorithm>
#include <cstring>

#include "shim/exports/entry_points.hpp"
#include "shim/exports/refuse.hpp"

namespace vgpu::shim {
namespace {

struct Found {
  void* address = nullptr;
  CUdriverProcAddressQueryResult status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
};

// Arguments that both forms of the call refuse before they look the name up. A version above the toolkit's, whose
// headers the table comes from, could get a form with other parameters than the program expects.
bool valid(const char* symbol, void** address, int version, cuuint64_t flags) {
  constexpr cuuint64_t kKnownFlags = CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
  return symbol != nullptr && address != nullptr && (flags & ~kKnownFlags) == 0 &&
         version <= std::min(driver_version(), CUDA_VERSION);
}

Found look_up(const char* symbol, int version, cuuint64_t flags) {
  const auto names = entry_names();
  const auto name =
      std::lower_bound(names.begin(), names.end(), symbol,
                       [](const EntryName& entry, const char* wanted) { return std::strcmp(entry.name, wanted) < 0; });
  if (name == names.end() || std::strcmp(name->name, symbol) != 0) return {};

  // A function that has per-thread forms offers only these when they are asked for: for a version before the first of
  // them it is too new, although its ordinary form would have been old enough.
  const bool per_thread = (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0 && name->per_thread_count != 0;
  const auto forms = per_thread ? entry_points().subspan(name->first + name->count, name->per_thread_count)
                                : entry_points().subspan(name->first, name->count);
  // A negative version counts as a very high one.
  const auto wanted = static_cast<unsigned>(version);
  const auto newer = std::upper_bound(forms.begin(), forms.end(), wanted, [](unsigned asked, const EntryPoint& form) {
    return asked < static_cast<unsigned>(form.since);
  });
  if (newer == forms.begin()) return {nullptr, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT};
  return {reinterpret_cast<void*>(std::prev(newer)->address), CU_GET_PROC_ADDRESS_SUCCESS};
}

}  // namespace
}  // namespace vgpu::shim

extern "C" {

// The form of CUDA 11: a name that is missing or too new is an error, and *pfn stays as it was.
[[gnu::visibility("default")]] CUresult cuGetProcAddress(const char* symbol, void** pfn, int cudaVersion,
                                                         cuuint64_t flags) {
  if (!vgpu::shim::valid(symbol, pfn, cudaVersion, flags)) return CUDA_ERROR_INVALID_VALUE;
  const auto found = vgpu::shim::look_up(symbol, cudaVersion, flags);
  if (found.address == nullptr) return CUDA_ERROR_NOT_FOUND;
  *pfn = found.address;
  return CUDA_SUCCESS;
}

// The form since CUDA 12: success always, with a null *pfn and the reason in *symbolStatus. What programs compiled for
// per-thread default streams call as cuGetProcAddress_v2_ptsz is an inline function of cuda.h around this one.
[[gnu::visibility("default")]] CUresult cuGetProcAddress_v2(const char* symbol, void** pfn, int cudaVersion,
                                                            cuuint64_t flags,
                                                            CUdriverProcAddressQueryResult* symbolStatus) {
  if (!vgpu::shim::valid(symbol, pfn, cudaVersion, flags)) return CUDA_ERROR_INVALID_VALUE;
  const auto found = vgpu::shim::look_up(symbol, cudaVersion, flags);
  *pfn = found.address;
  if (symbolStatus != nullptr) *symbolStatus = found.status;
  return CUDA_SUCCESS;
}
}
