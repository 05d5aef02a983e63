#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

/// NVIDIA's fat binary container. Its layout is not documented; what is relied on here was measured with nvcc 13.0's
/// output: a header (magic, version, header bytes, bytes that follow), then entries, each with a header and a payload.
namespace vgpu::fatbin {

inline constexpr std::uint32_t kMagic = 0xba55ed50;

struct Header {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t header_bytes;
  std::uint64_t bytes;  ///< after the header
};
static_assert(sizeof(Header) == 16);

struct Entry {
  std::uint16_t kind;
  std::uint16_t version;
  std::uint32_t header_bytes;
  std::uint64_t stored_bytes;      ///< of the payload with its padding
  std::uint32_t compressed_bytes;  ///< 0: not compressed
  std::uint32_t options_offset;
  std::uint16_t minor_version;
  std::uint16_t major_version;
  std::uint32_t sm;
  std::uint32_t name_offset;
  std::uint32_t name_bytes;
  std::uint64_t flags;
  std::uint64_t reserved;
  std::uint64_t uncompressed_bytes;
};
static_assert(sizeof(Entry) == 64);

inline constexpr std::uint16_t kKindPtx = 1;
inline constexpr std::uint16_t kKindElf = 2;
inline constexpr std::uint64_t kFlagLz4 = 0x2000;
inline constexpr std::uint64_t kFlagZstd = 0x8000;
inline constexpr std::uint64_t kFlagArchSpecific = 0x100000;
/// No payload may be larger once unpacked: a bound for hostile containers.
inline constexpr std::uint64_t kMaxUnpackedBytes = std::uint64_t{256} << 20;

/// The payload of an entry, unpacked if it is packed. False: `error` says what is wrong with it. Reads nothing outside
/// of `payload`, and takes no more memory than kMaxUnpackedBytes. Throws std::bad_alloc.
bool unpack(const Entry& entry, std::span<const std::byte> payload, std::string& out, std::string& error);

}  // namespace vgpu::fatbin
