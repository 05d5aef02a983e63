// cuGetExportTable, and the list of tables.
#include "shim/tables/tables.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/cuda_names.hpp"
#include "shim/tables/driver.hpp"
#include "shim/tables/slot_table.hpp"

namespace vgpu::shim {
namespace {

struct Known {
  TableId id;
  std::string_view name;
  std::array<std::uint8_t, 16> uuid;
  const void* (*table)() noexcept;  ///< null: denied
};

// da9151d3 and 69a28e9f are denied as a driver denies a UUID that it does not know. With f8cff951 clients
// are reported to expect CUDA_ERROR_NOT_FOUND.
constexpr std::array<Known, kTableCount - 1> kTables{{
    {TableId::kCudartInterface,
     "6bd5fb6c",
     {0x6b, 0xd5, 0xfb, 0x6c, 0x5b, 0xf4, 0xe7, 0x4a, 0x89, 0x87, 0xd9, 0x39, 0x12, 0xfd, 0x9d, 0xf9},
     cudart_interface_table},
    {TableId::kToolsCallbacks,
     "a094798c",
     {0xa0, 0x94, 0x79, 0x8c, 0x2e, 0x74, 0x2e, 0x74, 0x93, 0xf2, 0x08, 0x00, 0x20, 0x0c, 0x0a, 0x66},
     tools_callbacks_table},
    {TableId::kToolsThreadState,
     "42d85a81",
     {0x42, 0xd8, 0x5a, 0x81, 0x23, 0xf6, 0xcb, 0x47, 0x82, 0x98, 0xf6, 0xe7, 0x8a, 0x3a, 0xec, 0xdc},
     tools_thread_state_table},
    {TableId::kContextLocalStorage,
     "c693336e",
     {0xc6, 0x93, 0x33, 0x6e, 0x11, 0x21, 0xdf, 0x11, 0xa8, 0xc3, 0x68, 0xf3, 0x55, 0xd8, 0x95, 0x93},
     context_local_storage_table},
    {TableId::kContextChecks,
     "263e8860",
     {0x26, 0x3e, 0x88, 0x60, 0x7c, 0xd2, 0x61, 0x43, 0x92, 0xf6, 0xbb, 0xd5, 0x00, 0x6d, 0xfa, 0x7e},
     context_checks_table},
    {TableId::kIntegrityCheck,
     "d4082055",
     {0xd4, 0x08, 0x20, 0x55, 0xbd, 0xe6, 0x70, 0x4b, 0x8d, 0x34, 0xba, 0x12, 0x3c, 0x66, 0xe1, 0xf2},
     integrity_check_table},
    {TableId::kToolsContext,
     "21318c60",
     {0x21, 0x31, 0x8c, 0x60, 0x97, 0x14, 0x32, 0x48, 0x8c, 0xa6, 0x41, 0xff, 0x73, 0x24, 0xc8, 0xf2},
     tools_context_table},
    {TableId::kCluster,
     "1734dc26",
     {0x17, 0x34, 0xdc, 0x26, 0x80, 0x0d, 0x47, 0x45, 0x87, 0x26, 0xc0, 0xf1, 0xe7, 0xdd, 0x8b, 0xca},
     cluster_table},
    {TableId::kToolsModule,
     "6e163fbe",
     {0x6e, 0x16, 0x3f, 0xbe, 0xb9, 0x58, 0x44, 0x4d, 0x83, 0x5c, 0xe1, 0x82, 0xaf, 0xf1, 0x99, 0x1e},
     tools_module_table},
    {TableId::kComputeCache,
     "da9151d3",
     {0xda, 0x91, 0x51, 0xd3, 0x3a, 0xe6, 0xcc, 0x41, 0xa5, 0xc0, 0x4f, 0x26, 0xd5, 0x33, 0xe3, 0x28},
     nullptr},
    {TableId::kNameless69a28e9f,
     "69a28e9f",
     {0x69, 0xa2, 0x8e, 0x9f, 0x24, 0x49, 0x8b, 0x47, 0xb0, 0x30, 0xc5, 0xda, 0x33, 0x0e, 0xa4, 0xe9},
     nullptr},
    {TableId::kErrorLog,
     "f8cff951",
     {0xf8, 0xcf, 0xf9, 0x51, 0x21, 0x46, 0x8b, 0x4e, 0xb9, 0xe2, 0xfb, 0x46, 0x9e, 0x7c, 0x0d, 0xd9},
     nullptr},
}};

constexpr bool in_order() {
  for (unsigned i = 0; i < kTables.size(); ++i) {
    if (kTables[i].id != static_cast<TableId>(i)) return false;
  }
  return true;
}
static_assert(in_order(), "kTables must have the order of TableId");

}  // namespace

std::string_view table_name(TableId table) noexcept {
  const auto index = static_cast<unsigned>(table);
  return index < kTables.size() ? kTables[index].name : "unknown";
}

unsigned table_name_index(TableId table) noexcept {
  return static_cast<unsigned>(cuda_function_count()) + static_cast<unsigned>(table);
}

TableId find_table(const CUuuid& uuid) noexcept {
  const auto found = std::find_if(kTables.begin(), kTables.end(), [&uuid](const Known& known) {
    return std::memcmp(known.uuid.data(), uuid.bytes, known.uuid.size()) == 0;
  });
  return found == kTables.end() ? TableId::kUnknown : found->id;
}

}  // namespace vgpu::shim

// Works before cuInit, as the runtime expects. A null UUID leaves the output alone; a table that is not served makes it
// null.
extern "C" [[gnu::visibility("default")]] CUresult cuGetExportTable(const void** ppExportTable,
                                                                    const CUuuid* pExportTableId) {
  using namespace vgpu::shim;
  if (ppExportTable == nullptr || pExportTableId == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const TableId id = find_table(*pExportTableId);
  const auto make = id == TableId::kUnknown ? nullptr : kTables[static_cast<unsigned>(id)].table;
  if (make != nullptr) {
    *ppExportTable = make();
    return CUDA_SUCCESS;
  }
  *ppExportTable = nullptr;
  driver::refuse_table(id, *pExportTableId);
  return id == TableId::kErrorLog ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_INVALID_VALUE;
}
