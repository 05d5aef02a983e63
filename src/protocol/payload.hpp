#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "protocol/layout.h"
#include "protocol/types.hpp"

/// Structures that travel in tails and in the region, beside the catalogue's requests and replies.
namespace vgpu::protocol {

/// One CUlaunchAttribute: its id and its value's 64 bytes as they are (driver API, CUlaunchAttributeValue).
struct LaunchAttribute {
  u32 id;
  u32 zero;
  std::array<std::byte, 64> value;
};
static_assert(sizeof(LaunchAttribute) == 72);
inline constexpr u32 kMaxLaunchAttributes = 32;
/// The largest parameter block that any GPU takes (CUDA C++ programming guide, "Kernel parameters": 32,764 bytes).
inline constexpr u32 kMaxParameterBytes = 32764;

/// One CUjit_option whose value is a number. Options with host pointers (logs) have fields of their own in the request.
struct JitOption {
  u32 option;
  u32 zero;
  u64 value;
};
static_assert(sizeof(JitOption) == 16);
inline constexpr u32 kMaxJitOptions = 64;

/// An image of a file that the guest process has mapped: what file, as the guest's kernel numbers it, and which bytes
/// of it. Two processes of one user of one VM that say the same mean the same bytes.
struct ImageKey {
  u64 device;
  u64 inode;
  u64 modified_ns;
  u64 changed_ns;
  u64 offset;
  u64 bytes;
};
static_assert(sizeof(ImageKey) == 48);
/// Smaller images cross each time: to look a file up costs more.
inline constexpr u64 kLeastKeyedImageBytes = 256u << 10;

/// Where an image comes from, in the requests that load one.
enum ImageSource : u32 {
  kImagePlain = 0,  ///< the region has it; nobody keeps it
  kImageKeep = 1,   ///< the region has it, the tail its ImageKey: the VM's later processes may name it so
  kImageNamed = 2,  ///< only the tail's ImageKey says what it is; CUDA_ERROR_FILE_NOT_FOUND: the host has it not
};
/// Fatbins of one image: the wrapper's own, and those that were linked into it before.
inline constexpr u32 kMaxImageParts = 64;
/// Each of them begins at a multiple of this.
inline constexpr u64 kImagePartAlign = 64;

/// One CUstreamBatchMemOpParams: wait for a value, write one, or a barrier.
struct MemoryOperation {
  u32 operation;  ///< CUstreamBatchMemOpType
  u32 flags;
  Pointer address;
  u64 value;  ///< 32-bit operations: in the low half
};
static_assert(sizeof(MemoryOperation) == 24);
/// As many as fit into a record.
inline constexpr u32 kMaxMemoryOperations = 4096;
static_assert(kMaxMemoryOperations * sizeof(MemoryOperation) + 1024 <= VGPU_RECORD_MAX_BYTES);

/// The longest name of a function or variable (C++ templates make long ones).
inline constexpr u32 kMaxNameBytes = 64u << 10;
/// Copies up to this many bytes travel in the record itself; larger ones through the staging area.
inline constexpr u32 kMaxInlineCopyBytes = 32u << 10;
static_assert(kMaxNameBytes + 1024 <= VGPU_RECORD_MAX_BYTES);
/// The largest module image that is taken.
inline constexpr u64 kMaxImageBytes = u64{2} << 30;

/// The longest log of a compilation or a link that the driver is asked for.
inline constexpr u32 kMaxLogBytes = 256u << 10;

/// What a guest process must know of a device to answer its queries without asking again.
struct DeviceInfo {
  static constexpr u32 kAttributes = 256;
  std::array<i32, kAttributes> attribute;       ///< by CUdevice_attribute
  std::array<std::uint8_t, kAttributes> known;  ///< 1: attribute[i] was answered
  std::array<char, 256> name;                   ///< NUL-terminated
  std::array<char, 64> pci_bus_id;              ///< NUL-terminated
  std::array<std::uint8_t, 16> uuid;
  u64 total_memory;
  i32 least_stream_priority;
  i32 greatest_stream_priority;
  u32 compute_major;
  u32 compute_minor;
};
static_assert(sizeof(DeviceInfo) % 8 == 0);

}  // namespace vgpu::protocol
