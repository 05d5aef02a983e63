#include "softgpu/fatbin.hpp"

#include <fmt/format.h>

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

Image unpack(const Candidate& candidate) {
  Image image;
  if (!vgpu::fatbin::unpack(candidate.entry, candidate.payload, image.ptx, image.message)) return image;
  image.ptx.resize(strnlen(image.ptx.data(), image.ptx.size()));
  image.result = CUDA_SUCCESS;
  return image;
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
