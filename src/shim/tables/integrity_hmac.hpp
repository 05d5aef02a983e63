// MD2 (RFC 1319) and HMAC (RFC 2104) with it, which the runtime's integrity check of the driver uses. Broken as a hash
// for any other purpose; nothing else may use it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vgpu::shim {

using Md2Digest = std::array<std::uint8_t, 16>;

class Md2 {
 public:
  void update(std::span<const std::uint8_t> bytes) noexcept;

  /// The digest of all that was given. The object is used up.
  Md2Digest finish() noexcept;

 private:
  void absorb(const std::array<std::uint8_t, 16>& block) noexcept;
  void update_checksum() noexcept;

  std::array<std::uint8_t, 48> state_{};
  std::array<std::uint8_t, 16> checksum_{};
  std::array<std::uint8_t, 16> pending_{};
  std::size_t length_ = 0;  ///< bytes in pending_
};

/// HMAC-MD2 with a block of 16 bytes, MD2's own, and a key of exactly that length.
Md2Digest hmac_md2(const std::array<std::uint8_t, 16>& key, std::span<const std::uint8_t> message) noexcept;

}  // namespace vgpu::shim
