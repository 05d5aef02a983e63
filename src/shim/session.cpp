#include "shim/session.hpp"

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "shim/exports/refuse.hpp"
#include "shim/host_function.hpp"

namespace vgpu::shim {
namespace {

enum class Phase : u32 { fresh, open, closed, forked };

constexpr int kOwnVersion = 13000;

std::atomic<Phase> phase{Phase::fresh};
std::atomic<State*> current_state{nullptr};
std::mutex opening;
u64 next_epoch = 1;
bool said_why_not = false;
Opened (*opener)() = nullptr;

// Nothing is freed and no lock is taken: the parent's other threads may have been anywhere.
void in_forked_child() noexcept {
  const Phase was = phase.exchange(Phase::forked);
  forget_threads();
  if (was != Phase::open) return;
  if (State* mine = current_state.load()) mine->channel->carrier().abandon();
}

CUresult attach(State& opened) noexcept {
  Channel& channel = *opened.channel;
  const u64 arena = channel.arena_in_place() ? reinterpret_cast<u64>(channel.arena()) : 0;
  call::vgpuAttach::Reply reply{};
  const u32 slot = channel.owned_slots().take();
  const CUresult result = channel.ask<call::vgpuAttach>(slot, 0, {arena, VGPU_VERSION, 0}, &reply);
  channel.owned_slots().give(slot);
  if (result != CUDA_SUCCESS) return result;
  if (reply.device_count == 0) return CUDA_ERROR_NO_DEVICE;
  opened.driver_version = std::min(kOwnVersion, static_cast<int>(reply.driver_version));
  for (u32 i = 0; i < std::min(reply.device_count, 256u); ++i) {
    opened.devices.push_back(std::make_unique<Device>());
    const auto pool = opened.pools.mint();
    pool.object->device = static_cast<i32>(i);
    pool.object->is_default = true;
    opened.devices.back()->default_pool = pool.handle.value;
    opened.devices.back()->pool.store(pool.handle.value);
  }
  return CUDA_SUCCESS;
}

CUresult say_why_not(CUresult result, const std::string& reason) {
  if (!said_why_not) std::fprintf(stderr, "vgpu: no GPU: %s\n", reason.c_str());
  said_why_not = true;
  return result;
}

CUresult open_locked() {
  Opened opened = opener ? opener() : open_carrier();
  if (!opened.carrier) return say_why_not(opened.result, opened.reason);
  CUresult result = CUDA_SUCCESS;
  std::string reason;
  std::unique_ptr<Channel> channel = Channel::open(std::move(opened.carrier), result, reason);
  if (!channel) return say_why_not(result, reason);
  auto fresh = std::make_unique<State>(std::move(channel));
  result = attach(*fresh);
  if (result != CUDA_SUCCESS)
    return say_why_not(result, "the host's executor refused the session; its log may say why");
  fresh->epoch = next_epoch++;
  static const int registered = ::pthread_atfork(nullptr, nullptr, in_forked_child);
  if (registered != 0) return CUDA_ERROR_OUT_OF_MEMORY;
  current_state.store(fresh.release(), std::memory_order_release);
  phase.store(Phase::open, std::memory_order_release);
  return CUDA_SUCCESS;
}

// Runs when the program exits or the library is unloaded. The state stays: other threads may be in a call.
[[gnu::destructor]] void at_exit() { close_session(); }

}  // namespace

CUresult ready() noexcept {
  switch (phase.load(std::memory_order_acquire)) {
    case Phase::open:
      return CUDA_SUCCESS;
    case Phase::closed:
      return CUDA_ERROR_DEINITIALIZED;
    case Phase::fresh:
    case Phase::forked:
      break;
  }
  return CUDA_ERROR_NOT_INITIALIZED;
}

CUresult open_session() noexcept {
  // A forked child must not take the lock, which another thread of the parent may have held.
  if (const Phase now = phase.load(std::memory_order_acquire); now != Phase::fresh) return ready();
  try {
    std::lock_guard lock(opening);
    if (phase.load(std::memory_order_acquire) != Phase::fresh) return ready();
    return open_locked();
  } catch (...) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

void close_session() noexcept {
  Phase expected = Phase::open;
  if (!phase.compare_exchange_strong(expected, Phase::closed)) return;
  Channel& channel = *current_state.load()->channel;
  channel.be_quiet();
  if (!channel.look_for_death()) {
    const u32 slot = channel.owned_slots().take();
    u32 ticket = 0;
    if (slot != NumberPool::kNone &&
        channel.begin<call::vgpuBye>(slot, ticket, 0, {0}, 0, [](std::byte*) {}) == CUDA_SUCCESS) {
      // Bounded: a process must be able to exit whatever the host does.
      for (int i = 0; i < 20'000 && !channel.answered(slot, ticket) && !channel.has_ended(); ++i) {
        const timespec nap{0, 100'000};
        ::nanosleep(&nap, nullptr);
      }
    }
  }
  channel.carrier().close();
}

State& state() noexcept { return *current_state.load(std::memory_order_acquire); }

int driver_version() noexcept {
  const State* opened = current_state.load(std::memory_order_acquire);
  return opened ? opened->driver_version : kOwnVersion;
}

void set_carrier_opener(Opened (*replacement)()) noexcept { opener = replacement; }

void forget_session() noexcept {
  close_session();
  if (State* mine = current_state.load()) mine->channel->give_up();
  join_host_functions();
  delete current_state.exchange(nullptr);
  phase.store(Phase::fresh);
  said_why_not = false;
}

Context* current_context(CUresult& result) noexcept {
  const u64 handle = this_thread().current();
  if (handle == 0) {
    result = CUDA_ERROR_INVALID_CONTEXT;
    return nullptr;
  }
  Context* context = state().contexts.find(handle);
  if (!context || !context->active.load(std::memory_order_acquire)) {
    result = CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return nullptr;
  }
  return context;
}

}  // namespace vgpu::shim
