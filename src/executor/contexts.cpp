#include "executor/contexts.hpp"

namespace vgpu::executor {

using protocol::u32;
using protocol::u64;

bool Contexts::put(protocol::ContextHandle handle, CUcontext native, CUdevice primary_of,
                   protocol::GreenContextHandle green) noexcept {
  if (!accepts(handle) || native == nullptr) return false;
  Entry& entry = entries_[handle.index()];
  const std::lock_guard lock(mutex_);
  const bool same_primary = primary_of != kNotPrimary && entry.primary_of.load(std::memory_order_relaxed) == primary_of;
  if (entry.native.load(std::memory_order_relaxed) != nullptr && !same_primary) return false;
  entry.green = green.value;
  entry.generation.store(handle.generation(), std::memory_order_relaxed);
  entry.primary_of.store(primary_of, std::memory_order_relaxed);
  entry.native.store(native, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_acq_rel);
  return true;
}

CUcontext Contexts::take(protocol::ContextHandle handle, protocol::GreenContextHandle green) noexcept {
  if (!accepts(handle)) return nullptr;
  Entry& entry = entries_[handle.index()];
  const std::lock_guard lock(mutex_);
  if (entry.green != green.value || entry.generation.load(std::memory_order_relaxed) != handle.generation() ||
      entry.primary_of.load(std::memory_order_relaxed) != kNotPrimary)
    return nullptr;
  const CUcontext native = entry.native.exchange(nullptr, std::memory_order_acq_rel);
  entry.serial.fetch_add(1, std::memory_order_acq_rel);
  epoch_.fetch_add(1, std::memory_order_acq_rel);
  return native;
}

protocol::ContextHandle Contexts::handle_of(CUcontext native) const noexcept {
  for (u32 i = 1; native != nullptr && i <= kMaxIndex; ++i)
    if (entries_[i].native.load(std::memory_order_acquire) == native)
      return protocol::ContextHandle::make(i, entries_[i].generation.load(std::memory_order_relaxed));
  return {0};
}

void Contexts::primary_emptied(CUdevice device) noexcept {
  for (Entry& entry : entries_)
    if (entry.primary_of.load(std::memory_order_relaxed) == device)
      entry.serial.fetch_add(1, std::memory_order_acq_rel);
  epoch_.fetch_add(1, std::memory_order_acq_rel);
}

std::vector<u32> Contexts::take_dirty() {
  std::vector<u32> indices;
  for (u32 i = 1; i <= kMaxIndex; ++i)
    if (entries_[i].dirty.exchange(false, std::memory_order_relaxed)) indices.push_back(i);
  return indices;
}

CUresult CurrentContext::set(u32 index) noexcept {
  const u64 epoch = contexts_.epoch();
  if (index == index_ && epoch == epoch_) return CUDA_SUCCESS;
  // With a context that is gone, none is current: the driver then says so to the calls that need one.
  const CUcontext native = contexts_.find(index);
  const CUresult result = cuda_.cuCtxSetCurrent(native);
  index_ = index;
  epoch_ = result == CUDA_SUCCESS ? epoch : 0;
  return result;
}

}  // namespace vgpu::executor
