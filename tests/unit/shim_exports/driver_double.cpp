#include "driver_double.hpp"

#include <cstring>
#include <map>

#include "shim/exports/refuse.hpp"
#include "shim/tables/driver.hpp"

DriverDouble driver_double;

const void* get_table(const std::string& name, CUresult* result) {
  // Written out again here, from the byte order in which programs store them.
  static const std::map<std::string, std::string> uuids{
      {"6bd5fb6c", "6bd5fb6c5bf4e74a8987d93912fd9df9"}, {"a094798c", "a094798c2e742e7493f20800200c0a66"},
      {"42d85a81", "42d85a8123f6cb478298f6e78a3aecdc"}, {"c693336e", "c693336e1121df11a8c368f355d89593"},
      {"263e8860", "263e88607cd2614392f6bbd5006dfa7e"}, {"d4082055", "d4082055bde6704b8d34ba123c66e1f2"},
      {"21318c60", "21318c60971432488ca641ff7324c8f2"}, {"1734dc26", "1734dc26800d47458726c0f1e7dd8bca"},
      {"6e163fbe", "6e163fbeb958444d835ce182aff1991e"}, {"da9151d3", "da9151d33ae6cc41a5c04f26d533e328"},
      {"69a28e9f", "69a28e9f24498b47b030c5da330ea4e9"}, {"f8cff951", "f8cff95121468b4eb9e2fb469e7c0dd9"},
      {"unknown", "000102030405060708090a0b0c0d0e0f"}};
  CUuuid uuid;
  const std::string& digits = uuids.at(name);
  for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) {
    uuid.bytes[i] = static_cast<char>(std::stoi(digits.substr(2 * i, 2), nullptr, 16));
  }
  const void* table = reinterpret_cast<const void*>(0x77);
  const CUresult got = cuGetExportTable(&table, &uuid);
  if (result != nullptr) *result = got;
  return table;
}

namespace vgpu::shim {

int driver_version() noexcept { return 13000; }

bool gpc_map(std::vector<std::uint8_t>& gpc, std::vector<std::uint8_t>& slot) {
  if (!driver_double.has_gpc_map) return false;
  gpc = {0, 1, 2, 0, 1, 2};
  slot = {0, 0, 0, 1, 1, 1};
  return true;
}

namespace driver {

CUresult ready() noexcept { return driver_double.ready; }

CUresult current_context(CUcontext* context) noexcept {
  *context = driver_double.current;
  return CUDA_SUCCESS;
}

bool context_exists(CUcontext context) noexcept {
  if (driver_double.contexts.contains(context)) return true;
  for (CUdevice device = 0; device < driver_double.devices; ++device) {
    if (context == primary_handle(device)) return true;
  }
  return false;
}

CUresult primary_context_handle(CUcontext* context, CUdevice device) noexcept {
  if (device < 0 || device >= driver_double.devices) return CUDA_ERROR_INVALID_DEVICE;
  *context = primary_handle(device);
  return CUDA_SUCCESS;
}

CUresult context_device(CUcontext context, CUdevice* device) noexcept {
  if (context == nullptr) context = driver_double.current;
  if (context == nullptr || !context_exists(context)) return CUDA_ERROR_INVALID_CONTEXT;
  *device = context == primary_handle(1) ? 1 : 0;
  return CUDA_SUCCESS;
}

CUresult context_id(CUcontext context, std::uint64_t* id) noexcept {
  if (!context_exists(context)) return CUDA_ERROR_INVALID_CONTEXT;
  *id = reinterpret_cast<std::uintptr_t>(context) / 0x1000;
  return CUDA_SUCCESS;
}

CUresult stream_id(CUcontext, CUstream stream, std::uint64_t* id) noexcept {
  if (stream == nullptr || reinterpret_cast<std::intptr_t>(stream) == -1) return CUDA_ERROR_INVALID_HANDLE;
  // The ids that a real driver gave: 7 legacy, 14 per thread.
  *id = stream == CU_STREAM_LEGACY       ? 7
        : stream == CU_STREAM_PER_THREAD ? 14
                                         : 100 + reinterpret_cast<std::uintptr_t>(stream);
  return CUDA_SUCCESS;
}

CUresult device_count(int* count) noexcept {
  *count = driver_double.devices;
  return CUDA_SUCCESS;
}

CUresult device_uuid(CUdevice device, CUuuid* uuid) noexcept {
  std::memset(uuid->bytes, 0x40 + device, sizeof uuid->bytes);
  return CUDA_SUCCESS;
}

CUresult device_attribute(CUdevice device, CUdevice_attribute attribute, int* value) noexcept {
  *value = 1000 * device + static_cast<int>(attribute);
  return CUDA_SUCCESS;
}

CUresult load_module(CUmodule* module, const void* image) noexcept {
  driver_double.loaded.push_back(image);
  *module = reinterpret_cast<CUmodule>(0x5000 + driver_double.loaded.size());
  return CUDA_SUCCESS;
}

CUresult unload_module(CUmodule module) noexcept {
  driver_double.unloaded.push_back(module);
  return CUDA_SUCCESS;
}

CUresult module_functions(CUmodule module, std::vector<CUfunction>& functions) {
  const auto found = driver_double.functions.find(module);
  if (found == driver_double.functions.end()) return CUDA_ERROR_INVALID_HANDLE;
  functions = found->second;
  return CUDA_SUCCESS;
}

CUresult refuse_slot(TableId table, unsigned index) noexcept {
  driver_double.refused_slots.emplace_back(table, index);
  return CUDA_ERROR_NOT_SUPPORTED;
}

void refuse_table(TableId table, const CUuuid&) noexcept { driver_double.refused_tables.push_back(table); }

}  // namespace driver
}  // namespace vgpu::shim
