#include <cstring>

#include "executor/dispatch.hpp"
#include "executor/enum_range.hpp"
#include "executor/room.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

bool resource_type(u32 number, CUdevResourceType& type) noexcept {
  return to_enum<CU_DEV_RESOURCE_TYPE_SM>(number, type);
}

/// CUDA_ERROR_OUT_OF_MEMORY: the session has too many.
CUresult describe(Invocation& in, const CUdevResource& resource, DeviceResource& out) {
  out = {in.session.device_resources.number(resource),
         static_cast<u32>(resource.type),
         resource.sm.smCount,
         resource.sm.minSmPartitionSize,
         resource.sm.smCoscheduledAlignment,
         0};
  return out.number != 0 ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/// Asks with get(resource, type).
template <typename Reply, typename Get>
CUresult get_resource(Invocation& in, u32 number, Reply& reply, Get&& get) {
  CUdevResourceType type{};
  if (!resource_type(number, type)) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
  CUdevResource resource{};
  const CUresult result = get(&resource, type);
  return result == CUDA_SUCCESS ? describe(in, resource, reply.resource) : result;
}

}  // namespace

VGPU_HANDLER(cuDeviceGetDevResource) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  return get_resource(in, request.type, reply, [&](CUdevResource* resource, CUdevResourceType type) {
    return in.cuda.cuDeviceGetDevResource(device, resource, type);
  });
}

VGPU_HANDLER(cuCtxGetDevResource) {
  const CUcontext context =
      in.session.contexts.accepts(request.of) ? in.session.contexts.find(request.of.index()) : nullptr;
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  return get_resource(in, request.type, reply, [&](CUdevResource* resource, CUdevResourceType type) {
    return in.cuda.cuCtxGetDevResource(context, resource, type);
  });
}

VGPU_HANDLER(cuGreenCtxGetDevResource) {
  const auto green = in.session.handles.find<CUgreenCtx>(request.green);
  if (green == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  return get_resource(in, request.type, reply, [&](CUdevResource* resource, CUdevResourceType type) {
    return in.cuda.cuGreenCtxGetDevResource(green, resource, type);
  });
}

VGPU_HANDLER(cuDevSmResourceSplitByCount) {
  constexpr u32 kMostGroups = DeviceResources::kMost;
  CUdevResource input{};
  if (request.groups > kMostGroups || !in.session.device_resources.find(request.input, input))
    return CUDA_ERROR_INVALID_VALUE;
  std::byte* into = nullptr;
  std::vector<CUdevResource> groups;
  if (request.only_count == 0) {
    into = in.session.region.span(request.into, u64{request.groups} * sizeof(DeviceResource));
    if (into == nullptr) return in.violate(VGPU_END_BAD_BULK, "place for resources");
    groups.resize(request.groups);
  }
  CUdevResource remaining{};
  unsigned count = request.groups;
  CUresult result = in.cuda.cuDevSmResourceSplitByCount(groups.empty() ? nullptr : groups.data(), &count, &input,
                                                        request.with_remaining != 0 ? &remaining : nullptr,
                                                        request.flags, request.least);
  if (result != CUDA_SUCCESS) return result;
  reply.groups = count;
  for (u32 i = 0; result == CUDA_SUCCESS && i < count && i < groups.size(); ++i) {
    DeviceResource group;
    result = describe(in, groups[i], group);
    std::memcpy(into + i * sizeof group, &group, sizeof group);
  }
  if (result == CUDA_SUCCESS && remaining.type == CU_DEV_RESOURCE_TYPE_SM)
    result = describe(in, remaining, reply.remaining);
  return result;
}

VGPU_HANDLER(cuDevResourceGenerateDesc) {
  if (request.count == 0 || in.tail.size() != u64{request.count} * sizeof(u32))
    return in.violate(VGPU_END_BAD_REQUEST, "count of resources");
  std::vector<CUdevResource> resources(request.count);
  for (u32 i = 0; i < request.count; ++i) {
    u32 number = 0;
    std::memcpy(&number, in.tail.data() + i * sizeof number, sizeof number);
    if (!in.session.device_resources.find(number, resources[i])) return CUDA_ERROR_INVALID_VALUE;
  }
  CUdevResourceDesc description = nullptr;
  const CUresult result = in.cuda.cuDevResourceGenerateDesc(&description, resources.data(), request.count);
  if (result != CUDA_SUCCESS) return result;
  reply.description = in.session.device_resources.number(description);
  return reply.description != 0 ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

VGPU_HANDLER(cuGreenCtxCreate) {
  CUdevice device = 0;
  CUdevResourceDesc description = nullptr;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!in.session.handles.vacant(request.green) || !in.session.contexts.vacant(request.converted))
    return CUDA_ERROR_INVALID_HANDLE;
  if (!in.session.device_resources.find(request.description, description)) return CUDA_ERROR_INVALID_VALUE;
  CUgreenCtx green = nullptr;
  CUresult result = in.cuda.cuGreenCtxCreate(&green, description, device, request.flags);
  if (result != CUDA_SUCCESS) return result;
  CUcontext converted = nullptr;
  result = in.cuda.cuCtxFromGreenCtx(&converted, green);
  if (result != CUDA_SUCCESS) {
    in.cuda.cuGreenCtxDestroy(green);
    return result;
  }
  if (!in.session.contexts.put_converted(request.converted, converted, request.green)) {
    in.cuda.cuGreenCtxDestroy(green);
    return CUDA_ERROR_INVALID_HANDLE;
  }
  in.session.handles.put(request.green, green);
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuGreenCtxDestroy) {
  // Its own one and no other: that goes with it, and must not become current any more.
  if (in.session.contexts.take_converted(request.converted, request.green) == nullptr)
    return CUDA_ERROR_INVALID_CONTEXT;
  const auto green = in.session.handles.take<CUgreenCtx>(request.green);
  if (green == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  const CUresult result = in.cuda.cuGreenCtxDestroy(green);
  in.current.forget();
  return result;
}

VGPU_HANDLER(cuGreenCtxStreamCreate) {
  const auto green = in.session.handles.find<CUgreenCtx>(request.green);
  if (green == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Room room(in, request.stream);
  if (room.result() != CUDA_SUCCESS) return room.result();
  CUstream stream = nullptr;
  const CUresult result = in.cuda.cuGreenCtxStreamCreate(&stream, green, request.flags, request.priority);
  if (result == CUDA_SUCCESS) room.put(stream);
  return result;
}

VGPU_HANDLER(cuGreenCtxRecordEvent) {
  const auto green = in.session.handles.find<CUgreenCtx>(request.green);
  const auto event = in.session.handles.find<CUevent>(request.event);
  if (green == nullptr || event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return in.cuda.cuGreenCtxRecordEvent(green, event);
}

VGPU_HANDLER(cuGreenCtxWaitEvent) {
  const auto green = in.session.handles.find<CUgreenCtx>(request.green);
  const auto event = in.session.handles.find<CUevent>(request.event);
  if (green == nullptr || event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return in.cuda.cuGreenCtxWaitEvent(green, event);
}

}  // namespace vgpu::executor
