// Functions of the program that run in stream order: the executor says when, a thread of ours runs them.
#include <pthread.h>
#include <signal.h>

#include <unordered_map>

#include "shim/stream.hpp"

using namespace vgpu::shim;

namespace {

struct Pending {
  CUhostFn function = nullptr;
  CUstreamCallback callback = nullptr;
  CUstream stream = nullptr;
  void* data = nullptr;
};

struct Registry {
  std::mutex mutex;
  u64 next_id = 1;
  u64 running_for = 0;  ///< epoch of the session that the helper thread serves
  std::unordered_map<u64, Pending> pending;
};

Registry& registry() {
  static Registry* const made = new Registry;  // the helper may outlive static objects
  return *made;
}

void* serve(void*) {
  for (;;) {
    call::vgpuNextHostFunction::Reply due{};
    if (ready() != CUDA_SUCCESS || ask<call::vgpuNextHostFunction>(0, {0}, &due) != CUDA_SUCCESS) return nullptr;
    Pending pending;
    {
      std::lock_guard lock(registry().mutex);
      const auto found = registry().pending.find(due.id);
      if (found != registry().pending.end()) {
        pending = found->second;
        registry().pending.erase(found);
      }
    }
    // A host function doesn't run when its stream has failed; a callback is told.
    if (pending.callback)
      pending.callback(pending.stream, static_cast<CUresult>(due.status), pending.data);
    else if (pending.function && due.status == CUDA_SUCCESS)
      pending.function(pending.data);
    if (ready() != CUDA_SUCCESS) return nullptr;
    state().channel->notify<call::vgpuHostFunctionDone>(0, {due.id});
  }
}

/// Starts the helper. The program's signals are not for it.
CUresult start_helper() {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int failed = ::pthread_create(&thread, &attributes, serve, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  return failed ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}

CUresult remember(const Pending& pending, u64& id) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  if (all.running_for != state().epoch) {
    const CUresult result = start_helper();
    if (result != CUDA_SUCCESS) return result;
    all.running_for = state().epoch;
  }
  id = all.next_id++;
  all.pending[id] = pending;
  return CUDA_SUCCESS;
}

template <typename Call>
CUresult enqueue(const Context& context, StreamHandle stream, const Pending& pending) {
  u64 id = 0;
  CUresult result = remember(pending, id);
  if (result != CUDA_SUCCESS) return result;
  result = post<Call>(context.index(), {stream, id});
  if (result != CUDA_SUCCESS) {
    std::lock_guard lock(registry().mutex);
    registry().pending.erase(id);
  }
  return result;
}

}  // namespace

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!function) return CUDA_ERROR_INVALID_VALUE;
    return enqueue<call::cuLaunchHostFunc>(context, handle, {function, nullptr, stream, data});
  });
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void* data, unsigned int flags) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!callback || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return enqueue<call::cuStreamAddCallback>(context, handle, {nullptr, callback, stream, data});
  });
}
