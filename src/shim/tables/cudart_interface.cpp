// Table 6bd5fb6c, 13 words: what the CUDA runtime asks of the driver beside the public calls. Slots 3, 4, 5, 9 (an old
// form of launch), 10 and 11 are not known to be called by the runtime of CUDA 12 or 13; they refuse.
#include "shim/tables/slot_table.hpp"

namespace vgpu::shim {
namespace {

constexpr auto kTable = TableId::kCudartInterface;

CUresult load(CUmodule* module, const void* image) noexcept {
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  if (module == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return driver::load_module(module, image);
}

// [1]
CUresult load_wrapped(CUmodule* module, const void* wrapper) noexcept { return load(module, wrapper); }

// [2] The handle only: it must not retain or activate the primary context.
CUresult primary_context(CUcontext* context, CUdevice device) noexcept {
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return driver::primary_context_handle(context, device);
}

// [6] `count` is the length of two arrays whose elements nobody has described: only none of them can be carried.
CUresult load_wrapped_with(CUmodule* module, const void* wrapper, void*, void*, std::uint32_t count) noexcept {
  return count == 0 ? load(module, wrapper) : driver::refuse_slot(kTable, 6);
}

// [7]
void unload(CUmodule module) noexcept { (void)driver::unload_module(module); }

// [8] As [6], for a container without its wrapper, and with the first two arguments the other way round.
CUresult load_container_with(const void* container, CUmodule* module, void*, void*, std::uint32_t count) noexcept {
  return count == 0 ? load(module, container) : driver::refuse_slot(kTable, 8);
}

// [12] Loads the compilers of a driver that has them apart; the host's driver does so by itself.
CUresult load_compilers() noexcept { return driver::ready(); }

}  // namespace

const void* cudart_interface_table() noexcept {
  static const auto table = SlotTable<kTable, 13>()
                                .set(1, load_wrapped)
                                .set(2, primary_context)
                                .set(6, load_wrapped_with)
                                .set(7, unload)
                                .set(8, load_container_with)
                                .set(12, load_compilers);
  return table.data();
}

}  // namespace vgpu::shim
