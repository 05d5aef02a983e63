// Contexts: the stack of current ones lives in the guest's threads; records carry the index of the current one.
#include "shim/context.hpp"

#include "shim/array.hpp"
#include "shim/callable.hpp"
#include "shim/captured_copy.hpp"
#include "shim/refuse_as.hpp"
#include "shim/tables/tables.hpp"

namespace vgpu::shim {

Context* find_context(CUcontext handle) noexcept {
  Context* context = state().contexts.find(reinterpret_cast<u64>(handle));
  return context && context->active.load(std::memory_order_acquire) ? context : nullptr;
}

Context* context_or_current(CUcontext explicit_context, CUresult& result) noexcept {
  if (!explicit_context) return current_context(result);
  Context* context = find_context(explicit_context);
  if (!context) result = CUDA_ERROR_INVALID_CONTEXT;
  return context;
}

u32 any_context_index() {
  CUresult result = CUDA_SUCCESS;
  if (const Context* context = current_context(result)) return context->index();
  u32 index = 0;
  state().contexts.for_each([&](auto, Context& context) {
    if (context.active.load(std::memory_order_acquire)) index = context.index();
  });
  return index;
}

void empty_context(const Context& context) {
  State& s = state();
  run_context_storage_destructors(as_cuda(context));
  const auto owned = [&](auto& table) {
    std::vector<u64> handles;
    table.for_each([&](auto handle, auto& object) {
      if (object.context == context.handle) handles.push_back(handle.value);
    });
    return handles;
  };
  for (const u64 event : owned(s.events)) {
    s.channel->notify<call::cuEventDestroy>(context.index(), {{event}});
    s.events.release(event);
  }
  for (const u64 stream : owned(s.streams)) {
    s.channel->notify<call::cuStreamDestroy>(context.index(), {{stream}});
    s.streams.release(stream);
  }
  release_arrays(context);
  for (const u64 module : owned(s.modules)) {
    const Module* found = s.modules.find(module);
    if (found && found->library == 0) ask<call::cuModuleUnload>(context.index(), {{module}});
    forget_module(module);
  }
  for (const u64 function : owned(s.functions)) s.functions.release(function);
  s.libraries.for_each([&](auto, Library& library) {
    std::lock_guard lock(library.mutex);
    library.modules.erase(context.handle);
  });
  s.kernels.for_each([&](auto, Callable& kernel) { forget_facts(kernel); });
  forget_shadows(context);
  s.host_memory.release_context(context, s.allocations.remove_context(context.handle));
}

}  // namespace vgpu::shim

using namespace vgpu::shim;

static CUresult create_context(CUcontext* out, unsigned int flags, CUdevice ordinal) {
  return with_device(ordinal, [&](Device&) -> CUresult {
    if (!out || (flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) != 0) return CUDA_ERROR_INVALID_VALUE;
    const unsigned schedule = flags & CU_CTX_SCHED_MASK;
    if ((schedule & (schedule - 1)) != 0) return CUDA_ERROR_INVALID_VALUE;
    if ((flags & (CU_CTX_COREDUMP_ENABLE | CU_CTX_USER_COREDUMP_ENABLE)) != 0)
      return refuse_as("cuCtxCreate_v4", "a context that dumps core, which would lie on the host");
    State& s = state();
    const auto minted = s.contexts.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    Context& context = *minted.object;
    context.handle = minted.handle.value;
    context.device = ordinal;
    context.flags.store(flags);
    context.id = s.next_context_id.fetch_add(1);
    const CUresult result = ask<call::cuCtxCreate>(0, {minted.handle, ordinal, flags});
    if (result != CUDA_SUCCESS) {
      s.contexts.release(minted.handle.value);
      return result;
    }
    context.active.store(true, std::memory_order_release);
    this_thread().contexts.push_back(context.handle);
    *out = as_cuda(context);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxCreate_v4(CUcontext* out, CUctxCreateParams* params, unsigned int flags, CUdevice ordinal) {
  if (params && (params->execAffinityParams || params->cigParams))
    return guarded(
        [] { return refuse_as("cuCtxCreate_v4", "a context of part of a GPU by affinity, or for graphics"); });
  return create_context(out, flags, ordinal);
}

extern "C" CUresult CUDAAPI cuCtxCreate_v2(CUcontext* out, unsigned int flags, CUdevice ordinal) {
  return create_context(out, flags, ordinal);
}

extern "C" CUresult CUDAAPI cuCtxCreate_v3(CUcontext* out, CUexecAffinityParam* affinity, int count, unsigned int flags,
                                           CUdevice ordinal) {
  if (affinity && count != 0) return guarded([] { return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY; });
  return create_context(out, flags, ordinal);
}

CUresult cuCtxDestroy(CUcontext handle) {
  return guarded([&]() -> CUresult {
    Context* context = find_context(handle);
    if (!context || context->primary || context->green != 0)
      return handle && !context ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_INVALID_VALUE;
    const u64 value = context->handle;
    empty_context(*context);
    context->active.store(false, std::memory_order_release);
    const CUresult result = ask<call::cuCtxDestroy>(0, {{value}});
    // Where it is current to the calling thread, the one below it becomes current; elsewhere it stays, destroyed.
    Thread& thread = this_thread();
    if (thread.current() == value) thread.contexts.pop_back();
    state().contexts.release(value);
    return result;
  });
}

CUresult cuCtxPushCurrent(CUcontext handle) {
  return guarded([&]() -> CUresult {
    if (!handle) return CUDA_ERROR_INVALID_VALUE;
    const Context* context = state().contexts.find(reinterpret_cast<u64>(handle));
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    this_thread().contexts.push_back(context->handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPopCurrent(CUcontext* out) {
  return guarded([&]() -> CUresult {
    Thread& thread = this_thread();
    if (thread.contexts.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (out) *out = reinterpret_cast<CUcontext>(thread.contexts.back());
    thread.contexts.pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCurrent(CUcontext handle) {
  return guarded([&]() -> CUresult {
    Thread& thread = this_thread();
    if (!handle) {
      if (!thread.contexts.empty()) thread.contexts.pop_back();
      return CUDA_SUCCESS;
    }
    const Context* context = state().contexts.find(reinterpret_cast<u64>(handle));
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (thread.contexts.empty())
      thread.contexts.push_back(context->handle);
    else
      thread.contexts.back() = context->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCurrent(CUcontext* out) {
  return guarded([&] {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUcontext>(this_thread().current());
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice(CUdevice* device) { return cuCtxGetDevice_v2(device, nullptr); }

CUresult cuCtxGetDevice_v2(CUdevice* device, CUcontext handle) {
  return guarded([&]() -> CUresult {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    // A primary context that nobody retains at the moment still belongs to its device.
    const u64 value = handle ? reinterpret_cast<u64>(handle) : this_thread().current();
    const Context* context = state().contexts.find(value);
    if (!context) return value && !handle ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_ERROR_INVALID_CONTEXT;
    *device = context->device;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetFlags(unsigned int* flags) {
  return with_context([&](Context& context) {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = context.flags.load();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetId(CUcontext handle, unsigned long long* id) {
  return guarded([&]() -> CUresult {
    CUresult result = CUDA_SUCCESS;
    const Context* context = context_or_current(handle, result);
    if (!context) return result == CUDA_ERROR_INVALID_CONTEXT && handle ? CUDA_ERROR_CONTEXT_IS_DESTROYED : result;
    if (!id) return CUDA_ERROR_INVALID_VALUE;
    *id = context->id;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetApiVersion(CUcontext handle, unsigned int* version) {
  return guarded([&]() -> CUresult {
    CUresult result = CUDA_SUCCESS;
    if (!context_or_current(handle, result)) return result;
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    *version = 3020;  // of every context that the _v2 and later forms make
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSynchronize() {
  return with_context([](Context& context) { return ask<call::cuCtxSynchronize>(context.index(), {0}); });
}

CUresult cuCtxSynchronize_v2(CUcontext handle) {
  return guarded([&]() -> CUresult {
    CUresult result = CUDA_SUCCESS;
    const Context* context = context_or_current(handle, result);
    return context ? ask<call::cuCtxSynchronize>(context->index(), {0}) : result;
  });
}
