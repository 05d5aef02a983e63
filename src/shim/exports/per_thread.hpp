// Per-thread default streams. Of a call that takes a stream the driver exports a second form (suffix _ptsz, for
// synchronous copies _ptds) for programs compiled with CUDA_API_PER_THREAD_DEFAULT_STREAM. The generated second forms
// hold a guard while they call the ordinary form.
#pragma once

namespace vgpu::shim {

/// While one lives, the null stream means the calling thread's own default stream (CU_STREAM_PER_THREAD) on this
/// thread. Guards nest.
class PerThreadDefaultStream {
 public:
  PerThreadDefaultStream() noexcept;
  ~PerThreadDefaultStream();
  PerThreadDefaultStream(const PerThreadDefaultStream&) = delete;
  PerThreadDefaultStream& operator=(const PerThreadDefaultStream&) = delete;

 private:
  bool outer_;
};

/// True while a guard lives on the calling thread. Every call that takes a stream, also within a structure
/// (CUlaunchConfig, CUDA_GRAPH_INSTANTIATE_PARAMS), must then read a null stream as CU_STREAM_PER_THREAD;
/// CU_STREAM_LEGACY and CU_STREAM_PER_THREAD, given explicitly, keep their meaning. So must the synchronous copies and
/// memsets, which run in the default stream.
bool per_thread_default_stream() noexcept;

}  // namespace vgpu::shim
