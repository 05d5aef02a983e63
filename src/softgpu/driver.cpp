#include "softgpu/driver.hpp"

#include <pthread.h>

#include "softgpu/array.hpp"
#include "softgpu/event.hpp"
#include "softgpu/library.hpp"
#include "softgpu/module.hpp"
#include "softgpu/ptx/ptx.hpp"

namespace vgpu::softgpu {
namespace {

std::atomic<Driver*> instance{nullptr};
std::atomic<bool> forked{false};
std::mutex init_mutex;

}  // namespace

Driver::Driver(const Settings& of) : settings(of), memory(of.memory_bytes * of.devices, of.devices) {
  for (unsigned i = 0; i < settings.devices; ++i) {
    auto device = std::make_unique<Device>(static_cast<int>(i), settings);
    device->primary = std::make_shared<Context>(*device, true, 0);
    device->primary->handle = contexts.insert(device->primary);
    device->default_pool = std::make_shared<MemoryPool>(memory, *device);
    device->default_pool->handle = pools.insert(device->default_pool);
    devices_.push_back(std::move(device));
  }
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
  textures.remove_if(is_of);
  surfaces.remove_if(is_of);
  mipmapped_arrays.remove_if(is_of);
  arrays.remove_if(is_of);
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
  auto made = std::make_unique<Driver>(read_settings());
  pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
  instance.store(made.release(), std::memory_order_release);
  return CUDA_SUCCESS;
}

bool& in_host_function() noexcept {
  thread_local bool value = false;
  return value;
}

}  // namespace vgpu::softgpu
