// Limits and preferences of the current context.
#include "shim/callable.hpp"
#include "shim/context.hpp"
#include "shim/refuse_as.hpp"

using namespace vgpu::shim;

CUresult cuCtxGetLimit(size_t* value, CUlimit limit) {
  return with_context([&](Context& context) -> CUresult {
    const auto index = static_cast<u32>(limit);
    if (!value || index >= Context::kLimits) return CUDA_ERROR_INVALID_VALUE;
    if (context.known_limits.load(std::memory_order_acquire) >> index & 1) {
      *value = context.limit[index].load(std::memory_order_relaxed);
      return CUDA_SUCCESS;
    }
    call::cuCtxGetLimit::Reply reply{};
    const CUresult result = ask<call::cuCtxGetLimit>(context.index(), {index, 0}, &reply);
    if (result != CUDA_SUCCESS) return result;
    context.limit[index].store(reply.value, std::memory_order_relaxed);
    context.known_limits.fetch_or(1u << index, std::memory_order_release);
    *value = reply.value;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value) {
  return with_context([&](Context& context) -> CUresult {
    if (static_cast<u32>(limit) >= Context::kLimits) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = ask<call::cuCtxSetLimit>(context.index(), {static_cast<u32>(limit), 0, value});
    // The driver rounds values, and one limit may change another.
    context.known_limits.store(0, std::memory_order_release);
    return result;
  });
}

CUresult cuCtxGetCacheConfig(CUfunc_cache* config) {
  return with_context([&](Context& context) {
    if (!config) return CUDA_ERROR_INVALID_VALUE;
    *config = static_cast<CUfunc_cache>(context.cache_config.load());
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config) {
  return with_context([&](Context& context) -> CUresult {
    if (static_cast<u32>(config) > CU_FUNC_CACHE_PREFER_EQUAL) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = post<call::cuCtxSetCacheConfig>(context.index(), {static_cast<u32>(config), 0});
    if (result == CUDA_SUCCESS) context.cache_config.store(static_cast<u32>(config));
    state().functions.for_each([](auto, Callable& function) { forget_facts(function); });
    return result;
  });
}

// Fixed-size banks are what every GPU since Maxwell has; setting is accepted and changes nothing there.
CUresult cuCtxGetSharedMemConfig(CUsharedconfig* config) {
  return with_context([&](Context&) {
    if (!config) return CUDA_ERROR_INVALID_VALUE;
    *config = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config) {
  return with_context([&](Context&) {
    return static_cast<u32>(config) <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE ? CUDA_SUCCESS
                                                                                 : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return with_context([&](Context& context) -> CUresult {
    int low = 0;
    int high = 0;
    const CUresult result = stream_priorities(context, low, high);
    if (result != CUDA_SUCCESS) return result;
    if (least) *least = low;
    if (greatest) *greatest = high;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxResetPersistingL2Cache() {
  return with_context([](Context& context) { return post<call::cuCtxResetPersistingL2Cache>(context.index(), {0}); });
}

CUresult cuCtxSetFlags(unsigned int flags) {
  return with_context([&](Context& context) -> CUresult {
    const unsigned schedule = flags & CU_CTX_SCHED_MASK;
    if ((flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) != 0 || (schedule & (schedule - 1)) != 0)
      return CUDA_ERROR_INVALID_VALUE;
    // How a thread waits is this library's affair; memory stays mapped and resized as it is. Other flags change what
    // calls do.
    constexpr unsigned kCarried = CU_CTX_SCHED_MASK | CU_CTX_MAP_HOST | CU_CTX_LMEM_RESIZE_TO_MAX;
    if ((flags & ~kCarried) != 0) return refuse_as("cuCtxSetFlags", "a context's core dumps or synchronous copies");
    context.flags.store(flags);
    if (context.primary) state().devices[static_cast<u32>(context.device)]->primary_flags.store(flags);
    return CUDA_SUCCESS;
  });
}

// Only contexts of MPS clients have an affinity of their own.
CUresult cuCtxGetExecAffinity(CUexecAffinityParam* affinity, CUexecAffinityType type) {
  return with_context([&](Context&) {
    if (!affinity || static_cast<u32>(type) >= CU_EXEC_AFFINITY_TYPE_MAX) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
  });
}
