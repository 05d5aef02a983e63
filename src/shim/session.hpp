#pragma once
#include "shim/state.hpp"
#include "shim/thread.hpp"

/// The process's one session: opened by cuInit, ended at exit, dead in the child of a fork.
namespace vgpu::shim {

/// CUDA_SUCCESS between cuInit and the process's end; else the error that every call returns. Any thread.
CUresult ready() noexcept;

/// What cuInit does. Once open, later calls succeed.
CUresult open_session() noexcept;

/// Says goodbye to the host; calls return CUDA_ERROR_DEINITIALIZED from then on.
void close_session() noexcept;

/// Only while ready() is CUDA_SUCCESS.
State& state() noexcept;

/// min(13000, the host's); 13000 as long as there is no session. The same number all the time.
int driver_version() noexcept;

/// Opens something other than open_carrier() (null: that again). For tests.
void set_carrier_opener(Opened (*opener)()) noexcept;

/// Ends the session and forgets everything, so that cuInit opens a new one. For tests: no other thread may be in a
/// call.
void forget_session() noexcept;

/// The calling thread's current context, or null with `result` set to the error that calls return then.
Context* current_context(CUresult& result) noexcept;

/// Fetches what kernels printed, and prints it.
void print_kernel_text() noexcept;

/// The same if there is any: before a call returns that says that work is done.
inline void take_kernel_text() noexcept {
  if (protocol::shared(state().channel->control().text_waiting).load(std::memory_order_relaxed) != 0) [[unlikely]]
    print_kernel_text();
}

/// Sends a call of the calling thread; `context` is the index of the context to run it in.
template <typename Call>
CUresult post(u32 context, const typename Call::Request& request, std::span<const std::byte> tail = {}) noexcept {
  return state().channel->post<Call>(context, request, tail);
}

/// Sends a call of the calling thread and waits for its answer.
template <typename Call>
CUresult ask(u32 context, const typename Call::Request& request, typename Call::Reply* reply = nullptr,
             std::span<const std::byte> tail = {}) noexcept {
  ThreadSlot slot;
  if (!slot.taken()) return state().channel->health();
  const CUresult result = state().channel->ask<Call>(slot.index(), context, request, reply, tail);
  if constexpr (kReportsEarlierErrors<Call> || kEndsKernels<Call>) take_kernel_text();
  if constexpr (kReportsEarlierErrors<Call>) {
    if (result == CUDA_SUCCESS) {
      state().staging.reclaim();
      return state().channel->take_error();
    }
  }
  return result;
}

inline std::span<const std::byte> bytes_of(const void* data, std::size_t bytes) noexcept {
  return {static_cast<const std::byte*>(data), bytes};
}

/// Runs an exported function's body: exceptions (memory that ran out) don't leave libcuda.
template <typename F>
CUresult guarded(F&& f) noexcept {
  if (const CUresult result = ready(); result != CUDA_SUCCESS) return result;
  try {
    return f();
  } catch (...) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

/// The same for functions that need a current context, which f gets.
template <typename F>
CUresult with_context(F&& f) noexcept {
  return guarded([&]() -> CUresult {
    CUresult result = CUDA_SUCCESS;
    Context* context = current_context(result);
    return context ? f(*context) : result;
  });
}

}  // namespace vgpu::shim
