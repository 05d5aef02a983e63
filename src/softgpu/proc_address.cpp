#include <cstring>

#include "softgpu/guard.hpp"

/// cuGetProcAddress by the rules of the CUDA driver API's documentation: of each name the newest version that is not
/// newer than the caller asks for; with the per-thread flag the variant for it, where there is one.
using namespace vgpu::softgpu;

// The functions under their linker names. cuda.h's declarations can't serve: its macros rename some of them.
namespace vgpu_softgpu_symbols {
#define VGPU_PROC(base, version, per_thread, symbol) extern "C" void symbol##_entry() __asm__(#symbol);
#include "softgpu/proc_address_table.inc"
#undef VGPU_PROC
}  // namespace vgpu_softgpu_symbols

namespace {

struct Entry {
  const char* name;
  int version;
  bool per_thread;
  void (*function)();
};

/// Sorted by name, then version.
constexpr Entry kEntries[] = {
#define VGPU_PROC(base, version, per_thread, symbol) \
  {#base, version, per_thread, &vgpu_softgpu_symbols::symbol##_entry},
#include "softgpu/proc_address_table.inc"
#undef VGPU_PROC
};

constexpr int kVersion = 13000;

struct Found {
  void* function = nullptr;
  bool too_new = false;
};

Found find(const char* name, int version, bool per_thread) noexcept {
  Found found;
  for (const Entry& entry : kEntries) {
    if (entry.per_thread != per_thread || std::strcmp(entry.name, name) != 0) continue;
    if (entry.version <= version) {
      found.function = reinterpret_cast<void*>(entry.function);
    } else {
      found.too_new = true;
    }
  }
  return found;
}

constexpr cuuint64_t kFlags = CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;

CUresult look_up(const char* name, int version, cuuint64_t flags, Found& found) {
  if (name == nullptr || version < 0 || version > kVersion || (flags & ~kFlags) != 0 || flags == kFlags) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if ((flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0) found = find(name, version, true);
  if (found.function == nullptr) {
    const Found plain = find(name, version, false);
    found.function = plain.function;
    found.too_new = found.too_new || plain.too_new;
  }
  return CUDA_SUCCESS;
}

}  // namespace

#undef cuGetProcAddress
#undef cuGetProcAddress_v2

/// The form that existed up to CUDA 11.x: an unknown name is an error.
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGetProcAddress(const char* name, void** function, int version, cuuint64_t flags) {
  if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Found found;
  if (const CUresult error = look_up(name, version, flags, found); error != CUDA_SUCCESS) return error;
  if (found.function == nullptr) return CUDA_ERROR_NOT_FOUND;
  *function = found.function;
  return CUDA_SUCCESS;
}

/// The form since CUDA 12.0: an unknown name is a success with a null pointer and a status.
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGetProcAddress_v2(const char* name, void** function, int version, cuuint64_t flags,
                                                      CUdriverProcAddressQueryResult* status) {
  if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
  Found found;
  if (const CUresult error = look_up(name, version, flags, found); error != CUDA_SUCCESS) return error;
  *function = found.function;
  if (status != nullptr) {
    *status = found.function != nullptr ? CU_GET_PROC_ADDRESS_SUCCESS
              : found.too_new           ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                                        : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  }
  return CUDA_SUCCESS;
}
