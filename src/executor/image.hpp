#pragma once
#include <memory>
#include <vector>

#include "executor/dispatch.hpp"
#include "executor/image_store.hpp"
#include "executor/jit_options.hpp"
#include "protocol/payload.hpp"

namespace vgpu::executor {

/// A module image and its options, copied out of shared memory before the driver parses them: the guest could change
/// them under its hands.
class Image {
 public:
  /// Takes the request of cuModuleLoadData or cuLibraryLoadData. CUDA_ERROR_UNKNOWN: the session has ended.
  template <typename Request>
  CUresult read(Invocation& in, const Request& request) {
    return read(in, {request.image, request.image_bytes, request.logs, request.info_log_bytes, request.error_log_bytes,
                     request.option_count, request.source, request.part_count});
  }
  /// Copies logs and timing to where the request wants them.
  template <typename Reply>
  void write(Reply& reply) const {
    jit_.write(logs_, reply);
  }

  /// What the driver loads: the image, or a fatbin wrapper around its parts.
  const void* bytes() const noexcept { return whole_; }
  /// Not null: the image lies in the store, and stays readable as long as somebody holds this.
  const std::shared_ptr<const StoredImage>& stored() const noexcept { return stored_; }
  JitOptions& jit() noexcept { return jit_; }
  /// What it takes of the device, as far as it tells.
  protocol::u64 device_bytes() const noexcept { return device_bytes_; }

 private:
  struct Source {
    protocol::Offset image;
    protocol::u64 image_bytes;
    protocol::Offset logs;
    protocol::u32 info_log_bytes;
    protocol::u32 error_log_bytes;
    protocol::u32 option_count;
    protocol::u32 source;
    protocol::u32 part_count;
  };
  /// A fatbin wrapper as nvcc's output has it, of version 2.
  struct Wrapper {
    protocol::u32 magic = 0x466243b1;
    protocol::u32 version = 2;
    const void* data = nullptr;
    const void* const* prelinked = nullptr;
  };
  CUresult read(Invocation& in, const Source& source);
  CUresult read_bytes(Invocation& in, const Source& source);
  CUresult wrap_parts(Invocation& in, const Source& source);

  std::unique_ptr<std::byte[]> bytes_;
  std::shared_ptr<const StoredImage> stored_;
  const void* whole_ = nullptr;
  Wrapper wrapper_;
  std::vector<const void*> prelinked_;
  JitOptions jit_;
  protocol::u64 device_bytes_ = 0;
  std::byte* logs_ = nullptr;
};

}  // namespace vgpu::executor
