// Table 6e163fbe, 99 words: what tools ask about modules. cuFFT loads each of its kernels as a module of its own and
// finds the kernel with slot 7.
#include <exception>
#include <vector>

#include "shim/tables/slot_table.hpp"

namespace vgpu::shim {
namespace {

constexpr auto kTable = TableId::kToolsModule;

using Visitor = void (*)(void* user, CUfunction function, CUmodule owner);

// [7] Calls `visit` for each function of the module, in the module's order, and returns how many there were. Seen on an
// H100 (driver 580.159.04): the context may be null, what follows `user` differs from call to call and changes nothing,
// and the driver hands the visitor a third value of its own, which cuFFT doesn't look at; here it is the module.
std::uint64_t visit_functions(CUcontext, CUmodule module, Visitor visit, void* user, const void*, const void*) noexcept
    try {
  if (driver::ready() != CUDA_SUCCESS || visit == nullptr) return 0;
  std::vector<CUfunction> functions;
  if (driver::module_functions(module, functions) != CUDA_SUCCESS) return 0;
  for (const CUfunction function : functions) visit(user, function, module);
  return functions.size();
} catch (const std::exception&) {
  return 0;
}

}  // namespace

const void* tools_module_table() noexcept {
  static const auto table = SlotTable<kTable, 99>().set(7, visit_functions);
  return table.data();
}

}  // namespace vgpu::shim
