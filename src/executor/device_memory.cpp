#include "executor/device_memory.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <thread>

namespace vgpu::executor {

using namespace protocol;

namespace {

constexpr u64 kMiB = u64{1} << 20;
/// An executor that does not stop is killed after two seconds.
constexpr std::chrono::seconds kPatience{4};
constexpr std::chrono::milliseconds kLookAgain{1};
constexpr u64 kAbsurd = u64{1} << 60;

constexpr u64 round_up(u64 value, u64 to) noexcept { return (value + to - 1) / to * to; }

}  // namespace

u64 DeviceMemory::rounded(u64 bytes) noexcept {
  // As NVIDIA's driver does: small ones share blocks of 2 MiB, large ones have blocks of their own.
  if (bytes > kAbsurd) return bytes;
  return bytes < kMiB ? round_up(bytes, 512) : round_up(bytes, 2 * kMiB);
}

std::optional<Charge> DeviceMemory::try_reserve(u64 bytes) {
  if (account_.reserve(Limit::memory, bytes)) return Charge(account_, bytes);
  // Pools may have given memory back meanwhile.
  refresh();
  if (account_.reserve(Limit::memory, bytes)) return Charge(account_, bytes);
  return std::nullopt;
}

std::optional<Charge> DeviceMemory::reserve(u64 bytes) {
  const u64 wanted = rounded(bytes);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    auto charge = try_reserve(wanted);
    if (charge) return charge;
    if (wanted > account_.limit(Limit::memory) || !account_.some_is_about_to_go(Limit::memory) ||
        std::chrono::steady_clock::now() >= deadline)
      break;
    std::this_thread::sleep_for(kLookAgain);
  }
  refuse();
  return std::nullopt;
}

void DeviceMemory::keep(u64 key, u32 context, Charge charge) {
  const std::lock_guard lock(mutex_);
  Held held{context, context < ages_.size() ? ages_[context] : 0, std::move(charge)};
  if (const auto found = held_.find(key); found != held_.end()) lost_.push_back(std::move(found->second.charge));
  held_.insert_or_assign(key, std::move(held));
}

void DeviceMemory::change(u64 key, u32 context, Charge charge) {
  static_cast<void>(take(key));
  keep(key, context, std::move(charge));
}

bool DeviceMemory::holds(u64 key) const {
  const std::lock_guard lock(mutex_);
  return held_.contains(key);
}

std::optional<DeviceMemory::Held> DeviceMemory::take(u64 key) {
  const std::lock_guard lock(mutex_);
  auto node = held_.extract(key);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

u32 DeviceMemory::context_ending(u32 context) noexcept {
  const std::lock_guard lock(mutex_);
  return context < ages_.size() ? ages_[context]++ : 0;
}

void DeviceMemory::context_ended(u32 context, u32 ending) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(held_,
                  [&](const auto& entry) { return entry.second.context == context && entry.second.age <= ending; });
  }
  refresh();
}

void DeviceMemory::add_freed(u32 context, Charge charge) {
  const std::lock_guard lock(mutex_);
  freed_later_.emplace_back(context, std::move(charge));
}

std::vector<Charge> DeviceMemory::freed_later(u32 context) {
  std::vector<Charge> freed;
  const std::lock_guard lock(mutex_);
  std::erase_if(freed_later_, [&](auto& entry) {
    if (entry.first != context) return false;
    freed.push_back(std::move(entry.second));
    return true;
  });
  return freed;
}

void DeviceMemory::keep_physical(u64 handle, Charge charge) {
  const std::lock_guard lock(mutex_);
  Physical& place = physical_[handle];
  if (place != nullptr) lost_.push_back(std::move(*place));
  place = std::make_shared<Charge>(std::move(charge));
}

DeviceMemory::Physical DeviceMemory::physical(u64 handle) const {
  const std::lock_guard lock(mutex_);
  const auto found = physical_.find(handle);
  return found != physical_.end() ? found->second : nullptr;
}

DeviceMemory::Physical DeviceMemory::release(u64 handle) {
  const std::lock_guard lock(mutex_);
  auto node = physical_.extract(handle);
  return node.empty() ? nullptr : std::move(node.mapped());
}

void DeviceMemory::mapped(u64 address, Physical memory) {
  const std::lock_guard lock(mutex_);
  mappings_.insert_or_assign(address, std::move(memory));
}

DeviceMemory::Mappings DeviceMemory::unmap(u64 address, u64 bytes) {
  Mappings gone;
  const std::lock_guard lock(mutex_);
  for (auto it = mappings_.lower_bound(address); it != mappings_.end() && it->first - address < bytes;) {
    gone.emplace_back(it->first, std::move(it->second));
    it = mappings_.erase(it);
  }
  return gone;
}

void DeviceMemory::watch(CUmemoryPool pool) {
  const std::lock_guard lock(mutex_);
  has_pools_.store(true, std::memory_order_relaxed);
  if (!pools_.contains(pool)) pools_.emplace(pool, Pool{Charge(account_, 0)});
}

void DeviceMemory::refresh_pool(CUmemoryPool pool, Charge& charge) const {
  cuuint64_t bytes = 0;
  if (cuda_.cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &bytes) == CUDA_SUCCESS)
    charge.set(bytes);
}

void DeviceMemory::refresh_pools() {
  for (auto it = pools_.begin(); it != pools_.end();) {
    if (it->second.ended) cuda_.cuMemPoolTrimTo(it->first, 0);
    refresh_pool(it->first, it->second.charge);
    const bool gone = it->second.ended && it->second.charge.bytes() == 0;
    if (gone) cuda_.cuMemPoolDestroy(it->first);
    it = gone ? pools_.erase(it) : std::next(it);
  }
}

void DeviceMemory::settle(CUmemoryPool pool, Charge charge) {
  const std::lock_guard lock(mutex_);
  Charge& all = pools_.try_emplace(pool, Pool{Charge(account_, 0)}).first->second.charge;
  all.add(std::move(charge));
  refresh_pool(pool, all);
}

CUresult DeviceMemory::end_pool(CUmemoryPool pool) {
  watch(pool);
  // From now on it keeps nothing that is not in use.
  cuuint64_t nothing = 0;
  cuda_.cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &nothing);
  cuda_.cuMemPoolTrimTo(pool, 0);
  const std::lock_guard lock(mutex_);
  const auto found = pools_.find(pool);
  if (found == pools_.end()) return CUDA_ERROR_INVALID_VALUE;
  refresh_pool(pool, found->second.charge);
  if (found->second.charge.bytes() != 0) {
    found->second.ended = true;
    return CUDA_SUCCESS;
  }
  pools_.erase(found);
  return cuda_.cuMemPoolDestroy(pool);
}

bool DeviceMemory::has_room(CUmemoryPool pool, u64 bytes) const {
  cuuint64_t reserved = 0;
  cuuint64_t used = 0;
  return cuda_.cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved) == CUDA_SUCCESS &&
         cuda_.cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used) == CUDA_SUCCESS &&
         reserved >= used && reserved - used >= bytes;
}

void DeviceMemory::trim_pools() {
  std::vector<CUmemoryPool> pools;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [pool, its] : pools_) pools.push_back(pool);
  }
  for (CUmemoryPool pool : pools) cuda_.cuMemPoolTrimTo(pool, 0);
  refresh();
}

u64 DeviceMemory::graph_reserved() const {
  u64 sum = 0;
  for (CUdevice device : graph_devices_) {
    cuuint64_t bytes = 0;
    if (cuda_.cuDeviceGetGraphMemAttribute(device, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT, &bytes) == CUDA_SUCCESS)
      sum += bytes;
  }
  return sum;
}

void DeviceMemory::refresh_graphs() {
  if (graph_devices_.empty()) return;
  const u64 reserved = graph_reserved();
  orphaned_bytes_ = std::min(orphaned_bytes_, reserved);
  graph_charge_.set(std::max(exec_bytes_ + orphaned_bytes_, reserved));
}

void DeviceMemory::watch_graphs_of(CUdevice device) {
  const std::lock_guard lock(mutex_);
  if (std::find(graph_devices_.begin(), graph_devices_.end(), device) == graph_devices_.end())
    graph_devices_.push_back(device);
}

bool DeviceMemory::graphs_allocate() const {
  const std::lock_guard lock(mutex_);
  return !graph_devices_.empty();
}

std::optional<Charge> DeviceMemory::reserve_for_graphs(u64 in_all) {
  u64 missing = 0;
  {
    const std::lock_guard lock(mutex_);
    missing = in_all - std::min(in_all, graph_charge_.bytes());
  }
  auto charge = try_reserve(missing);
  if (!charge) refuse();
  return charge;
}

std::optional<Charge> DeviceMemory::reserve_for_node(u64 bytes) {
  u64 reserved = 0;
  {
    const std::lock_guard lock(mutex_);
    reserved = graph_reserved();
  }
  return reserve_for_graphs(reserved + std::min(rounded(bytes), kAbsurd));
}

std::optional<Charge> DeviceMemory::reserve_for_exec(u64 bytes) {
  u64 others = 0;
  {
    const std::lock_guard lock(mutex_);
    others = exec_bytes_ + orphaned_bytes_;
  }
  return reserve_for_graphs(others + std::min(bytes, kAbsurd));
}

void DeviceMemory::settle_graph(Charge charge) {
  const std::lock_guard lock(mutex_);
  graph_charge_.add(std::move(charge));
  refresh_graphs();
}

void DeviceMemory::instantiated(CUgraphExec exec, u64 bytes, Charge charge) {
  const std::lock_guard lock(mutex_);
  execs_[exec] = bytes;
  exec_bytes_ += bytes;
  graph_charge_.add(std::move(charge));
  refresh_graphs();
}

u64 DeviceMemory::exec_ending(CUgraphExec exec) {
  const std::lock_guard lock(mutex_);
  const auto node = execs_.extract(exec);
  return node.empty() ? 0 : node.mapped();
}

void DeviceMemory::exec_destroyed(u64 bytes) {
  if (bytes == 0) return;
  const std::lock_guard lock(mutex_);
  exec_bytes_ -= bytes;
  orphaned_bytes_ += bytes;
  refresh_graphs();
}

void DeviceMemory::refresh() {
  const std::lock_guard lock(mutex_);
  refresh_pools();
  refresh_graphs();
}

}  // namespace vgpu::executor
