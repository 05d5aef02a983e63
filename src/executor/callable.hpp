#pragma once
#include "executor/dispatch.hpp"

namespace vgpu::executor {

/// The driver's handle for launches and occupancy, which take a CUkernel in place of a CUfunction. Null: none such.
inline CUfunction find_callable(const Session& session, protocol::CallableHandle handle) noexcept {
  const protocol::FunctionHandle function{handle.value};
  if (function.well_formed()) return session.handles.find<CUfunction>(function);
  return reinterpret_cast<CUfunction>(session.handles.find<CUkernel>(protocol::KernelHandle{handle.value}));
}

/// The driver's CUfunction, for calls that take no CUkernel: a kernel's function in the current context.
inline CUresult find_function(Invocation& in, protocol::CallableHandle handle, CUfunction& function) noexcept {
  const protocol::FunctionHandle plain{handle.value};
  if (plain.well_formed()) {
    function = in.session.handles.find<CUfunction>(plain);
    return function != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  }
  const auto kernel = in.session.handles.find<CUkernel>(protocol::KernelHandle{handle.value});
  if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return in.cuda.cuKernelGetFunction(&function, kernel);
}

/// Fills a reply's parameter_count, parameter_bytes and parameters from the driver's `info(index, &offset, &size)`.
template <typename Reply, typename Info>
CUresult describe_parameters(Reply& reply, Info info) {
  for (protocol::u32 i = 0; i <= protocol::kMaxParameterBytes; ++i) {
    std::size_t offset = 0;
    std::size_t size = 0;
    const CUresult result = info(i, &offset, &size);
    if (result == CUDA_ERROR_INVALID_VALUE) return CUDA_SUCCESS;  // past the last one
    if (result != CUDA_SUCCESS) return result;
    if (offset + size > protocol::kMaxParameterBytes) return CUDA_ERROR_INVALID_IMAGE;
    if (i < protocol::kInlineParameters)
      reply.parameters.layout[i] = {static_cast<protocol::u16>(offset), static_cast<protocol::u16>(size)};
    reply.parameter_count = i + 1;
    if (offset + size > reply.parameter_bytes) reply.parameter_bytes = static_cast<protocol::u32>(offset + size);
  }
  return CUDA_ERROR_INVALID_IMAGE;
}

}  // namespace vgpu::executor
