#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "protocol/types.hpp"

/// Handles are minted here and validated here: a number that a program passes is an index into a table, compared with
/// what the table says, and never an address.
namespace vgpu::shim {

using protocol::Handle;
using protocol::Kind;
using protocol::u16;
using protocol::u32;
using protocol::u64;

/// What the guest knows of each live object of one kind. find() takes no lock. An object's memory stays readable after
/// release(), until its place is minted again, so that a program which races a destroy with a use reads old values.
template <Kind K, typename T>
class HandleTable {
 public:
  using HandleType = Handle<K>;
  struct Minted {
    HandleType handle{0};
    T* object = nullptr;  ///< null: too many are live
  };

  HandleTable() = default;
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;
  ~HandleTable() {
    for (auto& entry : chunks_) delete entry.load(std::memory_order_relaxed);
  }

  /// A new handle and its fresh object. Any thread.
  Minted mint() {
    std::lock_guard lock(mutex_);
    u32 index;
    if (!free_.empty()) {
      index = free_.back();
      free_.pop_back();
    } else {
      if (used_ == protocol::handle_limit(K)) return {};
      index = ++used_;
      auto& chunk = chunks_[index / kChunk];
      if (!chunk.load(std::memory_order_relaxed)) chunk.store(new Chunk, std::memory_order_release);
    }
    Cell& cell = *cell_at(index);
    cell.object = std::make_unique<T>();
    cell.retired.reset();
    const u32 generation = cell.stamp.load(std::memory_order_relaxed) >> 1;
    cell.current.store(cell.object.get(), std::memory_order_relaxed);
    cell.stamp.store(generation << 1 | 1, std::memory_order_release);
    return {HandleType::make(index, static_cast<u16>(generation)), cell.object.get()};
  }

  /// The object of a live handle, or null. Any thread, any number.
  T* find(u64 value) const noexcept {
    const HandleType handle{value};
    if (!handle.well_formed() || handle.index() > protocol::handle_limit(K)) return nullptr;
    const Cell* cell = cell_at(handle.index());
    if (!cell || cell->stamp.load(std::memory_order_acquire) != (u32{handle.generation()} << 1 | 1)) return nullptr;
    return cell->current.load(std::memory_order_relaxed);
  }

  /// The handle is valid no longer. False if it was not valid. `reuse`: its index may be minted again; false for
  /// objects that the executor keeps under their index although they are gone.
  bool release(u64 value, bool reuse = true) {
    std::lock_guard lock(mutex_);
    if (!find(value)) return false;
    const u32 index = HandleType{value}.index();
    Cell& cell = *cell_at(index);
    const u32 generation = (HandleType{value}.generation() + 1u) & 0xffff;
    cell.stamp.store(generation << 1, std::memory_order_release);
    cell.retired = std::move(cell.object);
    if (reuse) free_.push_back(index);
    return true;
  }

  /// Calls f(handle, object) for each live handle. Nothing may be minted or released by f.
  template <typename F>
  void for_each(F&& f) {
    std::lock_guard lock(mutex_);
    for (u32 index = 1; index <= used_; ++index) {
      Cell& cell = *cell_at(index);
      const u32 stamp = cell.stamp.load(std::memory_order_relaxed);
      if (stamp & 1) f(HandleType::make(index, static_cast<u16>(stamp >> 1)), *cell.object);
    }
  }

 private:
  static constexpr u32 kChunk = 256;
  struct Cell {
    std::atomic<u32> stamp{0};  ///< generation, and whether it is live in bit 0
    std::atomic<T*> current{nullptr};
    std::unique_ptr<T> object;
    std::unique_ptr<T> retired;
  };
  using Chunk = std::array<Cell, kChunk>;

  Cell* cell_at(u32 index) const noexcept {
    Chunk* chunk = chunks_[index / kChunk].load(std::memory_order_acquire);
    return chunk ? &(*chunk)[index % kChunk] : nullptr;
  }

  std::mutex mutex_;
  std::vector<u32> free_;
  u32 used_ = 0;
  std::array<std::atomic<Chunk*>, protocol::handle_limit(K) / kChunk + 1> chunks_{};
};

}  // namespace vgpu::shim
