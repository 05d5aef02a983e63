#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "protocol/layout.h"

namespace vgpu::protocol {

/// Sum over a record's header (with check = 0) and its request. `request_bytes` is a multiple of 8.
inline std::uint32_t check_word(const vgpu_record& header, const void* request, std::size_t request_bytes) noexcept {
  std::uint64_t sum = VGPU_MAGIC;
  std::array<std::uint64_t, sizeof(vgpu_record) / 8> words;
  vgpu_record copy = header;
  copy.check = 0;
  std::memcpy(words.data(), &copy, sizeof copy);
  for (std::uint64_t word : words) sum = vgpu_check_step(sum, word);
  const auto* bytes = static_cast<const unsigned char*>(request);
  for (std::size_t i = 0; i + 8 <= request_bytes; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes + i, 8);
    sum = vgpu_check_step(sum, word);
  }
  return static_cast<std::uint32_t>(sum ^ (sum >> 29));
}

/// Length of a whole record.
constexpr std::uint32_t record_bytes(std::size_t request_bytes, std::size_t tail_bytes) noexcept {
  const std::size_t bytes = sizeof(vgpu_record) + request_bytes + tail_bytes;
  return static_cast<std::uint32_t>((bytes + VGPU_RECORD_ALIGN - 1) / VGPU_RECORD_ALIGN * VGPU_RECORD_ALIGN);
}

/// The ticket of a completion slot's next answer: 0 is none's.
constexpr std::uint32_t next_ticket(std::uint32_t last) noexcept { return last + 1 != 0 ? last + 1 : 1; }

}  // namespace vgpu::protocol
