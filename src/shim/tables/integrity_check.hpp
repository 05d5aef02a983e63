// The answer of table d4082055 to the runtime's check that it talks to a genuine driver, apart from where its inputs
// come from.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace vgpu::shim {

/// What the answer depends on beside the devices, in the order and layout in which it is hashed (48 bytes).
struct IntegrityInput {
  std::uint32_t driver_version;    ///< as cuDriverGetVersion
  std::uint32_t request;           ///< the runtime's argument
  std::uint32_t process;           ///< getpid()
  std::uint32_t thread;            ///< low half of pthread_self()
  std::uint64_t cudart_interface;  ///< address of table 6bd5fb6c
  std::uint64_t integrity_check;   ///< address of table d4082055
  std::uint64_t integrity_slot_1;  ///< address of that table's first function
  std::uint64_t seconds;           ///< the runtime's argument, Unix time
};
static_assert(sizeof(IntegrityInput) == 48);

/// One visible device, hashed after the rest (28 bytes).
struct IntegrityDevice {
  std::array<std::uint8_t, 16> uuid;  ///< as cuDeviceGetUuid_v2
  std::int32_t pci_domain;            ///< attributes 50, 33 and 34
  std::int32_t pci_bus;
  std::int32_t pci_device;
};
static_assert(sizeof(IntegrityDevice) == 28);

/// The two words for requests that end in 0 or 1 are constants; for the others they are an HMAC-MD2 over everything.
/// Compared with a real driver's answers (580.159.04). May throw std::bad_alloc.
std::array<std::uint64_t, 2> integrity_answer(const IntegrityInput& input, std::span<const IntegrityDevice> devices);

}  // namespace vgpu::shim
