#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

namespace vgpu::daemon {

/// Start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996) of whatever `Key` names: each has a start tag, which
/// grows by what it used, divided by its weight; the least tag is served next. Who was away comes back with the tag of
/// who is being served, so that it neither has credit nor owes for its absence.
template <typename Key>
class FairQueue {
 public:
  /// Wants service. Does nothing if it does so already.
  void enter(const Key& key) {
    Entry& entry = entries_[key];
    if (entry.waiting) return;
    entry.waiting = true;
    entry.tag = std::max(entry.tag, now_);
  }
  /// Wants none now.
  void leave(const Key& key) {
    if (const auto found = entries_.find(key); found != entries_.end()) found->second.waiting = false;
  }
  void erase(const Key& key) { entries_.erase(key); }

  bool empty() const noexcept {
    return std::none_of(entries_.begin(), entries_.end(), [](const auto& item) { return item.second.waiting; });
  }

  /// The one to be served next; nothing if nobody waits. Equal tags: in the order in which they were served last.
  std::optional<Key> first() const {
    const auto before = [](const auto& a, const auto& b) {
      if (a.second.waiting != b.second.waiting) return a.second.waiting;
      return a.second.tag != b.second.tag ? a.second.tag < b.second.tag : a.second.served < b.second.served;
    };
    const auto least = std::min_element(entries_.begin(), entries_.end(), before);
    if (least == entries_.end() || !least->second.waiting) return std::nullopt;
    return least->first;
  }

  /// Its service begins.
  void serve(const Key& key) {
    Entry& entry = entries_[key];
    entry.served = ++turns_;
    now_ = std::max(now_, entry.tag);
  }
  /// It has used so much. `beside`: while another that waits no more was served.
  void charge(const Key& key, std::chrono::nanoseconds used, std::uint32_t weight, bool beside = false) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    found->second.tag += static_cast<std::uint64_t>(used.count()) * kScale / std::max(weight, 1u);
    // What one uses while nobody else wants anything, it does not owe to those who come later.
    if (empty() && !beside) now_ = std::max(now_, found->second.tag);
  }

 private:
  /// Tags count nanoseconds at this weight: fine enough for weights up to 1000, and good for 36 years of GPU time.
  static constexpr std::uint64_t kScale = 16;
  struct Entry {
    bool waiting = false;
    std::uint64_t tag = 0;
    std::uint64_t served = 0;
  };
  std::map<Key, Entry> entries_;
  std::uint64_t now_ = 0;
  std::uint64_t turns_ = 0;
};

}  // namespace vgpu::daemon
