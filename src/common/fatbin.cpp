#include "common/fatbin.hpp"

#include <lz4.h>
#include <zstd.h>

namespace vgpu::fatbin {

bool unpack(const Entry& entry, std::span<const std::byte> payload, std::string& out, std::string& error) {
  const auto bad = [&](std::string text) {
    error = std::move(text);
    return false;
  };
  const auto* source = reinterpret_cast<const char*>(payload.data());
  if (entry.compressed_bytes == 0) {
    out.assign(source, payload.size());
    return true;
  }
  if (entry.compressed_bytes > payload.size()) return bad("fatbin entry larger than its payload");
  if (entry.uncompressed_bytes == 0 || entry.uncompressed_bytes > kMaxUnpackedBytes)
    return bad("fatbin entry with an impossible size bytes=" + std::to_string(entry.uncompressed_bytes));
  const auto size = static_cast<std::size_t>(entry.uncompressed_bytes);
  if ((entry.flags & kFlagZstd) != 0) {
    // Most frames say their size themselves: then memory is taken only when both agree.
    const unsigned long long frame = ZSTD_getFrameContentSize(source, entry.compressed_bytes);
    if (frame == ZSTD_CONTENTSIZE_ERROR || (frame != ZSTD_CONTENTSIZE_UNKNOWN && frame != size))
      return bad("fatbin entry with a bad zstd frame");
    out.resize(size);
    const std::size_t got = ZSTD_decompress(out.data(), size, source, entry.compressed_bytes);
    return (ZSTD_isError(got) == 0 && got == size) || bad("fatbin entry with a bad zstd frame");
  }
  if ((entry.flags & kFlagLz4) != 0) {
    // LZ4 grows by less than 256 times.
    if (size / 256 > entry.compressed_bytes) return bad("fatbin entry with a bad LZ4 block");
    out.resize(size);
    const int got =
        LZ4_decompress_safe(source, out.data(), static_cast<int>(entry.compressed_bytes), static_cast<int>(size));
    return (got >= 0 && static_cast<std::size_t>(got) == size) || bad("fatbin entry with a bad LZ4 block");
  }
  return bad("fatbin entry with an unknown compression flags=" + std::to_string(entry.flags));
}

}  // namespace vgpu::fatbin
