// Table d4082055, 3 words: lets the runtime check that it talks to a genuine driver. The answer depends on addresses,
// the process and the thread, so it is made here, from what the public calls tell the same program.
#include "shim/tables/integrity_check.hpp"

#include <pthread.h>
#include <unistd.h>

#include <cstring>
#include <exception>
#include <vector>

#include "shim/exports/refuse.hpp"
#include "shim/tables/integrity_hmac.hpp"
#include "shim/tables/slot_table.hpp"

namespace vgpu::shim {
namespace {

CUresult describe_devices(std::vector<IntegrityDevice>& devices) {
  int count = 0;
  CUresult result = driver::device_count(&count);
  for (CUdevice device = 0; device < count && result == CUDA_SUCCESS; ++device) {
    IntegrityDevice described{};
    CUuuid uuid{};
    result = driver::device_uuid(device, &uuid);
    std::memcpy(described.uuid.data(), uuid.bytes, described.uuid.size());
    const auto read = [&](CUdevice_attribute attribute, std::int32_t& value) {
      if (result == CUDA_SUCCESS) result = driver::device_attribute(device, attribute, &value);
    };
    read(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, described.pci_domain);
    read(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, described.pci_bus);
    read(CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, described.pci_device);
    devices.push_back(described);
  }
  return result;
}

// [1]
CUresult check(std::uint32_t request, std::uint64_t seconds, std::uint64_t* answer) noexcept try {
  if (answer == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  std::vector<IntegrityDevice> devices;
  if (const CUresult result = describe_devices(devices); result != CUDA_SUCCESS) return result;
  const auto address = [](const void* table) { return reinterpret_cast<std::uint64_t>(table); };
  const auto words = integrity_answer({.driver_version = static_cast<std::uint32_t>(driver_version()),
                                       .request = request,
                                       .process = static_cast<std::uint32_t>(getpid()),
                                       .thread = static_cast<std::uint32_t>(pthread_self()),
                                       .cudart_interface = address(cudart_interface_table()),
                                       .integrity_check = address(integrity_check_table()),
                                       .integrity_slot_1 = reinterpret_cast<std::uint64_t>(&check),
                                       .seconds = seconds},
                                      devices);
  answer[0] = words[0];
  answer[1] = words[1];
  return CUDA_SUCCESS;
} catch (const std::exception&) {
  return CUDA_ERROR_OUT_OF_MEMORY;
}

// [2] A real driver accepts 0 and 1 alike.
CUresult enable(int) noexcept { return CUDA_SUCCESS; }

}  // namespace

std::array<std::uint64_t, 2> integrity_answer(const IntegrityInput& input, std::span<const IntegrityDevice> devices) {
  constexpr std::uint64_t kSecondWord = 0x8ED383AA1F4CD1E8;
  if (input.request % 10 == 0) return {0x3341181C03CB675C, kSecondWord};
  if (input.request % 10 == 1) return {0x1841181C03CB675C, kSecondWord};

  constexpr std::array<std::uint8_t, 16> kKey{0x14, 0x6A, 0xDD, 0xAE, 0x53, 0xA9, 0xA7, 0x52,
                                              0xAA, 0x08, 0x41, 0x36, 0x0B, 0xF5, 0x5A, 0x9F};
  std::vector<std::uint8_t> message(sizeof input + devices.size_bytes());
  std::memcpy(message.data(), &input, sizeof input);
  if (!devices.empty()) std::memcpy(message.data() + sizeof input, devices.data(), devices.size_bytes());
  const auto digest = hmac_md2(kKey, message);
  std::array<std::uint64_t, 2> words;
  static_assert(sizeof words == sizeof digest);
  std::memcpy(words.data(), digest.data(), sizeof words);
  return words;
}

const void* integrity_check_table() noexcept {
  static const auto table = SlotTable<TableId::kIntegrityCheck, 3>().set(1, check).set(2, enable);
  return table.data();
}

}  // namespace vgpu::shim
