// Green contexts: a part of a device's multiprocessors. A resource's inside stays with the executor; the program's
// structure has its number where the driver would keep what it keeps.
#include <cstring>

#include "shim/load.hpp"
#include "shim/stream.hpp"

using namespace vgpu::shim;

namespace {

using vgpu::protocol::ContextHandle;
using vgpu::protocol::DeviceResource;
using vgpu::protocol::GreenContextHandle;

/// In CUdevResource::_internal_padding.
struct Mark {
  static constexpr u32 kMagic = 0x70675672;
  u32 magic = kMagic;
  u32 number = 0;
};

void give(const DeviceResource& from, CUdevResource& to) noexcept {
  to = {};
  to.type = static_cast<CUdevResourceType>(from.type);
  const Mark mark{Mark::kMagic, from.number};
  std::memcpy(to._internal_padding, &mark, sizeof mark);
  to.sm.smCount = from.multiprocessors;
  to.sm.minSmPartitionSize = from.least_partition;
  to.sm.smCoscheduledAlignment = from.coscheduled_alignment;
}

/// 0: no resource that a call of ours gave.
u32 number_of(const CUdevResource& resource) noexcept {
  Mark mark;
  std::memcpy(&mark, resource._internal_padding, sizeof mark);
  return mark.magic == Mark::kMagic && resource.type == CU_DEV_RESOURCE_TYPE_SM ? mark.number : 0;
}

/// Sends a call whose reply is one resource.
template <typename Call>
CUresult ask_resource(const typename Call::Request& request, CUdevResource* out) {
  if (!out) return CUDA_ERROR_INVALID_VALUE;
  typename Call::Reply reply{};
  const CUresult result = ask<Call>(any_context_index(), request, &reply);
  if (result == CUDA_SUCCESS) give(reply.resource, *out);
  return result;
}

template <typename F>
CUresult with_green(CUgreenCtx green, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    const u64 handle = reinterpret_cast<u64>(green);
    const GreenContext* found = state().green_contexts.find(handle);
    Context* context = found ? state().contexts.find(found->context) : nullptr;
    return context ? f(*context, GreenContextHandle{handle}) : CUDA_ERROR_INVALID_CONTEXT;
  });
}

}  // namespace

CUresult cuDeviceGetDevResource(CUdevice ordinal, CUdevResource* resource, CUdevResourceType type) {
  return with_device(ordinal, [&](Device&) {
    return ask_resource<call::cuDeviceGetDevResource>({ordinal, static_cast<u32>(type)}, resource);
  });
}

CUresult cuCtxGetDevResource(CUcontext handle, CUdevResource* resource, CUdevResourceType type) {
  return guarded([&]() -> CUresult {
    CUresult result = CUDA_SUCCESS;
    const Context* context = context_or_current(handle, result);
    if (!context) return result;
    return ask_resource<call::cuCtxGetDevResource>({{context->handle}, static_cast<u32>(type), 0}, resource);
  });
}

CUresult cuGreenCtxGetDevResource(CUgreenCtx green, CUdevResource* resource, CUdevResourceType type) {
  return with_green(green, [&](Context&, GreenContextHandle handle) {
    return ask_resource<call::cuGreenCtxGetDevResource>({handle, static_cast<u32>(type), 0}, resource);
  });
}

CUresult cuDevSmResourceSplitByCount(CUdevResource* groups, unsigned int* count, const CUdevResource* input,
                                     CUdevResource* remaining, unsigned int flags, unsigned int least) {
  return guarded([&]() -> CUresult {
    if (!count || !input) return CUDA_ERROR_INVALID_VALUE;
    if (input->type != CU_DEV_RESOURCE_TYPE_SM) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
    const u32 most = groups ? *count : 0;
    if (groups && u64{most} * sizeof(DeviceResource) > Staging::kChunkBytes) return CUDA_ERROR_INVALID_VALUE;
    Transfer transfer(Staging::kChunkBytes);
    if (!transfer.memory()) return transfer.why();
    call::cuDevSmResourceSplitByCount::Reply reply{};
    const CUresult result =
        ask<call::cuDevSmResourceSplitByCount>(any_context_index(),
                                               {number_of(*input), groups ? most : 0, flags, least, groups == nullptr,
                                                remaining != nullptr, transfer.offset()},
                                               &reply);
    if (result != CUDA_SUCCESS) return result;
    for (u32 i = 0; i < std::min(most, reply.groups); ++i) {
      DeviceResource group;
      std::memcpy(&group, transfer.memory() + i * sizeof group, sizeof group);
      give(group, groups[i]);
    }
    *count = reply.groups;
    if (remaining) give(reply.remaining, *remaining);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevResourceGenerateDesc(CUdevResourceDesc* out, CUdevResource* resources, unsigned int count) {
  return guarded([&]() -> CUresult {
    if (!out || !resources || count == 0) return CUDA_ERROR_INVALID_VALUE;
    std::vector<u32> numbers;
    for (unsigned i = 0; i < count; ++i) numbers.push_back(number_of(resources[i]));
    call::cuDevResourceGenerateDesc::Reply reply{};
    const CUresult result = ask<call::cuDevResourceGenerateDesc>(any_context_index(), {count, 0}, &reply,
                                                                 std::as_bytes(std::span(numbers)));
    if (result == CUDA_SUCCESS) *out = reinterpret_cast<CUdevResourceDesc>(reply.description);
    return result;
  });
}

CUresult cuGreenCtxCreate(CUgreenCtx* out, CUdevResourceDesc description, CUdevice ordinal, unsigned int flags) {
  return with_device(ordinal, [&](Device&) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    State& s = state();
    const auto green = s.green_contexts.mint();
    const auto converted = s.contexts.mint();
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    if (green.object && converted.object) {
      green.object->context = converted.handle.value;
      Context& context = *converted.object;
      context.handle = converted.handle.value;
      context.device = ordinal;
      context.green = green.handle.value;
      context.id = s.next_context_id.fetch_add(1);
      result = ask<call::cuGreenCtxCreate>(
          0, {green.handle, converted.handle, reinterpret_cast<u64>(description), ordinal, flags});
    }
    if (result == CUDA_SUCCESS) {
      converted.object->active.store(true, std::memory_order_release);
      *out = reinterpret_cast<CUgreenCtx>(green.handle.value);
      return result;
    }
    if (green.object) s.green_contexts.release(green.handle.value);
    if (converted.object) s.contexts.release(converted.handle.value);
    return result;
  });
}

// The memory and the modules that were made while it was current are the primary context's, and stay.
CUresult cuGreenCtxDestroy(CUgreenCtx green) {
  return with_green(green, [](Context& context, GreenContextHandle handle) -> CUresult {
    State& s = state();
    const u64 converted = context.handle;
    context.active.store(false, std::memory_order_release);
    const CUresult result = ask<call::cuGreenCtxDestroy>(0, {handle, ContextHandle{converted}});
    s.green_contexts.release(handle.value);
    s.contexts.release(converted);
    return result;
  });
}

CUresult cuCtxFromGreenCtx(CUcontext* out, CUgreenCtx green) {
  return with_green(green, [&](Context& context, GreenContextHandle) {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = as_cuda(context);
    return CUDA_SUCCESS;
  });
}

CUresult cuGreenCtxGetId(CUgreenCtx green, unsigned long long* id) {
  return with_green(green, [&](Context& context, GreenContextHandle) {
    if (!id) return CUDA_ERROR_INVALID_VALUE;
    *id = context.id;
    return CUDA_SUCCESS;
  });
}

CUresult cuGreenCtxStreamCreate(CUstream* out, CUgreenCtx green, unsigned int flags, int priority) {
  return with_green(green, [&](Context& context, GreenContextHandle handle) -> CUresult {
    if (!out || flags != CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    State& s = state();
    const auto minted = s.streams.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    minted.object->context = context.handle;
    minted.object->flags = flags;
    minted.object->priority = priority;
    minted.object->id = s.next_stream_id.fetch_add(1);
    const CUresult result =
        post<call::cuGreenCtxStreamCreate>(context.index(), {minted.handle, handle, flags, priority});
    if (result == CUDA_SUCCESS)
      *out = reinterpret_cast<CUstream>(minted.handle.value);
    else
      s.streams.release(minted.handle.value);
    return result;
  });
}

CUresult cuGreenCtxRecordEvent(CUgreenCtx green, CUevent event) {
  return with_green(green, [&](Context& context, GreenContextHandle handle) -> CUresult {
    const u64 value = reinterpret_cast<u64>(event);
    if (!state().events.find(value)) return CUDA_ERROR_INVALID_HANDLE;
    return post<call::cuGreenCtxRecordEvent>(context.index(), {handle, {value}});
  });
}

CUresult cuGreenCtxWaitEvent(CUgreenCtx green, CUevent event) {
  return with_green(green, [&](Context& context, GreenContextHandle handle) -> CUresult {
    const u64 value = reinterpret_cast<u64>(event);
    if (!state().events.find(value)) return CUDA_ERROR_INVALID_HANDLE;
    return post<call::cuGreenCtxWaitEvent>(context.index(), {handle, {value}});
  });
}

CUresult cuStreamGetGreenCtx(CUstream stream, CUgreenCtx* out) { return cuStreamGetCtx_v2(stream, nullptr, out); }
