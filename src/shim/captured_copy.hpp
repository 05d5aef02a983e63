#pragma once
#include <functional>
#include <memory>

#include "shim/stream.hpp"

/// Copies between the GPU and pageable memory in a captured stream. The GPU can't reach that memory, and a graph must
/// read what lies there when it is launched: so the graph gets a copy from or to pinned memory of ours, a shadow, and a
/// host function that moves the bytes between it and the program's memory.
namespace vgpu::shim {

/// True if the stream's work becomes nodes of a graph; errors as Captures::route.
CUresult captures_stream(const Context& context, StreamHandle stream, bool& captured);

/// What a copy that returns only when it is done has to ask first: it has no place beside a capture that its thread may
/// not disturb. CUDA_SUCCESS where there is none.
CUresult refuse_synchronous(const Context& context, StreamHandle stream);

/// Pinned memory that a node's host function holds as long as something has the node. Its memory serves later nodes.
class Shadow {
 public:
  /// `life`: which life of the context it is; a primary one's handle has many.
  Shadow(u64 context, u64 life, u64 bytes, std::byte* memory)
      : context_(context), life_(life), bytes_(bytes), memory_(memory) {}
  ~Shadow();
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;
  std::byte* memory() const noexcept { return memory_; }
  Offset offset() const noexcept { return state().host_memory.offset(memory_); }

 private:
  u64 context_;
  u64 life_;
  u64 bytes_;
  std::byte* memory_;
};

CUresult make_shadow(const Context& context, u64 bytes, std::shared_ptr<Shadow>& shadow);
/// The context ends, and its shadows' memory with it: none of it serves later nodes.
void forget_shadows(const Context& context);

/// Adds a node that calls `run` at each launch; what it holds lives as long as something has the node.
CUresult add_host_node(const Context& context, StreamHandle stream, std::function<void()> run);

/// Plain copies.
CUresult capture_to_device(const Context& context, StreamHandle stream, u64 destination, const std::byte* source,
                           u64 bytes);
CUresult capture_from_device(const Context& context, StreamHandle stream, std::byte* destination, u64 source,
                             u64 bytes);

}  // namespace vgpu::shim
