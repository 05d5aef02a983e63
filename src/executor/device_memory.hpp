#pragma once
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "executor/account.hpp"
#include "executor/driver.hpp"
#include "protocol/types.hpp"

namespace vgpu::executor {

/// Device memory that is charged to the VM, until this goes.
class Charge {
 public:
  Charge() = default;
  /// Takes over what was reserved.
  Charge(Account& account, protocol::u64 bytes) noexcept : account_(&account), bytes_(bytes) {}
  Charge(Charge&& other) noexcept : account_(other.account_), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    if (this != &other) {
      set(0);
      account_ = other.account_;
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }
  ~Charge() { set(0); }

  protocol::u64 bytes() const noexcept { return bytes_; }
  /// Takes the other one's bytes over.
  void add(Charge&& other) noexcept {
    if (account_ == nullptr) account_ = other.account_;
    bytes_ += std::exchange(other.bytes_, 0);
  }
  /// What is held already, whatever the limit says.
  void set(protocol::u64 bytes) noexcept {
    if (account_ == nullptr) return;
    if (bytes > bytes_) account_->take(protocol::Limit::memory, bytes - bytes_);
    if (bytes < bytes_) account_->release(protocol::Limit::memory, bytes_ - bytes);
    bytes_ = bytes;
  }
  /// False: more than the VM may have; as it was.
  bool grow(protocol::u64 bytes) noexcept {
    if (bytes <= bytes_) return set(bytes), true;
    if (account_ == nullptr || !account_->reserve(protocol::Limit::memory, bytes - bytes_)) return false;
    bytes_ = bytes;
    return true;
  }

 private:
  Account* account_ = nullptr;
  protocol::u64 bytes_ = 0;
};

/// What of the device's memory the session takes, by whatever call: reserved before the driver is asked, kept under a
/// key while it is held, given back after the driver has let go of it. Any thread.
class DeviceMemory {
 public:
  DeviceMemory(Account& account, const Driver& cuda) noexcept
      : account_(account), cuda_(cuda), graph_charge_(account, 0) {}

  /// The key of an object of the driver's. Its own number, never the guest's: that may name another one by the time
  /// that the driver has let go of the first.
  static protocol::u64 key_of(const void* native) noexcept {
    return protocol::u64{1} << 62 | reinterpret_cast<std::uintptr_t>(native);
  }

  /// What the driver takes for so many bytes of a plain allocation.
  static protocol::u64 rounded(protocol::u64 bytes) noexcept;

  /// True if reserve() would not wait, as things stand.
  bool has_room(protocol::u64 bytes) const noexcept { return rounded(bytes) <= account_.left(protocol::Limit::memory); }
  /// Waits for what is about to go: a program that starts as another one ends finds the device as that one leaves it.
  /// Nothing: the VM is at its limit, and the refusal is counted. A thread that may wait.
  std::optional<Charge> reserve(protocol::u64 bytes);
  /// Without rounding, and without counting a refusal.
  std::optional<Charge> try_reserve(protocol::u64 bytes);
  CUresult refuse() noexcept {
    account_.refuse(protocol::Limit::memory);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }

  /// Reserves, calls allocate(key), which sets the key if it succeeds, and keeps the charge under it. `context`: the
  /// index of the one that the memory ends with; 0: with none.
  template <typename F>
  CUresult hold(protocol::u64 bytes, protocol::u32 context, F&& allocate) {
    auto charge = reserve(bytes);
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
    protocol::u64 key = 0;
    const CUresult result = allocate(key);
    // Kept after the driver's call: what is known to belong to a context that is ending was made before its end.
    if (result == CUDA_SUCCESS) keep(key, context, *std::move(charge));
    return result;
  }
  /// Takes the charge out, calls release(), and lets the charge go or puts it back if that fails. An address may be
  /// given out again as soon as the driver has it.
  template <typename F>
  CUresult let_go(protocol::u64 key, F&& release) {
    auto held = take(key);
    const CUresult result = release();
    if (result != CUDA_SUCCESS && held) keep(key, held->context, std::move(held->charge));
    // Memory of a pool, perhaps.
    if (result == CUDA_SUCCESS && !held) refresh();
    return result;
  }
  /// What is under the key already is an object that nobody can name any more: it is charged for ever.
  void keep(protocol::u64 key, protocol::u32 context, Charge charge);
  /// Puts the charge in the place of the one under the key.
  void change(protocol::u64 key, protocol::u32 context, Charge charge);
  bool holds(protocol::u64 key) const;
  /// Before the driver is asked to end a context; what comes back goes to context_ended().
  protocol::u32 context_ending(protocol::u32 context) noexcept;
  /// The context has ended, and the driver has freed what lived in it. What other threads have made meanwhile in one
  /// that has its place already stays charged.
  void context_ended(protocol::u32 context, protocol::u32 ending);

  /// What was freed behind the work of a stream of this context: let go when that work is known to be done. Taken
  /// before the context is synchronized, dropped after it.
  template <typename F>
  CUresult free_later(protocol::u64 key, protocol::u32 context, F&& release) {
    auto held = take(key);
    const CUresult result = release();
    if (!held) return result;
    if (result != CUDA_SUCCESS)
      keep(key, held->context, std::move(held->charge));
    else
      add_freed(context, std::move(held->charge));
    return result;
  }
  std::vector<Charge> freed_later(protocol::u32 context);

  /// Physical memory lives as long as its handle, which make() sets, or a mapping. The handle is the driver's.
  CUresult create(CUmemGenericAllocationHandle& handle, protocol::u64 bytes, const auto& make) {
    auto charge = reserve(bytes);
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
    const CUresult result = make();
    if (result != CUDA_SUCCESS) return result;
    keep_physical(handle, *std::move(charge));
    return result;
  }
  using Physical = std::shared_ptr<Charge>;
  Physical physical(protocol::u64 handle) const;
  /// Takes it out before the driver releases the handle; to be dropped after that.
  Physical release(protocol::u64 handle);
  void mapped(protocol::u64 address, Physical memory);
  using Mappings = std::vector<std::pair<protocol::u64, Physical>>;
  /// The mappings that begin in a range, taken out.
  Mappings unmap(protocol::u64 address, protocol::u64 bytes);

  /// Pools keep memory: what one has taken from the device counts, be it in use or not. From here on the pool is looked
  /// at.
  void watch(CUmemoryPool pool);
  /// True if there are pools: what streams have freed goes back to them at the driver's own synchronizations, which
  /// polling an event is not. Any thread.
  bool has_pools() const noexcept { return has_pools_.load(std::memory_order_relaxed); }
  /// Destroys a pool that nobody names any more. What is in use of it lives on, and so does the pool until that is
  /// gone.
  CUresult end_pool(CUmemoryPool pool);
  /// Adds what a call has reserved to the pool's charge, and makes that what the pool really has.
  void settle(CUmemoryPool pool, Charge charge);
  /// True if the pool could serve so many bytes out of what it has.
  bool has_room(CUmemoryPool pool, protocol::u64 bytes) const;
  void trim_pools();

  /// Memory of graphs: what executable graphs may come to hold at once counts while they live, and what the driver
  /// keeps of it after that. Both reserve what is not charged yet; nothing: over the limit, counted.
  std::optional<Charge> reserve_for_node(protocol::u64 bytes);
  std::optional<Charge> reserve_for_exec(protocol::u64 bytes);
  /// An allocation node was made: the driver may have taken its memory already.
  void settle_graph(Charge charge);
  void instantiated(CUgraphExec exec, protocol::u64 bytes, Charge charge);
  /// Before the driver destroys it; what comes back goes to exec_destroyed().
  protocol::u64 exec_ending(CUgraphExec exec);
  void exec_destroyed(protocol::u64 bytes);
  /// False: no graph of the session has allocation nodes.
  bool graphs_allocate() const;
  /// The devices' numbers of graph memory are asked for.
  void watch_graphs_of(CUdevice device);

  /// Looks at what pools and graphs really hold.
  void refresh();

 private:
  struct Held {
    protocol::u32 context;
    protocol::u32 age;  ///< how often the context was about to end when it was made
    Charge charge;
  };
  struct Pool {
    Charge charge;
    bool ended = false;
  };
  void add_freed(protocol::u32 context, Charge charge);
  void keep_physical(protocol::u64 handle, Charge charge);
  std::optional<Held> take(protocol::u64 key);
  void refresh_pool(CUmemoryPool pool, Charge& charge) const;
  void refresh_pools();
  void refresh_graphs();
  protocol::u64 graph_reserved() const;
  std::optional<Charge> reserve_for_graphs(protocol::u64 in_all);

  Account& account_;
  const Driver& cuda_;
  mutable std::mutex mutex_;
  std::unordered_map<protocol::u64, Held> held_;
  std::array<protocol::u32, protocol::handle_limit(protocol::Kind::context) + 1> ages_{};
  std::vector<Charge> lost_;
  std::vector<std::pair<protocol::u32, Charge>> freed_later_;
  std::unordered_map<protocol::u64, Physical> physical_;
  std::map<protocol::u64, Physical> mappings_;
  std::map<CUmemoryPool, Pool> pools_;
  std::atomic<bool> has_pools_{false};  ///< there was one
  std::vector<CUdevice> graph_devices_;
  std::unordered_map<CUgraphExec, protocol::u64> execs_;  ///< bytes of their allocation nodes
  protocol::u64 exec_bytes_ = 0;
  protocol::u64 orphaned_bytes_ = 0;  ///< of executable graphs that are gone, as far as the driver still has it
  Charge graph_charge_;
};

}  // namespace vgpu::executor
