// Attributes of streams: the host's driver keeps them. Their values are numbers and addresses of the GPU's memory,
// which mean the same on both sides.
#include <cstring>

#include "shim/stream.hpp"

using namespace vgpu::shim;

static_assert(sizeof(CUstreamAttrValue) == sizeof(vgpu::protocol::AttributeValue));

CUresult cuStreamGetAttribute(CUstream stream, CUstreamAttrID attribute, CUstreamAttrValue* value) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    call::cuStreamGetAttribute::Reply reply{};
    const CUresult result =
        ask<call::cuStreamGetAttribute>(context.index(), {handle, static_cast<u32>(attribute), 0}, &reply);
    if (result == CUDA_SUCCESS) std::memcpy(value, reply.value.data(), sizeof reply.value);
    return result;
  });
}

CUresult cuStreamSetAttribute(CUstream stream, CUstreamAttrID attribute, const CUstreamAttrValue* value) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    call::cuStreamSetAttribute::Request request{handle, static_cast<u32>(attribute), 0, {}};
    std::memcpy(request.value.data(), value, sizeof request.value);
    return ask<call::cuStreamSetAttribute>(context.index(), request);
  });
}

CUresult cuStreamCopyAttributes(CUstream destination, CUstream source) {
  return with_stream(destination, [&](Context& context, StreamHandle to) -> CUresult {
    StreamHandle from{0};
    const CUresult result = resolve_stream(context, source, from);
    return result == CUDA_SUCCESS ? ask<call::cuStreamCopyAttributes>(context.index(), {to, from}) : result;
  });
}
