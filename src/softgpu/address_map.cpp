#include "softgpu/address_map.hpp"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <new>

namespace vgpu::softgpu {
namespace {

constexpr std::uint64_t kGranules = AddressMap::kHeapBytes >> AddressMap::kGranuleShift;
constexpr std::uint64_t kWords = kGranules / 64;
constexpr std::uint64_t kHeapEnd = AddressMap::kHeapBase + AddressMap::kHeapBytes;

/// The bits from..to (both inclusive) of one word.
constexpr std::uint64_t bits(unsigned from, unsigned to) noexcept {
  return (~std::uint64_t{0} << from) & (~std::uint64_t{0} >> (63 - to));
}

/// A stretch of addresses with one bit for each granule.
struct Stretch {
  std::uint64_t base;
  unsigned shift;
};
constexpr Stretch kHeapStretch{AddressMap::kHeapBase, AddressMap::kGranuleShift};
constexpr Stretch kWindowStretch{AddressMap::kWindowBase, AddressMap::kWindowShift};
constexpr std::uint64_t kWindowWords = (AddressMap::kWindowBytes >> AddressMap::kWindowShift) / 64;
constexpr std::uint64_t kWindowEnd = AddressMap::kWindowBase + AddressMap::kWindowBytes;

using Words = std::atomic<std::uint64_t>*;

template <Stretch kStretch>
bool all_marked(const std::atomic<std::uint64_t>* words, std::uint64_t address, std::uint64_t bytes) noexcept {
  const std::uint64_t first = (address - kStretch.base) >> kStretch.shift;
  const std::uint64_t last = (address + bytes - 1 - kStretch.base) >> kStretch.shift;
  for (std::uint64_t word = first / 64; word <= last / 64; ++word) {
    const unsigned from = word == first / 64 ? first % 64 : 0;
    const unsigned to = word == last / 64 ? last % 64 : 63;
    const std::uint64_t mask = bits(from, to);
    if ((words[word].load(std::memory_order_relaxed) & mask) != mask) return false;
  }
  return true;
}

template <Stretch kStretch>
void mark(Words words, std::uint64_t address, std::uint64_t bytes, bool accessible) noexcept {
  const std::uint64_t first = (address - kStretch.base) >> kStretch.shift;
  const std::uint64_t last = (address + bytes - 1 - kStretch.base) >> kStretch.shift;
  for (std::uint64_t word = first / 64; word <= last / 64; ++word) {
    const unsigned from = word == first / 64 ? first % 64 : 0;
    const unsigned to = word == last / 64 ? last % 64 : 63;
    const std::uint64_t mask = bits(from, to);
    const std::uint64_t old = words[word].load(std::memory_order_relaxed);
    words[word].store(accessible ? old | mask : old & ~mask, std::memory_order_relaxed);
  }
}

struct HostRange {
  std::atomic<std::uint64_t> begin{0};
  std::atomic<std::uint64_t> end{0};
};

}  // namespace

/// Heap and window are bitmaps, one bit for each granule, in pages that exist once touched. The host ranges are a
/// sorted array under a sequence lock: a reader that saw the sequence change looks again. All accesses are atomic, with
/// acquire and release in place of fences, which ThreadSanitizer can't see.
struct AddressMap::State {
  std::atomic<std::uint64_t>* words = nullptr;  ///< the heap's, then the window's
  std::atomic<std::uint64_t>* window() const noexcept { return words + kWords; }
  std::atomic<std::uint32_t> sequence{0};
  std::atomic<std::uint32_t> host_count{0};
  std::array<HostRange, kMaxHostRanges> hosts;

  bool hosts_contain(std::uint64_t address, std::uint64_t end) const noexcept {
    for (;;) {
      const std::uint32_t before = sequence.load(std::memory_order_acquire);
      std::uint32_t low = 0;
      std::uint32_t high = host_count.load(std::memory_order_acquire);
      // The last range that begins at or before the address is the only one that can hold it.
      while (low < high) {
        const std::uint32_t middle = (low + high) / 2;
        if (hosts[middle].begin.load(std::memory_order_acquire) <= address) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      const bool found = low > 0 && hosts[low - 1].begin.load(std::memory_order_acquire) <= address &&
                         end <= hosts[low - 1].end.load(std::memory_order_acquire);
      if ((before & 1) == 0 && sequence.load(std::memory_order_relaxed) == before) return found;
    }
  }

  void set(std::uint32_t index, std::uint64_t begin, std::uint64_t end) noexcept {
    hosts[index].begin.store(begin, std::memory_order_release);
    hosts[index].end.store(end, std::memory_order_release);
  }
  void copy(std::uint32_t to, std::uint32_t from) noexcept {
    set(to, hosts[from].begin.load(std::memory_order_relaxed), hosts[from].end.load(std::memory_order_relaxed));
  }
};

AddressMap::AddressMap() : state_(new State) {
  void* memory = mmap(nullptr, (kWords + kWindowWords) * sizeof(std::uint64_t), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    delete state_;
    throw std::bad_alloc();
  }
  state_->words = static_cast<std::atomic<std::uint64_t>*>(memory);
}

AddressMap::~AddressMap() {
  munmap(state_->words, (kWords + kWindowWords) * sizeof(std::uint64_t));
  delete state_;
}

bool AddressMap::contains(std::uint64_t address, std::uint64_t bytes) const noexcept {
  if (bytes == 0 || address + bytes < address) return false;
  if (address >= kHeapBase && address < kHeapEnd) {
    return bytes <= kHeapEnd - address && all_marked<kHeapStretch>(state_->words, address, bytes);
  }
  if (address >= kWindowBase && address < kWindowEnd) {
    return bytes <= kWindowEnd - address && all_marked<kWindowStretch>(state_->window(), address, bytes);
  }
  return state_->hosts_contain(address, address + bytes);
}

void AddressMap::mark_heap(std::uint64_t address, std::uint64_t bytes, bool accessible) noexcept {
  if (bytes == 0 || address < kHeapBase || address >= kHeapEnd || bytes > kHeapEnd - address) return;
  mark<kHeapStretch>(state_->words, address, bytes, accessible);
}

void AddressMap::mark_window(std::uint64_t address, std::uint64_t bytes, bool accessible) noexcept {
  if (bytes == 0 || address < kWindowBase || address >= kWindowEnd || bytes > kWindowEnd - address) return;
  mark<kWindowStretch>(state_->window(), address, bytes, accessible);
}

bool AddressMap::add_host(std::uint64_t address, std::uint64_t bytes) noexcept {
  const std::uint32_t count = state_->host_count.load(std::memory_order_relaxed);
  if (count == kMaxHostRanges || bytes == 0 || address + bytes < address) return false;
  state_->sequence.fetch_add(1, std::memory_order_acq_rel);
  std::uint32_t index = count;
  while (index > 0 && state_->hosts[index - 1].begin.load(std::memory_order_relaxed) > address) {
    state_->copy(index, index - 1);
    --index;
  }
  state_->set(index, address, address + bytes);
  state_->host_count.store(count + 1, std::memory_order_release);
  state_->sequence.fetch_add(1, std::memory_order_release);
  return true;
}

void AddressMap::remove_host(std::uint64_t address) noexcept {
  const std::uint32_t count = state_->host_count.load(std::memory_order_relaxed);
  std::uint32_t index = 0;
  while (index < count && state_->hosts[index].begin.load(std::memory_order_relaxed) != address) ++index;
  if (index == count) return;
  state_->sequence.fetch_add(1, std::memory_order_acq_rel);
  for (; index + 1 < count; ++index) state_->copy(index, index + 1);
  state_->host_count.store(count - 1, std::memory_order_release);
  state_->sequence.fetch_add(1, std::memory_order_release);
}

}  // namespace vgpu::softgpu
