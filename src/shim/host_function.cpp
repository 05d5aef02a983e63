// Functions of the program that run in stream order: the executor says when, a thread of ours runs them.
#include "shim/host_function.hpp"

#include <pthread.h>
#include <signal.h>

#include <unordered_map>

#include "protocol/graph.hpp"
#include "shim/stream.hpp"

using namespace vgpu::shim;

namespace {

struct Registry {
  std::mutex mutex;
  u64 next_id = 1;
  u64 running_for = 0;  ///< epoch of the session that the helper thread serves
  std::atomic<u32> helpers{0};
  std::unordered_map<u64, std::shared_ptr<const HostFunction>> known;
};

Registry& registry() {
  static Registry* const made = new Registry;  // the helper may outlive static objects
  return *made;
}

std::shared_ptr<const HostFunction> look_up(u64 id, bool again) {
  std::lock_guard lock(registry().mutex);
  const auto found = registry().known.find(id);
  if (found == registry().known.end()) return nullptr;
  auto function = found->second;
  if (!again) registry().known.erase(found);
  return function;
}

void serve() {
  using namespace vgpu::protocol;
  if (ready() != CUDA_SUCCESS) return;
  Channel& channel = *state().channel;
  // Not the thread's own: a function that calls CUDA all the same would wait there for an answer of its call.
  u32 slot = channel.owned_slots().take();
  if (slot == NumberPool::kNone) slot = channel.borrowed_slots().wait([&] { return !channel.look_for_death(); });
  u32 ticket = 0;
  if (slot == NumberPool::kNone ||
      channel.begin<call::vgpuServeHostFunctions>(slot, ticket, 0, {0}, 0, [](std::byte*) {}) != CUDA_SUCCESS)
    return;
  for (;; ticket = channel.expect_another(slot)) {
    call::vgpuServeHostFunctions::Reply due{};
    if (channel.await(slot, ticket, &due, sizeof due) != CUDA_SUCCESS) return;
    const auto function = look_up(due.id, due.due == kHostFunctionAgain);
    const bool ends = due.due == kHostFunctionEnds;
    if (function && ends && function->ended) function->ended();
    if (function && !ends && function->run) function->run(static_cast<CUresult>(due.status));
    if (ready() != CUDA_SUCCESS) return;
    vgpu::protocol::shared(channel.control().host_functions_done).store(ticket, std::memory_order_release);
  }
}

void* helper(void*) {
  serve();
  registry().helpers.fetch_sub(1, std::memory_order_release);
  registry().helpers.notify_all();
  return nullptr;
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
  registry().helpers.fetch_add(1);
  const int failed = ::pthread_create(&thread, &attributes, helper, nullptr);
  if (failed) registry().helpers.fetch_sub(1);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  return failed ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}

template <typename Call>
CUresult enqueue(const Context& context, StreamHandle stream, HostFunction function) {
  u64 id = 0;
  CUresult result = remember_host_function(std::move(function), id);
  if (result != CUDA_SUCCESS) return result;
  result = post<Call>(context.index(), {stream, id});
  if (result != CUDA_SUCCESS) forget_host_function(id);
  return result;
}

}  // namespace

namespace vgpu::shim {

CUresult remember_host_function(HostFunction function, u64& id) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  if (all.running_for != state().epoch) {
    const CUresult result = start_helper();
    if (result != CUDA_SUCCESS) return result;
    all.running_for = state().epoch;
  }
  id = all.next_id++;
  all.known[id] = std::make_shared<const HostFunction>(std::move(function));
  return CUDA_SUCCESS;
}

std::shared_ptr<const HostFunction> find_host_function(u64 id) { return look_up(id, true); }

void forget_host_function(u64 id) {
  std::shared_ptr<const HostFunction> gone;  // what it holds is let go without the lock
  std::lock_guard lock(registry().mutex);
  const auto found = registry().known.find(id);
  if (found == registry().known.end()) return;
  gone = std::move(found->second);
  registry().known.erase(found);
}

void join_host_functions() noexcept {
  auto& helpers = registry().helpers;
  for (u32 left = helpers.load(std::memory_order_acquire); left != 0; left = helpers.load(std::memory_order_acquire))
    helpers.wait(left);
}

}  // namespace vgpu::shim

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!function) return CUDA_ERROR_INVALID_VALUE;
    // It doesn't run when its stream has failed.
    const auto run = [function, data](CUresult status) {
      if (status == CUDA_SUCCESS) function(data);
    };
    return enqueue<call::cuLaunchHostFunc>(context, handle, {run, nullptr, CUDA_HOST_NODE_PARAMS{function, data}});
  });
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void* data, unsigned int flags) {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!callback || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const auto run = [callback, stream, data](CUresult status) { callback(stream, status, data); };
    return enqueue<call::cuStreamAddCallback>(context, handle, {run, nullptr});
  });
}
