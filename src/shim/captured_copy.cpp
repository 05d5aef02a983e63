#include "shim/captured_copy.hpp"

#include <bit>
#include <cstring>
#include <map>

#include "shim/host_function.hpp"

namespace vgpu::shim {
namespace {

/// Shadows of nodes that are gone, by context and bytes. They are not given back before the context's end: the helper
/// thread, which learns of a node's end, must not wait for the GPU, and to give pinned memory back does.
struct Spare {
  std::mutex mutex;
  u64 epoch = 0;
  std::multimap<std::pair<u64, u64>, std::byte*> blocks;
  std::map<u64, u64> lives;  ///< of contexts that have shadows
  u64 next_life = 1;
};
Spare& spare() {
  static Spare* const made = new Spare;  // the helper may outlive static objects
  return *made;
}

}  // namespace

CUresult captures_stream(const Context& context, StreamHandle stream, bool& captured) {
  captured = false;
  return any_capture() ? state().captures.route(context.index(), stream.value, captured) : CUDA_SUCCESS;
}

CUresult refuse_synchronous(const Context& context, StreamHandle stream) {
  if (!any_capture()) [[likely]]
    return CUDA_SUCCESS;
  const CUresult result = state().captures.refuse(context.index(), stream.value);
  return result == CUDA_SUCCESS ? state().captures.refuse_unsafe() : result;
}

Shadow::~Shadow() {
  Spare& all = spare();
  std::lock_guard lock(all.mutex);
  const auto found = all.lives.find(context_);
  if (found != all.lives.end() && found->second == life_) all.blocks.emplace(std::pair{context_, bytes_}, memory_);
}

void forget_shadows(const Context& context) {
  Spare& all = spare();
  std::lock_guard lock(all.mutex);
  all.lives.erase(context.handle);
  std::erase_if(all.blocks, [&](const auto& block) { return block.first.first == context.handle; });
}

CUresult make_shadow(const Context& context, u64 wanted, std::shared_ptr<Shadow>& shadow) {
  const u64 bytes = std::bit_ceil(wanted);
  Spare& all = spare();
  u64 life = 0;
  {
    std::lock_guard lock(all.mutex);
    if (all.epoch != state().epoch) {
      all.blocks.clear();
      all.lives.clear();
    }
    all.epoch = state().epoch;
    const auto [known, fresh] = all.lives.try_emplace(context.handle, all.next_life);
    if (fresh) ++all.next_life;
    life = known->second;
    if (const auto found = all.blocks.find({context.handle, bytes}); found != all.blocks.end()) {
      std::byte* memory = found->second;
      all.blocks.erase(found);
      shadow = std::make_shared<Shadow>(context.handle, life, bytes, memory);
      return CUDA_SUCCESS;
    }
  }
  Allocation made;
  // Not the program's allocation: no capture forbids it.
  const CaptureBypass ours;
  const CUresult result = state().host_memory.allocate(context, bytes, CU_MEMHOSTALLOC_PORTABLE, made);
  if (result != CUDA_SUCCESS) return result;
  state().allocations.add(made);  // the context's end gives it back
  shadow = std::make_shared<Shadow>(context.handle, life, bytes, reinterpret_cast<std::byte*>(made.base));
  return CUDA_SUCCESS;
}

CUresult add_host_node(const Context& context, StreamHandle stream, std::function<void()> run) {
  u64 id = 0;
  CUresult result = remember_host_function({[run = std::move(run)](CUresult) { run(); }, nullptr}, id);
  if (result != CUDA_SUCCESS) return result;
  result = post<call::cuLaunchHostFunc>(context.index(), {stream, id});
  if (result != CUDA_SUCCESS) forget_host_function(id);
  return result;
}

CUresult capture_to_device(const Context& context, StreamHandle stream, u64 destination, const std::byte* source,
                           u64 bytes) {
  std::shared_ptr<Shadow> shadow;
  CUresult result = make_shadow(context, bytes, shadow);
  if (result != CUDA_SUCCESS) return result;
  const Offset offset = shadow->offset();
  result = add_host_node(context, stream,
                         [shadow = std::move(shadow), source, bytes] { std::memcpy(shadow->memory(), source, bytes); });
  if (result != CUDA_SUCCESS) return result;
  return post<call::cuMemcpyHtoDAsync>(context.index(), {Pointer{destination}, stream, offset, bytes});
}

CUresult capture_from_device(const Context& context, StreamHandle stream, std::byte* destination, u64 source,
                             u64 bytes) {
  std::shared_ptr<Shadow> shadow;
  CUresult result = make_shadow(context, bytes, shadow);
  if (result != CUDA_SUCCESS) return result;
  result = post<call::cuMemcpyDtoHAsync>(context.index(), {Pointer{source}, stream, shadow->offset(), bytes});
  if (result != CUDA_SUCCESS) return result;
  return add_host_node(context, stream, [shadow = std::move(shadow), destination, bytes] {
    std::memcpy(destination, shadow->memory(), bytes);
  });
}

}  // namespace vgpu::shim
