#include "shim/exports/per_thread.hpp"

namespace vgpu::shim {
namespace {

// Initial-exec: one load relative to the thread pointer. A library loaded late finds room for it in glibc's reserve.
[[gnu::tls_model("initial-exec")]] thread_local bool per_thread = false;

}  // namespace

PerThreadDefaultStream::PerThreadDefaultStream() noexcept : outer_(per_thread) { per_thread = true; }

PerThreadDefaultStream::~PerThreadDefaultStream() { per_thread = outer_; }

bool per_thread_default_stream() noexcept { return per_thread; }

}  // namespace vgpu::shim
