#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

namespace vgpu::softgpu {

/// The kinds of handle that a program holds. The number is part of each handle, so that one kind is never taken for
/// another.
enum class HandleKind : std::uint64_t {
  context = 1,
  stream,
  event,
  module,
  function,
  library,
  kernel,
  pool,
  graph,
  graph_node,
  graph_exec,
  user_object,
  array,
  mipmapped_array,
  texture,
  surface,
  physical,
  linker
};

/// Handles for objects of one kind. A handle is a number of a range where Linux maps nothing, made of kind, generation
/// and index: a stale, wrong or made-up one is noticed without being dereferenced. Objects live as long as someone uses
/// them: a look-up beside a removal is safe. All functions may be called by any thread.
template <class T, HandleKind kKind, class Handle>
class HandleTable {
 public:
  HandleTable() = default;
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;
  ~HandleTable() {
    for (auto& chunk : chunks_) delete[] chunk.load();
  }

  /// Throws std::bad_alloc when a million objects exist.
  Handle insert(std::shared_ptr<T> object) {
    const std::lock_guard lock(mutex_);
    const std::uint32_t index = take_index();
    Slot& slot = *find_slot(index);
    const std::lock_guard slot_lock(slot.mutex);
    slot.generation = (slot.generation + 1) & 0xffff;
    slot.object = std::move(object);
    return encode(index, slot.generation);
  }

  /// Null if the handle names no living object of this kind.
  std::shared_ptr<T> find(Handle handle) const {
    Slot* slot = decode(handle);
    if (slot == nullptr) return nullptr;
    const std::lock_guard lock(slot->mutex);
    return slot->generation == generation(handle) ? slot->object : nullptr;
  }

  /// Removes the object and gives it to the caller; null if there was none.
  std::shared_ptr<T> remove(Handle handle) {
    Slot* slot = decode(handle);
    if (slot == nullptr) return nullptr;
    std::shared_ptr<T> object;
    {
      const std::lock_guard lock(slot->mutex);
      if (slot->generation != generation(handle) || slot->object == nullptr) return nullptr;
      object = std::move(slot->object);
      slot->object = nullptr;
    }
    const std::lock_guard lock(mutex_);
    free_.push_back(index(handle));
    return object;
  }

  /// Removes all objects that the predicate picks, and gives them to the caller.
  template <class Predicate>
  std::vector<std::shared_ptr<T>> remove_if(Predicate predicate) {
    std::vector<std::shared_ptr<T>> removed;
    const std::lock_guard lock(mutex_);
    for (std::uint32_t i = 0; i < used_; ++i) {
      Slot& slot = *find_slot(i);
      const std::lock_guard slot_lock(slot.mutex);
      if (slot.object == nullptr || !predicate(*slot.object)) continue;
      removed.push_back(std::move(slot.object));
      slot.object = nullptr;
      free_.push_back(i);
    }
    return removed;
  }

  /// All objects there are now.
  std::vector<std::shared_ptr<T>> all() {
    std::vector<std::shared_ptr<T>> objects;
    const std::lock_guard lock(mutex_);
    for (std::uint32_t i = 0; i < used_; ++i) {
      Slot& slot = *find_slot(i);
      const std::lock_guard slot_lock(slot.mutex);
      if (slot.object != nullptr) objects.push_back(slot.object);
    }
    return objects;
  }

  static bool is_kind(const void* handle) noexcept {
    return (reinterpret_cast<std::uint64_t>(handle) >> kKindShift) == (kMark | static_cast<std::uint64_t>(kKind));
  }

 private:
  static constexpr std::uint32_t kChunk = 1024;
  static constexpr std::uint64_t kMark = 0x20;  // with the shift: 0x1000'0000'0000, below the device heap
  static_assert(static_cast<std::uint64_t>(kKind) < kMark, "a kind has five bits");
  static constexpr unsigned kKindShift = 39, kGenerationShift = 23, kIndexShift = 3;

  struct Slot {
    std::mutex mutex;
    std::uint32_t generation = 0;
    std::shared_ptr<T> object;
  };

  static Handle encode(std::uint64_t index, std::uint64_t generation) noexcept {
    return reinterpret_cast<Handle>(((kMark | static_cast<std::uint64_t>(kKind)) << kKindShift) |
                                    (generation << kGenerationShift) | (index << kIndexShift));
  }
  static std::uint32_t index(Handle handle) noexcept {
    return static_cast<std::uint32_t>(reinterpret_cast<std::uint64_t>(handle) >> kIndexShift) & 0xfffff;
  }
  static std::uint32_t generation(Handle handle) noexcept {
    return static_cast<std::uint32_t>(reinterpret_cast<std::uint64_t>(handle) >> kGenerationShift) & 0xffff;
  }
  Slot* decode(Handle handle) const noexcept {
    if (!is_kind(handle) || (reinterpret_cast<std::uint64_t>(handle) & 0x7) != 0) return nullptr;
    return find_slot(index(handle));
  }
  Slot* find_slot(std::uint32_t index) const noexcept {
    Slot* chunk = chunks_[index / kChunk].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : &chunk[index % kChunk];
  }
  std::uint32_t take_index() {
    // The oldest free slot first, so that a stale handle stays recognizable for long.
    if (!free_.empty()) {
      const std::uint32_t index = free_.front();
      free_.pop_front();
      return index;
    }
    if (used_ == kChunk * chunks_.size()) throw std::bad_alloc();
    if (used_ % kChunk == 0) chunks_[used_ / kChunk].store(new Slot[kChunk], std::memory_order_release);
    return used_++;
  }

  std::mutex mutex_;
  std::deque<std::uint32_t> free_;
  std::uint32_t used_ = 0;
  std::array<std::atomic<Slot*>, 1024> chunks_{};
};

}  // namespace vgpu::softgpu
