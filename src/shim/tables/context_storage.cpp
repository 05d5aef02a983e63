// Table c693336e: values that libraries keep with a context. This table has no size word: three functions and a null.
#include <algorithm>
#include <array>
#include <exception>
#include <mutex>
#include <unordered_map>

#include "shim/tables/slot_table.hpp"

namespace vgpu::shim {
namespace {

using Destructor = void (*)(CUcontext context, void* key, void* value);

struct Entry {
  std::uint64_t serial;  ///< rises with each entry ever made
  void* key;
  void* value;
  Destructor destructor;  ///< may be null
};

struct Storage {
  std::mutex mutex;
  std::uint64_t next_serial = 0;
  std::unordered_map<CUcontext, std::vector<Entry>> entries;  ///< each vector in the order of insertion
};

// Never destroyed: libraries still ask and store while the process ends.
Storage& storage() {
  static auto& only = *new Storage;
  return only;
}

// Makes null and -1 the current context.
CUresult resolve(CUcontext& context) {
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  if (context == nullptr || reinterpret_cast<std::intptr_t>(context) == -1) {
    context = nullptr;
    if (const CUresult result = driver::current_context(&context); result != CUDA_SUCCESS) return result;
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  }
  return CUDA_SUCCESS;
}

auto find(std::vector<Entry>& entries, void* key) {
  return std::find_if(entries.begin(), entries.end(), [key](const Entry& entry) { return entry.key == key; });
}

// [0] A key that is there already is refused, and its value stays.
CUresult put(CUcontext context, void* key, void* value, Destructor destructor) noexcept try {
  if (const CUresult result = resolve(context); result != CUDA_SUCCESS) return result;
  if (!driver::context_exists(context)) return CUDA_ERROR_INVALID_CONTEXT;
  auto& all = storage();
  const std::lock_guard lock(all.mutex);
  auto& entries = all.entries[context];
  if (find(entries, key) != entries.end()) return CUDA_ERROR_INVALID_HANDLE;
  entries.push_back({all.next_serial++, key, value, destructor});
  return CUDA_SUCCESS;
} catch (const std::exception&) {
  return CUDA_ERROR_OUT_OF_MEMORY;
}

// [1] Does not run the destructor.
CUresult remove(CUcontext context, void* key) noexcept {
  if (const CUresult result = resolve(context); result != CUDA_SUCCESS) return result;
  auto& all = storage();
  const std::lock_guard lock(all.mutex);
  const auto entries = all.entries.find(context);
  if (entries == all.entries.end()) return CUDA_ERROR_INVALID_HANDLE;
  const auto entry = find(entries->second, key);
  if (entry == entries->second.end()) return CUDA_ERROR_INVALID_HANDLE;
  entries->second.erase(entry);
  if (entries->second.empty()) all.entries.erase(entries);
  return CUDA_SUCCESS;
}

// [2] Leaves the output alone when the key is missing.
CUresult get(void** value, CUcontext context, void* key) noexcept {
  if (const CUresult result = resolve(context); result != CUDA_SUCCESS) return result;
  if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
  auto& all = storage();
  const std::lock_guard lock(all.mutex);
  const auto entries = all.entries.find(context);
  if (entries == all.entries.end()) return CUDA_ERROR_INVALID_HANDLE;
  const auto entry = find(entries->second, key);
  if (entry == entries->second.end()) return CUDA_ERROR_INVALID_HANDLE;
  *value = entry->value;
  return CUDA_SUCCESS;
}

}  // namespace

void run_context_storage_destructors(CUcontext context) {
  auto& all = storage();
  std::unique_lock lock(all.mutex);
  // What a destructor stores meanwhile is forgotten without another one, or two of them could go on for ever.
  std::uint64_t before = all.next_serial;
  for (;;) {
    const auto entries = all.entries.find(context);
    if (entries == all.entries.end()) return;
    auto& list = entries->second;
    const auto newest =
        std::find_if(list.rbegin(), list.rend(), [before](const Entry& entry) { return entry.serial < before; });
    if (newest == list.rend()) break;
    const Entry entry = *newest;
    before = entry.serial;
    if (entry.destructor == nullptr) continue;
    // Unlocked, because destructors call back; the entry can still be got meanwhile, as with a real driver.
    lock.unlock();
    entry.destructor(context, entry.key, entry.value);
    lock.lock();
  }
  all.entries.erase(context);
}

const void* context_local_storage_table() noexcept {
  static const std::array<std::uintptr_t, 4> table{reinterpret_cast<std::uintptr_t>(&put),
                                                   reinterpret_cast<std::uintptr_t>(&remove),
                                                   reinterpret_cast<std::uintptr_t>(&get), 0};
  return table.data();
}

}  // namespace vgpu::shim
