#include "shim/load.hpp"

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

}  // namespace vgpu::shim
