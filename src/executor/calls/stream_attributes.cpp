#include <cstring>

#include "executor/dispatch.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

static_assert(sizeof(CUstreamAttrValue) == sizeof(AttributeValue));

/// Attributes of streams (cuda.h, CU_LAUNCH_ATTRIBUTE_..., "Valid for streams"): what their values are is known, and
/// none has a pointer into the host's memory.
bool stream_attribute(u32 number, CUstreamAttrID& attribute) noexcept {
  switch (number) {
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
    case 16:  // CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING (name since CUDA 13.0)
      attribute = static_cast<CUstreamAttrID>(number);
      return true;
    default:
      return false;
  }
}

}  // namespace

VGPU_HANDLER(cuStreamGetAttribute) {
  CUstream stream = nullptr;
  CUstreamAttrID attribute{};
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  if (!stream_attribute(request.attribute, attribute)) return CUDA_ERROR_INVALID_VALUE;
  CUstreamAttrValue value{};
  const CUresult result = in.cuda.cuStreamGetAttribute(stream, attribute, &value);
  std::memcpy(reply.value.data(), &value, sizeof value);
  return result;
}

VGPU_HANDLER(cuStreamSetAttribute) {
  CUstream stream = nullptr;
  CUstreamAttrID attribute{};
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  if (!stream_attribute(request.attribute, attribute)) return CUDA_ERROR_INVALID_VALUE;
  CUstreamAttrValue value{};
  std::memcpy(&value, request.value.data(), sizeof value);
  return in.cuda.cuStreamSetAttribute(stream, attribute, &value);
}

VGPU_HANDLER(cuStreamCopyAttributes) {
  CUstream destination = nullptr;
  CUstream source = nullptr;
  if (!in.stream(request.destination, destination) || !in.stream(request.source, source))
    return CUDA_ERROR_INVALID_HANDLE;
  return in.cuda.cuStreamCopyAttributes(destination, source);
}

}  // namespace vgpu::executor
