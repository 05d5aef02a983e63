#include "shim/load.hpp"

#include "shim/image_key.hpp"

namespace vgpu::shim {

Transfer::Transfer(u64 bytes) : bytes_(bytes) {
  State& s = state();
  if (bytes <= Staging::kChunkBytes) {
    chunk_ = s.staging.take();
    if (chunk_ == Staging::kNone) return;
    memory_ = s.staging.memory(chunk_);
    offset_ = Staging::offset(chunk_);
    return;
  }
  memory_ = s.host_memory.take_extent(bytes);
  if (memory_) offset_ = s.host_memory.offset(memory_);
}

Transfer::~Transfer() {
  if (!memory_) return;
  if (chunk_ != Staging::kNone)
    state().staging.give(chunk_);
  else
    state().host_memory.give_extent(memory_, bytes_);
}

CUresult Transfer::why() const noexcept {
  const CUresult health = state().channel->health();
  return health != CUDA_SUCCESS ? health : CUDA_ERROR_OUT_OF_MEMORY;
}

ImageTransfer::ImageTransfer(const ImageParts& parts, const JitOptions& options) : parts_(parts) {
  const auto append = [&](const void* data, std::size_t bytes) {
    const auto* from = static_cast<const std::byte*>(data);
    tail_.insert(tail_.end(), from, from + bytes);
  };
  append(options.numbers().data(), options.numbers().size_bytes());
  if (parts.size() == 1) {
    image_bytes_ = parts[0].size();
    key_ = file_of_image(parts[0]);
    if (key_) append(&*key_, sizeof *key_);
    return;
  }
  part_count_ = static_cast<u32>(parts.size());
  for (const auto& part : parts) {
    const u64 bytes = part.size();
    append(&bytes, sizeof bytes);
    image_bytes_ += (bytes + protocol::kImagePartAlign - 1) / protocol::kImagePartAlign * protocol::kImagePartAlign;
  }
}

std::span<const std::byte> ImageTransfer::tail(protocol::ImageSource source) const {
  const std::size_t without_key = tail_.size() - (key_ ? sizeof *key_ : 0);
  return {tail_.data(), source == protocol::kImagePlain ? without_key : tail_.size()};
}

void ImageTransfer::write(std::byte* to) const {
  for (const auto& part : parts_) {
    std::memcpy(to, part.data(), part.size());
    to += (part.size() + protocol::kImagePartAlign - 1) / protocol::kImagePartAlign * protocol::kImagePartAlign;
  }
}

}  // namespace vgpu::shim
