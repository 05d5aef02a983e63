#include "softgpu/fatbin.hpp"

#include <fmt/format.h>
#include <lz4.h>
#include <zstd.h>

#include <cstring>
#include <optional>

#include "softgpu/device_attributes.hpp"

namespace vgpu::softgpu::fatbin {
namespace {

constexpr std::uint32_t kDeviceSm = limits::kComputeMajor * 10 + limits::kComputeMinor;

struct Candidate {
  Entry entry;
  std::span<const std::byte> payload;

  bool better_than(const Candidate& other) const noexcept {
    if (entry.sm != other.entry.sm) return entry.sm > other.entry.sm;
    // sm_90a code may use instructions that plain sm_90 has no use for.
    return (entry.flags & kFlagArchSpecific) == 0 && (other.entry.flags & kFlagArchSpecific) != 0;
  }
};

template <class T>
T read_at(std::span<const std::byte> bytes, std::size_t offset) noexcept {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Image invalid(std::string message) { return {CUDA_ERROR_INVALID_IMAGE, {}, std::move(message)}; }

std::string text_of(std::span<const std::byte> bytes) {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  return std::string(text, strnlen(text, bytes.size()));
}

Image unpack(const Candidate& candidate) {
  const Entry& entry = candidate.entry;
  if (entry.compressed_bytes == 0) return {CUDA_SUCCESS, text_of(candidate.payload), {}};
  if (entry.compressed_bytes > candidate.payload.size()) return invalid("fatbin entry larger than its payload");
  if (entry.uncompressed_bytes == 0 || entry.uncompressed_bytes > kMaxPtxBytes) {
    return invalid(fmt::format("fatbin entry with an impossible size bytes={}", entry.uncompressed_bytes));
  }
  std::string text;
  const auto size = static_cast<std::size_t>(entry.uncompressed_bytes);
  const auto* source = reinterpret_cast<const char*>(candidate.payload.data());
  if ((entry.flags & kFlagZstd) != 0) {
    // Most frames say their size themselves: then memory is taken only when both agree.
    const unsigned long long frame = ZSTD_getFrameContentSize(source, entry.compressed_bytes);
    if (frame == ZSTD_CONTENTSIZE_ERROR || (frame != ZSTD_CONTENTSIZE_UNKNOWN && frame != size))
      return invalid("fatbin entry with a bad zstd frame");
    text.resize(size);
    const std::size_t got = ZSTD_decompress(text.data(), size, source, entry.compressed_bytes);
    if (ZSTD_isError(got) != 0 || got != size) return invalid("fatbin entry with a bad zstd frame");
  } else if ((entry.flags & kFlagLz4) != 0) {
    // LZ4 grows by less than 256 times.
    if (size / 256 > entry.compressed_bytes) return invalid("fatbin entry with a bad LZ4 block");
    text.resize(size);
    const int got =
        LZ4_decompress_safe(source, text.data(), static_cast<int>(entry.compressed_bytes), static_cast<int>(size));
    if (got < 0 || static_cast<std::size_t>(got) != size) return invalid("fatbin entry with a bad LZ4 block");
  } else {
    return invalid(fmt::format("fatbin entry with an unknown compression flags={:#x}", entry.flags));
  }
  text.resize(strnlen(text.data(), text.size()));
  return {CUDA_SUCCESS, std::move(text), {}};
}

}  // namespace

std::uint64_t container_bytes(const void* data) noexcept {
  Header header;
  std::memcpy(&header, data, sizeof header);
  if (header.magic != kMagic || header.header_bytes < sizeof header || header.bytes > INT64_MAX) return 0;
  return header.header_bytes + header.bytes;
}

Image select_ptx(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(Header)) return invalid("fatbin shorter than its header");
  const auto header = read_at<Header>(bytes, 0);
  if (header.magic != kMagic) return invalid("no fatbin");
  if (header.version != 1) return invalid(fmt::format("fatbin of an unknown version version={}", header.version));
  if (header.header_bytes < sizeof header || header.header_bytes > bytes.size())
    return invalid("fatbin header of a bad size");
  if (header.bytes > bytes.size() - header.header_bytes) return invalid("fatbin longer than its buffer");
  bytes = bytes.subspan(header.header_bytes, static_cast<std::size_t>(header.bytes));

  std::optional<Candidate> best;
  std::string others;
  while (!bytes.empty()) {
    if (bytes.size() < sizeof(Entry)) return invalid("fatbin entry shorter than its header");
    const auto entry = read_at<Entry>(bytes, 0);
    if (entry.header_bytes < sizeof(Entry) || entry.header_bytes > bytes.size()) {
      return invalid("fatbin entry header of a bad size");
    }
    if (entry.stored_bytes > bytes.size() - entry.header_bytes)
      return invalid("fatbin entry longer than its container");
    const Candidate candidate{entry, bytes.subspan(entry.header_bytes, static_cast<std::size_t>(entry.stored_bytes))};
    if (entry.kind == kKindPtx && entry.sm <= kDeviceSm) {
      if (!best || candidate.better_than(*best)) best = candidate;
    } else if (others.size() < 200) {
      others += fmt::format("{}{}_{}", others.empty() ? "" : ",", entry.kind == kKindPtx ? "compute" : "sm", entry.sm);
    }
    bytes = bytes.subspan(entry.header_bytes + static_cast<std::size_t>(entry.stored_bytes));
  }
  if (!best) {
    return {CUDA_ERROR_NO_BINARY_FOR_GPU,
            {},
            fmt::format("no PTX for this device in the fatbin: compile with PTX, for example "
                        "-gencode arch=compute_90,code=compute_90 has={}",
                        others.empty() ? "nothing" : others)};
  }
  return unpack(*best);
}

}  // namespace vgpu::softgpu::fatbin
