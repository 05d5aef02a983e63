#include "softgpu/driver.hpp"

#include <pthread.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "softgpu/event.hpp"
#include "softgpu/library.hpp"
#include "softgpu/log.hpp"
#include "softgpu/module.hpp"
#include "softgpu/ptx/ptx.hpp"

namespace vgpu::softgpu {
namespace {

std::atomic<Driver*> instance{nullptr};
std::atomic<bool> forked{false};
std::mutex init_mutex;

constexpr std::uint64_t kDefaultMemory = std::uint64_t{4} << 30;
constexpr std::uint64_t kLeastMemory = std::uint64_t{1} << 20;

/// Bytes with an optional suffix K, M or G; 0 if it is not that.
std::uint64_t parse_bytes(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return 0;
  const std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  unsigned shift = 0;
  if (suffix == "K" || suffix == "k")
    shift = 10;
  else if (suffix == "M" || suffix == "m")
    shift = 20;
  else if (suffix == "G" || suffix == "g")
    shift = 30;
  else if (!suffix.empty())
    return 0;
  return value > (AddressMap::kHeapBytes >> shift) ? AddressMap::kHeapBytes : value << shift;
}

std::uint64_t configured_memory() {
  const char* text = std::getenv("VGPU_SOFTGPU_MEMORY");
  if (text == nullptr || *text == '\0') return kDefaultMemory;
  const std::uint64_t bytes = parse_bytes(text);
  if (bytes >= kLeastMemory) return bytes;
  log(LogLevel::warning, "VGPU_SOFTGPU_MEMORY is no size of at least 1M, default used value={} bytes={}", text,
      kDefaultMemory);
  return kDefaultMemory;
}

}  // namespace

Driver::Driver(std::uint64_t memory_bytes) : memory(memory_bytes) {
  primary = std::make_shared<Context>(true, 0);
  primary->handle = contexts.insert(primary);
  default_pool = std::make_shared<MemoryPool>(memory);
  default_pool->handle = pools.insert(default_pool);
  current_pool_ = default_pool;
}

std::shared_ptr<MemoryPool> Driver::current_pool() {
  const std::lock_guard lock(pool_mutex_);
  return current_pool_;
}

void Driver::set_current_pool(std::shared_ptr<MemoryPool> pool) {
  const std::lock_guard lock(pool_mutex_);
  current_pool_ = std::move(pool);
}

ptx::Pool& Driver::pool() {
  std::call_once(pool_once_, [this] { pool_ = ptx::make_pool(); });
  return *pool_;
}

void Driver::set_fault(CUresult fault) noexcept {
  int none = CUDA_SUCCESS;
  fault_.compare_exchange_strong(none, fault, std::memory_order_acq_rel);
  cancel_.store(true, std::memory_order_release);
}

void Driver::destroy_objects_of(Context& context) {
  const auto is_of = [&](const auto& object) { return &object.context() == &context; };
  streams.remove_if(is_of);
  events.remove_if(is_of);
  for (const auto& library : libraries.all()) library->forget(context);
  forget_modules_of(context);
  memory.free_all_of(context);
}

Driver& driver() noexcept { return *instance.load(std::memory_order_acquire); }

CUresult check_initialized() noexcept {
  if (instance.load(std::memory_order_acquire) == nullptr || forked.load(std::memory_order_relaxed)) {
    return CUDA_ERROR_NOT_INITIALIZED;
  }
  return CUDA_SUCCESS;
}

CUresult initialize(unsigned flags) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  // A child has none of its parent's threads; as with any CUDA driver, only exec gives it a GPU.
  if (forked.load(std::memory_order_relaxed)) return CUDA_ERROR_NOT_INITIALIZED;
  const std::lock_guard lock(init_mutex);
  if (instance.load(std::memory_order_relaxed) != nullptr) return driver().fault();
  auto made = std::make_unique<Driver>(configured_memory());
  pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
  instance.store(made.release(), std::memory_order_release);
  return CUDA_SUCCESS;
}

bool& in_host_function() noexcept {
  thread_local bool value = false;
  return value;
}

}  // namespace vgpu::softgpu
