#include "softgpu/device.hpp"

#include <cstring>
#include <utility>

#include "softgpu/device_attributes.hpp"
#include "softgpu/identity.hpp"
#include "softgpu/memory_pool.hpp"
#include "softgpu/ptx/brake.hpp"
#include "softgpu/settings.hpp"

namespace vgpu::softgpu {
namespace {

constexpr std::uint64_t kPage = 4096;

}  // namespace

Device::Device(int device_ordinal, const Settings& settings)
    : ordinal(device_ordinal),
      identity(device_ordinal + static_cast<int>(settings.first)),
      total_(settings.memory_bytes / kPage * kPage),
      brake_(settings.rate != 0 ? std::make_unique<ptx::Brake>(settings.rate) : nullptr) {}

Device::~Device() = default;

CUuuid Device::uuid() const noexcept {
  CUuuid uuid{};
  const auto bytes = device_uuid(identity);
  std::memcpy(uuid.bytes, bytes.data(), bytes.size());
  return uuid;
}

unsigned Device::pci_bus() const noexcept { return limits::kPciBus + static_cast<unsigned>(identity); }

bool Device::charge(std::uint64_t bytes) noexcept {
  std::uint64_t used = used_.load(std::memory_order_relaxed);
  do {
    if (bytes > total_ - used) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

std::shared_ptr<MemoryPool> Device::current_pool() {
  const std::lock_guard lock(pool_mutex_);
  return current_pool_ != nullptr ? current_pool_ : default_pool;
}

void Device::set_current_pool(std::shared_ptr<MemoryPool> pool) {
  const std::lock_guard lock(pool_mutex_);
  current_pool_ = std::move(pool);
}

}  // namespace vgpu::softgpu
