// What the runtime libraries ask of the driver through its private tables and the guest can't answer by itself.
#include <malloc.h>

#include <algorithm>
#include <cstring>

#include "executor/dispatch.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

constexpr CUuuid kClusterTable{{0x17, 0x34, static_cast<char>(0xdc), 0x26, static_cast<char>(0x80), 0x0d, 0x47, 0x45,
                                static_cast<char>(0x87), 0x26, static_cast<char>(0xc0), static_cast<char>(0xf1),
                                static_cast<char>(0xe7), static_cast<char>(0xdd), static_cast<char>(0x8b),
                                static_cast<char>(0xca)}};

}  // namespace

// Table 1734dc26, whose first word is its size in bytes: slot 4 allocates both arrays with malloc, slot 13 frees them
// (seen on an H100, driver 580.159.04: one entry for each pair of multiprocessors, which is nowhere told).
VGPU_HANDLER(vgpuProcessorMap) {
  std::byte* const into = in.session.region.span(request.into, request.into_bytes);
  if (into == nullptr) return in.violate(VGPU_END_BAD_BULK, "into");
  constexpr std::size_t kGive = 4;
  constexpr std::size_t kFree = 13;
  const void* table = nullptr;
  const CUresult found = in.cuda.cuGetExportTable(&table, &kClusterTable);
  if (found != CUDA_SUCCESS) return found;
  const auto* const words = static_cast<const std::uintptr_t*>(table);
  if (words == nullptr || words[0] < (kFree + 1) * sizeof *words) return CUDA_ERROR_NOT_SUPPORTED;
  const auto give = reinterpret_cast<CUresult (*)(std::uint8_t**, std::uint8_t**)>(words[kGive]);
  const auto free_both = reinterpret_cast<CUresult (*)(std::uint8_t*, std::uint8_t*)>(words[kFree]);
  CUdevice device = 0;
  int processors = 0;
  CUresult result = in.cuda.cuCtxGetDevice(&device);
  if (result == CUDA_SUCCESS)
    result = in.cuda.cuDeviceGetAttribute(&processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device);
  if (result != CUDA_SUCCESS) return result;
  std::uint8_t* gpc = nullptr;
  std::uint8_t* slot = nullptr;
  result = give(&gpc, &slot);
  if (result != CUDA_SUCCESS) return result;
  const std::size_t entries = std::min({static_cast<std::size_t>(std::max(processors, 0)), ::malloc_usable_size(gpc),
                                        ::malloc_usable_size(slot), request.into_bytes / 2});
  std::memcpy(into, gpc, entries);
  std::memcpy(into + entries, slot, entries);
  reply.entries = entries;
  return free_both(gpc, slot);
}

}  // namespace vgpu::executor
