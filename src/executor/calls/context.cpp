#include "executor/dispatch.hpp"
#include "executor/enum_range.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// Flags that make the driver write files, or open pipes, where the executor is.
constexpr u32 kWritesFiles = CU_CTX_COREDUMP_ENABLE | CU_CTX_USER_COREDUMP_ENABLE;

/// The end of a primary context's objects: made before the driver is asked for it. Another handle to the context must
/// not find them.
class PrimaryEnd {
 public:
  PrimaryEnd(Invocation& in, CUdevice device) : in_(in), device_(device) {
    in.session.contexts.for_each_primary(
        device, [&](u32 index) { endings_.emplace_back(index, in.session.memory.context_ending(index)); });
  }
  void happened() {
    in_.session.contexts.primary_emptied(device_);
    for (const auto& [index, ending] : endings_) in_.session.memory.context_ended(index, ending);
  }
  /// They die with its last reference.
  void look() {
    unsigned flags = 0;
    int active = 0;
    if (in_.cuda.cuDevicePrimaryCtxGetState(device_, &flags, &active) == CUDA_SUCCESS && active == 0) happened();
  }

 private:
  Invocation& in_;
  const CUdevice device_;
  std::vector<std::pair<u32, u32>> endings_;
};

/// What a new context takes, charged until it ends; nothing: over the limit, counted.
std::optional<Charge> reserve_context(Invocation& in) {
  return in.session.memory.reserve(in.session.config.context_memory);
}

/// Device memory that a limit of a context's makes the driver keep for its kernels, beyond what each context has.
u64 limit_bytes(Invocation& in, CUlimit limit, u64 value) {
  constexpr u64 kHeap = u64{8} << 20;
  constexpr u64 kText = u64{1} << 20;
  constexpr u64 kStack = 1024;
  const auto beyond = [&](u64 usual) { return value > usual ? value - usual : 0; };
  if (limit == CU_LIMIT_MALLOC_HEAP_SIZE) return beyond(kHeap);
  if (limit == CU_LIMIT_PRINTF_FIFO_SIZE) return beyond(kText);
  // A driver whose contexts take nothing keeps no stacks on a device.
  if (limit != CU_LIMIT_STACK_SIZE || in.session.config.context_memory == 0) return 0;
  CUdevice device = 0;
  int processors = 0;
  int threads = 0;
  if (in.cuda.cuCtxGetDevice(&device) != CUDA_SUCCESS ||
      in.cuda.cuDeviceGetAttribute(&processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device) != CUDA_SUCCESS ||
      in.cuda.cuDeviceGetAttribute(&threads, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, device) !=
          CUDA_SUCCESS)
    return 0;
  u64 bytes = 0;
  return __builtin_mul_overflow(beyond(kStack), static_cast<u64>(processors) * static_cast<u64>(threads), &bytes)
             ? ~u64{0}
             : bytes;
}

/// Neither an address nor a handle.
u64 limit_key(u32 context, u32 limit) noexcept { return u64{1} << 63 | u64{context} << 32 | limit; }

}  // namespace

VGPU_HANDLER(cuDevicePrimaryCtxRetain) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!in.session.contexts.accepts(request.context)) return CUDA_ERROR_INVALID_HANDLE;
  if ((request.flags & kWritesFiles) != 0) return in.refuse();
  unsigned flags = 0;
  int active = 0;
  const CUresult known = in.cuda.cuDevicePrimaryCtxGetState(device, &flags, &active);
  if (known != CUDA_SUCCESS || flags != request.flags) {
    const CUresult set = in.cuda.cuDevicePrimaryCtxSetFlags_v2(device, request.flags);
    if (set != CUDA_SUCCESS) return set;
  }
  std::optional<Charge> charge;
  if (!in.session.memory.holds(request.context.value) && !(charge = reserve_context(in)))
    return CUDA_ERROR_OUT_OF_MEMORY;
  CUcontext context = nullptr;
  const CUresult result = in.cuda.cuDevicePrimaryCtxRetain(&context, device);
  if (result != CUDA_SUCCESS) return result;
  if (!in.session.contexts.put_primary(request.context, context, device)) {
    in.cuda.cuDevicePrimaryCtxRelease_v2(device);
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (charge) in.session.memory.keep(request.context.value, request.context.index(), *std::move(charge));
  if (in.current.set(request.context.index()) == CUDA_SUCCESS) in.session.register_staging(request.context.index());
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuDevicePrimaryCtxRelease) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  PrimaryEnd end(in, device);
  const CUresult result = in.cuda.cuDevicePrimaryCtxRelease_v2(device);
  in.current.forget();
  end.look();
  in.session.kernel_text.look();
  return result;
}

VGPU_HANDLER(cuDevicePrimaryCtxReset) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  PrimaryEnd end(in, device);
  const CUresult result = in.cuda.cuDevicePrimaryCtxReset_v2(device);
  in.current.forget();
  end.happened();
  in.session.kernel_text.look();
  return result;
}

VGPU_HANDLER(cuCtxCreate) {
  CUdevice device = 0;
  if (!in.session.device(request.device, device)) return CUDA_ERROR_INVALID_DEVICE;
  if (!in.session.contexts.vacant(request.context)) return CUDA_ERROR_INVALID_HANDLE;
  if ((request.flags & kWritesFiles) != 0) return in.refuse();
  auto charge = reserve_context(in);
  if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
  CUcontext context = nullptr;
  const CUresult result = in.cuda.cuCtxCreate_v2(&context, request.flags, device);
  if (result != CUDA_SUCCESS) return result;
  // The driver made it current here.
  in.current.forget();
  if (!in.session.contexts.put(request.context, context)) {
    in.cuda.cuCtxDestroy_v2(context);
    return CUDA_ERROR_INVALID_HANDLE;
  }
  in.session.memory.keep(request.context.value, request.context.index(), *std::move(charge));
  in.session.register_staging(request.context.index());
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuCtxDestroy) {
  // Before its place is free for another one.
  const u32 ending = in.session.memory.context_ending(request.context.index());
  const CUcontext context = in.session.contexts.take(request.context);
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  const CUresult result = in.cuda.cuCtxDestroy_v2(context);
  in.session.memory.context_ended(request.context.index(), ending);
  in.current.forget();
  in.session.kernel_text.look();
  return result;
}

VGPU_HANDLER(cuCtxSynchronize) {
  Session& session = in.session;
  // Programs with one stream are the usual: to wait for that needs no thread.
  if (const auto stream = session.unfinished.only(in.header.context);
      stream && !in.on_worker && !session.captures.any()) {
    in.wait_for_context = true;
    if (in.answer_after(*stream) == CUDA_SUCCESS) return CUDA_SUCCESS;
  }
  if (in.leave_to_worker()) return CUDA_SUCCESS;
  const CUresult result = session.synchronize(in.header.context);
  if (result == CUDA_SUCCESS) session.unfinished.synchronized(in.header.context, in.unfinished);
  in.session.kernel_text.look();
  return result;
}

VGPU_HANDLER(cuCtxGetLimit) {
  CUlimit limit{};
  if (!to_enum<CU_LIMIT_MAX>(request.limit, limit)) return CUDA_ERROR_INVALID_VALUE;
  std::size_t value = 0;
  const CUresult result = in.cuda.cuCtxGetLimit(&value, limit);
  reply.value = value;
  return result;
}

VGPU_HANDLER(cuCtxSetLimit) {
  CUlimit limit{};
  if (!to_enum<CU_LIMIT_MAX>(request.limit, limit)) return CUDA_ERROR_INVALID_VALUE;
  const u64 key = limit_key(in.header.context, request.limit);
  auto charge = in.session.memory.reserve(limit_bytes(in, limit, request.value));
  if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
  const CUresult result = in.cuda.cuCtxSetLimit(limit, request.value);
  if (result == CUDA_SUCCESS) in.session.memory.change(key, in.header.context, *std::move(charge));
  return result;
}

VGPU_HANDLER(cuCtxSetCacheConfig) {
  CUfunc_cache config{};
  if (!to_enum<CU_FUNC_CACHE_PREFER_EQUAL>(request.config, config)) return CUDA_ERROR_INVALID_VALUE;
  return in.cuda.cuCtxSetCacheConfig(config);
}

VGPU_HANDLER(cuCtxResetPersistingL2Cache) { return in.cuda.cuCtxResetPersistingL2Cache(); }

namespace {

/// Calls f with the driver's context and event.
template <typename Request, typename F>
CUresult with_event_of_context(Invocation& in, const Request& request, F&& f) {
  const CUcontext context = request.context.well_formed() ? in.session.contexts.find(request.context.index()) : nullptr;
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  const auto event = in.session.handles.find<CUevent>(request.event);
  return event != nullptr ? f(context, event) : CUDA_ERROR_INVALID_HANDLE;
}

}  // namespace

VGPU_HANDLER(cuCtxRecordEvent) { return with_event_of_context(in, request, in.cuda.cuCtxRecordEvent); }
VGPU_HANDLER(cuCtxWaitEvent) { return with_event_of_context(in, request, in.cuda.cuCtxWaitEvent); }

}  // namespace vgpu::executor
