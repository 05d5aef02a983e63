#include "shim/thread.hpp"

#include <pthread.h>

#include "shim/session.hpp"

namespace vgpu::shim {
namespace {

thread_local constinit Thread* own = nullptr;

bool belongs_to_open_session(const Thread& thread) noexcept {
  return ready() == CUDA_SUCCESS && thread.epoch == state().epoch;
}

// A key's destructor, not a thread_local object's: those of the main thread run at exit, when other code still calls
// CUDA.
void end_thread(void* data) noexcept {
  Thread* thread = static_cast<Thread*>(data);
  own = nullptr;
  if (belongs_to_open_session(*thread)) {
    for (const auto& [context, stream] : thread->default_streams) {
      const Context* found = state().contexts.find(context);
      if (found && found->active.load() && state().streams.find(stream))
        state().channel->notify<call::cuStreamDestroy>(found->index(), {{stream}});
      state().streams.release(stream);
    }
    if (thread->slot != NumberPool::kNone) state().channel->owned_slots().give(thread->slot);
  }
  delete thread;
}

pthread_key_t key() noexcept {
  static const pthread_key_t made = [] {
    pthread_key_t fresh{};
    ::pthread_key_create(&fresh, end_thread);
    return fresh;
  }();
  return made;
}

}  // namespace

Thread& this_thread() {
  const u64 epoch = state().epoch;
  if (own && own->epoch == epoch) [[likely]]
    return *own;
  if (!own) {
    own = new Thread;
    ::pthread_setspecific(key(), own);
  } else {
    *own = Thread{};
  }
  own->epoch = epoch;
  return *own;
}

void forget_threads() noexcept {
  if (!own) return;
  own = nullptr;
  ::pthread_setspecific(key(), nullptr);
}

ThreadSlot::ThreadSlot() noexcept {
  Thread& thread = this_thread();
  if (thread.slot == NumberPool::kNone) [[unlikely]]
    thread.slot = state().channel->owned_slots().take();
  index_ = thread.slot;
  if (index_ != NumberPool::kNone) return;
  borrowed_ = true;
  Channel& channel = *state().channel;
  index_ = channel.borrowed_slots().wait([&] { return !channel.look_for_death(); });
}

ThreadSlot::~ThreadSlot() {
  if (borrowed_ && taken()) state().channel->borrowed_slots().give(index_);
}

}  // namespace vgpu::shim
