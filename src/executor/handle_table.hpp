#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "executor/account.hpp"
#include "protocol/types.hpp"

namespace vgpu::executor {

/// From a guest's handle to the driver's. Grows by chunks, so that its memory follows its use; a slot is one word, so
/// that worker threads read while others write. Handles of one kind must be made and ended by calls that the guest
/// orders; two threads that race for one index leave one of the two there, whole.
class HandleTable {
 public:
  explicit HandleTable(protocol::u32 limit) : limit_(limit), chunks_((limit + kChunk) / kChunk) {}
  ~HandleTable() {
    for (auto& chunk : chunks_) delete chunk.load(std::memory_order_relaxed);
  }
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;

  enum class Put { refused, filled, replaced };
  /// Puts a native handle in place of whatever the index held. Refused: the index is over the limit, or the native
  /// handle is no user-space address, which no driver gives.
  Put put(protocol::u32 index, protocol::u16 generation, std::uint64_t native) {
    if (index == 0 || index > limit_ || native == 0 || (native >> kNativeBits) != 0) return Put::refused;
    std::atomic<Chunk*>& place = chunks_[index / kChunk];
    Chunk* chunk = place.load(std::memory_order_acquire);
    if (chunk == nullptr) {
      auto fresh = std::make_unique<Chunk>();
      if (place.compare_exchange_strong(chunk, fresh.get(), std::memory_order_acq_rel)) chunk = fresh.release();
    }
    const std::uint64_t word = std::uint64_t{generation} << kNativeBits | native;
    return (*chunk)[index % kChunk].exchange(word, std::memory_order_acq_rel) == 0 ? Put::filled : Put::replaced;
  }

  /// The native handle, or 0 if there is none of this generation.
  std::uint64_t find(protocol::u32 index, protocol::u16 generation) const noexcept {
    const std::atomic<std::uint64_t>* slot = at(index);
    const std::uint64_t word = slot != nullptr ? slot->load(std::memory_order_acquire) : 0;
    return word >> kNativeBits == generation ? word & kNativeMask : 0;
  }

  /// Takes the native handle out; 0 if there is none of this generation. Of two threads one gets it.
  std::uint64_t take(protocol::u32 index, protocol::u16 generation) noexcept {
    std::atomic<std::uint64_t>* slot = const_cast<std::atomic<std::uint64_t>*>(at(index));
    std::uint64_t word = slot != nullptr ? slot->load(std::memory_order_acquire) : 0;
    if (word == 0 || word >> kNativeBits != generation) return 0;
    return slot->compare_exchange_strong(word, 0, std::memory_order_acq_rel) ? word & kNativeMask : 0;
  }

  /// Calls f(index, generation, native) for each handle until it returns true.
  template <typename F>
  void for_each(F&& f) const {
    for (std::size_t i = 0; i < chunks_.size(); ++i) {
      const Chunk* chunk = chunks_[i].load(std::memory_order_acquire);
      for (std::size_t k = 0; chunk != nullptr && k < kChunk; ++k) {
        const std::uint64_t word = (*chunk)[k].load(std::memory_order_acquire);
        if (word != 0 && f(static_cast<protocol::u32>(i * kChunk + k), static_cast<protocol::u16>(word >> kNativeBits),
                           word & kNativeMask))
          return;
      }
    }
  }

  /// True if a handle with this index could be put.
  bool accepts(protocol::u32 index) const noexcept { return index != 0 && index <= limit_; }
  /// True if no handle lies there, of any generation.
  bool vacant(protocol::u32 index) const noexcept {
    const std::atomic<std::uint64_t>* slot = at(index);
    return slot == nullptr || slot->load(std::memory_order_acquire) == 0;
  }

 private:
  static constexpr protocol::u32 kChunk = 512;
  static constexpr unsigned kNativeBits = 48;
  static constexpr std::uint64_t kNativeMask = (std::uint64_t{1} << kNativeBits) - 1;
  using Chunk = std::array<std::atomic<std::uint64_t>, kChunk>;

  const std::atomic<std::uint64_t>* at(protocol::u32 index) const noexcept {
    if (index > limit_) return nullptr;
    const Chunk* chunk = chunks_[index / kChunk].load(std::memory_order_acquire);
    return chunk != nullptr ? &(*chunk)[index % kChunk] : nullptr;
  }

  protocol::u32 limit_;
  std::vector<std::atomic<Chunk*>> chunks_;
};

/// Which of the VM's limits objects of a kind count against, as far as one does.
constexpr bool limit_of(protocol::Kind kind, protocol::Limit& limit) noexcept {
  switch (kind) {
    case protocol::Kind::stream:
      return limit = protocol::Limit::streams, true;
    case protocol::Kind::event:
      return limit = protocol::Limit::events, true;
    case protocol::Kind::module_:
    case protocol::Kind::library:
      return limit = protocol::Limit::modules, true;
    case protocol::Kind::graph:
    case protocol::Kind::graph_exec:
      return limit = protocol::Limit::graphs, true;
    default:
      return false;
  }
}

/// The tables of all kinds, with the driver's types. What the VM's limits count is counted here.
class Handles {
 public:
  explicit Handles(Account& account) noexcept : account_(account) {}

  /// The driver's handle, or null: never made, ended, or of another kind.
  template <typename Native, protocol::Kind K>
  Native find(protocol::Handle<K> handle) const noexcept {
    if (!handle.well_formed()) return nullptr;
    return reinterpret_cast<Native>(table<K>().find(handle.index(), handle.generation()));
  }
  template <typename Native, protocol::Kind K>
  Native take(protocol::Handle<K> handle) noexcept {
    if (!handle.well_formed()) return nullptr;
    const std::uint64_t native = table<K>().take(handle.index(), handle.generation());
    if (native != 0) leave<K>();
    return reinterpret_cast<Native>(native);
  }
  /// False: malformed, over the limit of its kind, or the VM has as many as it may (counted).
  template <protocol::Kind K>
  bool put(protocol::Handle<K> handle, const void* native) {
    if (!handle.well_formed() || !enter<K>()) return false;
    return put_entered(handle, native);
  }
  /// Counts one object of a kind before it is made; to be followed by put_entered() or leave(). False: the VM has as
  /// many as it may, and the refusal is counted.
  template <protocol::Kind K>
  bool enter() noexcept {
    protocol::Limit limit{};
    if (!limit_of(K, limit) || account_.reserve(limit, 1)) return true;
    account_.refuse(limit);
    return false;
  }
  template <protocol::Kind K>
  void leave() noexcept {
    protocol::Limit limit{};
    if (limit_of(K, limit)) account_.release(limit, 1);
  }
  template <protocol::Kind K>
  bool put_entered(protocol::Handle<K> handle, const void* native) {
    const auto put = table<K>().put(handle.index(), handle.generation(), reinterpret_cast<std::uint64_t>(native));
    // One that is replaced still lives, though nobody can name it.
    if (put == HandleTable::Put::refused) leave<K>();
    return put != HandleTable::Put::refused;
  }
  /// Calls f(handle, native) for each handle of a kind until it returns true: not for hot calls.
  template <protocol::Kind K, typename F>
  void for_each(F&& f) const {
    table<K>().for_each([&](protocol::u32 index, protocol::u16 generation, std::uint64_t native) {
      return f(protocol::Handle<K>::make(index, generation), reinterpret_cast<void*>(native));
    });
  }
  /// The guest's handle for a native one, or value 0. Looks at each handle of the kind.
  template <protocol::Kind K>
  protocol::Handle<K> handle_of(const void* native) const noexcept {
    protocol::Handle<K> found{0};
    for_each<K>([&](protocol::Handle<K> handle, const void* its) {
      if (its == native) found = handle;
      return its == native;
    });
    return found;
  }
  /// True if put() would take it: for objects that belong to others, such as a module's functions.
  template <protocol::Kind K>
  bool accepts(protocol::Handle<K> handle) const noexcept {
    return handle.well_formed() && table<K>().accepts(handle.index());
  }
  /// True if put() would take it and nothing lies there: asked before the driver makes an object that nobody could name
  /// or end otherwise.
  template <protocol::Kind K>
  bool vacant(protocol::Handle<K> handle) const noexcept {
    return accepts(handle) && table<K>().vacant(handle.index());
  }

 private:
  template <protocol::Kind K>
  HandleTable& table() noexcept {
    return tables_[static_cast<protocol::u32>(K) - 1];
  }
  template <protocol::Kind K>
  const HandleTable& table() const noexcept {
    return tables_[static_cast<protocol::u32>(K) - 1];
  }
  template <std::size_t... I>
  static std::array<HandleTable, protocol::kKinds> make_all(std::index_sequence<I...>) {
    return {HandleTable(protocol::handle_limit(static_cast<protocol::Kind>(I + 1)))...};
  }

  Account& account_;
  std::array<HandleTable, protocol::kKinds> tables_ = make_all(std::make_index_sequence<protocol::kKinds>{});
};

}  // namespace vgpu::executor
