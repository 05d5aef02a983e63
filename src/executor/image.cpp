#include "executor/image.hpp"

#include <cstring>

#include "executor/image_bytes.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

bool is_fat_binary(const std::byte* bytes, u64 size) noexcept {
  constexpr u32 kMagic = 0xba55ed50;
  u32 magic = 0;
  if (size < sizeof magic) return false;
  std::memcpy(&magic, bytes, sizeof magic);
  return magic == kMagic;
}

/// A fat binary says its own length, which the driver believes: 16 bytes of magic, version, header's length and
/// payload's length.
bool fat_binary_fits(const std::byte* bytes, u64 size) noexcept {
  constexpr u64 kHeader = 16;
  if (size < kHeader) return false;
  u16 header = 0;
  u64 payload = 0;
  std::memcpy(&header, bytes + 6, sizeof header);
  std::memcpy(&payload, bytes + 8, sizeof payload);
  return header <= size && payload <= size - header;
}

}  // namespace

CUresult Image::read_bytes(Invocation& in, const Source& source) {
  if (source.image_bytes == 0 || source.image_bytes > kMaxImageBytes) return CUDA_ERROR_INVALID_IMAGE;
  ImageKey key{};
  if (source.source != kImagePlain) {
    std::memcpy(&key, in.tail.data() + in.tail.size() - sizeof key, sizeof key);
    if (key.bytes != source.image_bytes) return in.violate(VGPU_END_BAD_REQUEST, "length of a named image");
  }
  if (source.source == kImageNamed) {
    stored_ = in.session.images.find(key);
    if (stored_ == nullptr) return CUDA_ERROR_FILE_NOT_FOUND;
    whole_ = stored_->bytes();
    return CUDA_SUCCESS;
  }
  const std::byte* image = in.session.region.span(source.image, source.image_bytes);
  if (image == nullptr) return in.violate(VGPU_END_BAD_BULK, "image");
  if (source.source == kImageKeep) stored_ = in.session.images.keep(key, {image, source.image_bytes});
  if (stored_ != nullptr) {
    whole_ = stored_->bytes();
    return CUDA_SUCCESS;
  }
  // One more byte: PTX is text, and the driver looks for its NUL.
  bytes_.reset(new (std::nothrow) std::byte[source.image_bytes + 1]);
  if (bytes_ == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  std::memcpy(bytes_.get(), image, source.image_bytes);
  bytes_[source.image_bytes] = std::byte{0};
  whole_ = bytes_.get();
  return CUDA_SUCCESS;
}

/// Gives the driver what the guest's program gave: a wrapper that names its fatbins.
CUresult Image::wrap_parts(Invocation& in, const Source& source) {
  u64 at = 0;
  for (u32 i = 0; i < source.part_count; ++i) {
    u64 bytes = 0;
    std::memcpy(&bytes, in.tail.data() + source.option_count * sizeof(JitOption) + i * sizeof bytes, sizeof bytes);
    if (at > source.image_bytes || bytes > source.image_bytes - at)
      return in.violate(VGPU_END_BAD_REQUEST, "length of a part of an image");
    const std::byte* part = bytes_.get() + at;
    if (!is_fat_binary(part, bytes) || !fat_binary_fits(part, bytes)) return CUDA_ERROR_INVALID_IMAGE;
    device_bytes_ += image_device_bytes({part, bytes}, true);
    if (i == 0)
      wrapper_.data = part;
    else
      prelinked_.push_back(part);
    at += (bytes + kImagePartAlign - 1) / kImagePartAlign * kImagePartAlign;
  }
  prelinked_.push_back(nullptr);
  wrapper_.prelinked = prelinked_.data();
  whole_ = &wrapper_;
  return CUDA_SUCCESS;
}

CUresult Image::read(Invocation& in, const Source& source) {
  // The key is of one image that lies in a file as it is.
  if (source.option_count > kMaxJitOptions || source.part_count > kMaxImageParts || source.source > kImageNamed ||
      (source.part_count != 0 && source.source != kImagePlain) ||
      in.tail.size() != source.option_count * sizeof(JitOption) + source.part_count * sizeof(u64) +
                            (source.source != kImagePlain ? sizeof(ImageKey) : 0))
    return in.violate(VGPU_END_BAD_REQUEST, "an image's options, parts or name");
  if (source.info_log_bytes > kMaxLogBytes || source.error_log_bytes > kMaxLogBytes)
    return in.violate(VGPU_END_BAD_REQUEST, "length of a log");
  CUresult result = jit_.read(in, source.option_count, in.tail.first(source.option_count * sizeof(JitOption)));
  if (result == CUDA_SUCCESS) result = read_bytes(in, source);
  if (result != CUDA_SUCCESS) return result;
  const auto* const image = static_cast<const std::byte*>(whole_);
  if (source.part_count == 0 && is_fat_binary(image, source.image_bytes) && !fat_binary_fits(image, source.image_bytes))
    return CUDA_ERROR_INVALID_IMAGE;
  in.session.kernel_text.note_image({image, source.image_bytes});
  if (source.part_count == 0)
    // The driver reads only those kernels of a stored image that are used.
    device_bytes_ = image_device_bytes({image, source.image_bytes}, stored_ == nullptr);
  else
    result = wrap_parts(in, source);
  if (result != CUDA_SUCCESS) return result;
  jit_.add_logs(source.info_log_bytes, source.error_log_bytes);
  if (jit_.log_bytes() == 0) return CUDA_SUCCESS;
  logs_ = in.session.region.span(source.logs, jit_.log_bytes());
  return logs_ != nullptr ? CUDA_SUCCESS : in.violate(VGPU_END_BAD_BULK, "logs");
}

}  // namespace vgpu::executor
