#include "executor/image.hpp"

#include <cstring>

namespace vgpu::executor {

using namespace protocol;

namespace {

/// Options whose value is a plain number. All others point to memory, or stand for something that does.
bool is_number(u32 option) noexcept {
  switch (option) {
    case CU_JIT_MAX_REGISTERS:
    case CU_JIT_THREADS_PER_BLOCK:
    case CU_JIT_WALL_TIME:
    case CU_JIT_OPTIMIZATION_LEVEL:
    case CU_JIT_TARGET_FROM_CUCONTEXT:
    case CU_JIT_TARGET:
    case CU_JIT_FALLBACK_STRATEGY:
    case CU_JIT_GENERATE_DEBUG_INFO:
    case CU_JIT_LOG_VERBOSE:
    case CU_JIT_GENERATE_LINE_INFO:
    case CU_JIT_CACHE_MODE:
    case CU_JIT_FAST_COMPILE:
    case CU_JIT_LTO:
    case CU_JIT_FTZ:
    case CU_JIT_PREC_DIV:
    case CU_JIT_PREC_SQRT:
    case CU_JIT_FMA:
    case CU_JIT_OPTIMIZE_UNUSED_DEVICE_VARIABLES:
    case CU_JIT_POSITION_INDEPENDENT_CODE:
    case CU_JIT_MIN_CTA_PER_SM:
    case CU_JIT_MAX_THREADS_PER_BLOCK:
    case CU_JIT_OVERRIDE_DIRECTIVE_VALUES:
      return true;
    default:
      return false;
  }
}

/// A fat binary says its own length, which the driver believes: 16 bytes of magic, version, header's length and
/// payload's length.
bool fat_binary_fits(const std::byte* bytes, u64 size) noexcept {
  constexpr u32 kMagic = 0xba55ed50;
  constexpr u64 kHeader = 16;
  u32 magic = 0;
  if (size < sizeof magic) return true;
  std::memcpy(&magic, bytes, sizeof magic);
  if (magic != kMagic) return true;
  if (size < kHeader) return false;
  u16 header = 0;
  u64 payload = 0;
  std::memcpy(&header, bytes + 6, sizeof header);
  std::memcpy(&payload, bytes + 8, sizeof payload);
  return header <= size && payload <= size - header;
}

}  // namespace

void Image::add(CUjit_option option, void* value) {
  options_.push_back(option);
  values_.push_back(value);
}

CUresult Image::read_options(Invocation& in, u32 count) {
  for (u32 i = 0; i < count; ++i) {
    JitOption option;
    std::memcpy(&option, in.tail.data() + i * sizeof option, sizeof option);
    if (option.zero != 0) return in.violate(VGPU_END_BAD_REQUEST, "a reserved field is not 0");
    if (!is_number(option.option)) return CUDA_ERROR_NOT_SUPPORTED;
    if (option.option == CU_JIT_WALL_TIME) wall_time_option_ = options_.size();
    add(static_cast<CUjit_option>(option.option), reinterpret_cast<void*>(option.value));
  }
  return CUDA_SUCCESS;
}

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
    if (!fat_binary_fits(part, bytes)) return CUDA_ERROR_INVALID_IMAGE;
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
  CUresult result = read_options(in, source.option_count);
  if (result == CUDA_SUCCESS) result = read_bytes(in, source);
  if (result != CUDA_SUCCESS) return result;
  if (source.part_count != 0) {
    result = wrap_parts(in, source);
    if (result != CUDA_SUCCESS) return result;
  } else if (!fat_binary_fits(static_cast<const std::byte*>(whole_), source.image_bytes)) {
    return CUDA_ERROR_INVALID_IMAGE;
  }

  // Shared memory will do for that: whatever stands there now only decides how much the session synchronizes.
  if (const std::byte* sent = in.session.region.span(source.image, source.image_bytes); sent != nullptr)
    in.session.kernel_text.note_image({sent, source.image_bytes});

  const std::array<u32, 2> sizes{source.info_log_bytes, source.error_log_bytes};
  const u64 all = u64{sizes[0]} + sizes[1];
  if (all == 0) return CUDA_SUCCESS;
  std::byte* into = in.session.region.span(source.logs, all);
  if (into == nullptr) return in.violate(VGPU_END_BAD_BULK, "logs");
  constexpr std::array kBuffers{CU_JIT_INFO_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER};
  constexpr std::array kSizes{CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  for (unsigned i = 0; i < 2; ++i) {
    Log& log = logs_[i];
    log.into = into;
    into += sizes[i];
    if (sizes[i] == 0) continue;
    log.text.resize(sizes[i]);
    add(kBuffers[i], log.text.data());
    log.written_option = options_.size();
    add(kSizes[i], reinterpret_cast<void*>(u64{sizes[i]}));
  }
  return CUDA_SUCCESS;
}

u32 Image::write_log(unsigned which) const {
  const Log& log = logs_[which];
  if (log.text.empty()) return 0;
  // The driver replaced the size by what it wrote: an unsigned int in the value's low half.
  const u64 written =
      std::min<u64>(static_cast<u32>(reinterpret_cast<u64>(values_[log.written_option])), log.text.size());
  std::memcpy(log.into, log.text.data(), written);
  return static_cast<u32>(written);
}

FloatBits Image::wall_time() const {
  if (wall_time_option_ == kNoOption) return FloatBits{0};
  return FloatBits{static_cast<u32>(reinterpret_cast<u64>(values_[wall_time_option_]))};
}

}  // namespace vgpu::executor
