// What kernels print: the host's driver writes it in the executor's process, and it belongs on the program's own
// standard output.
#include <algorithm>
#include <cstdio>

#include "shim/session.hpp"

namespace vgpu::shim {

void print_kernel_text() noexcept {
  State& s = state();
  // Who comes second returns when the first one's text is printed: it may be the second one's kernel's.
  std::lock_guard lock(s.kernel_text_mutex);
  const StagingChunk chunk(s.staging, s.staging.take());
  const ThreadSlot slot;
  if (!chunk.taken() || !slot.taken()) return;
  for (;;) {
    // Not ask(): an error that is due is the program's call's to return.
    u32 ticket = 0;
    call::vgpuKernelText::Reply reply{};
    const call::vgpuKernelText::Request request{chunk.offset(), Staging::kChunkBytes};
    if (s.channel->begin<call::vgpuKernelText>(slot.index(), ticket, 0, request, 0, [](std::byte*) {}) != CUDA_SUCCESS)
      return;
    if (s.channel->await(slot.index(), ticket, &reply, sizeof reply) != CUDA_SUCCESS) return;
    const u64 bytes = std::min(reply.written, Staging::kChunkBytes);
    if (bytes == 0) return;
    std::fwrite(chunk.memory(), 1, bytes, stdout);
  }
}

}  // namespace vgpu::shim
