#pragma once
#include "executor/dispatch.hpp"

namespace vgpu::executor {

/// Room for a new object under a handle of the guest's: asked for before the driver makes an object that nobody could
/// name or end otherwise, or of which the VM has as many as it may.
template <protocol::Kind K>
class Room {
 public:
  Room(Invocation& in, protocol::Handle<K> handle) noexcept : handles_(in.session.handles), handle_(handle) {
    if (!handles_.vacant(handle))
      result_ = CUDA_ERROR_INVALID_HANDLE;
    else if (!handles_.template enter<K>())
      result_ = CUDA_ERROR_OUT_OF_MEMORY;
    else
      entered_ = true;
  }
  ~Room() {
    if (entered_) handles_.template leave<K>();
  }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  /// CUDA_SUCCESS, or why there is none.
  CUresult result() const noexcept { return result_; }
  void put(const void* native) {
    entered_ = false;
    handles_.put_entered(handle_, native);
  }

 private:
  Handles& handles_;
  const protocol::Handle<K> handle_;
  CUresult result_ = CUDA_SUCCESS;
  bool entered_ = false;
};

}  // namespace vgpu::executor
