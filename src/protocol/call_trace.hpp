#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

/// How an executor tells of its calls while somebody watches them: the last lines in shared memory, each in a slot of
/// its own. The writer never waits and never asks: a reader that is too slow finds that lines are gone, and how many.
namespace vgpu::protocol {

/// What is told of a session's calls; bits of ExecutorCommand::watch.
enum CallWatch : std::uint32_t {
  kWatchLog = 1,      ///< a line in the log
  kWatchTrace = 2,    ///< a line in the session's CallTrace
  kWatchProfile = 4,  ///< SessionStats::profile counts
};

/// The last lines. Any thread of one process writes, any number of processes read.
struct CallTrace {
  static constexpr std::size_t kSlots = 512;
  static constexpr std::size_t kWords = 61;
  static constexpr std::size_t kMaxText = kWords * sizeof(std::uint64_t);
  using Word = std::atomic<std::uint64_t>;

  struct Slot {
    Word number;       ///< of the line, from 1; 0: being written
    Word nanoseconds;  ///< since 1970
    Word bytes;
    std::array<Word, kWords> text;
  };
  Word written;  ///< lines so far
  std::array<Slot, kSlots> slots;

  /// Longer texts are cut.
  void write(std::string_view text, std::uint64_t nanoseconds) noexcept {
    const std::uint64_t number = written.fetch_add(1, std::memory_order_relaxed) + 1;
    Slot& slot = slots[number % kSlots];
    slot.number.store(0, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    const std::size_t bytes = std::min(text.size(), kMaxText);
    for (std::size_t at = 0; at < bytes; at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + at, std::min(sizeof word, bytes - at));
      slot.text[at / sizeof word].store(word, std::memory_order_relaxed);
    }
    slot.bytes.store(bytes, std::memory_order_relaxed);
    slot.nanoseconds.store(nanoseconds, std::memory_order_relaxed);
    slot.number.store(number, std::memory_order_release);
  }
};

/// Reads one CallTrace, whose writer may be anybody: numbers, lengths and texts are not to be trusted.
class CallTraceReader {
 public:
  enum class Result { line, none };

  /// Lines that were written before are not told.
  void start(const CallTrace& trace) noexcept { next_ = trace.written.load(std::memory_order_acquire) + 1; }

  /// The next line; none: there is none now.
  Result next(const CallTrace& trace, std::string& text, std::uint64_t& nanoseconds) {
    for (;;) {
      const std::uint64_t written = trace.written.load(std::memory_order_acquire);
      if (written < next_) return Result::none;
      if (written - next_ >= CallTrace::kSlots) skip_to(written - CallTrace::kSlots + 1);
      const CallTrace::Slot& slot = trace.slots[next_ % CallTrace::kSlots];
      const std::uint64_t number = slot.number.load(std::memory_order_acquire);
      if (number == 0 || number < next_) return Result::none;  // being written
      copy(slot, text, nanoseconds);
      std::atomic_thread_fence(std::memory_order_acquire);
      const bool whole = number == next_ && slot.number.load(std::memory_order_relaxed) == number;
      if (whole) {
        ++next_;
        return Result::line;
      }
      skip_to(next_ + 1);
    }
  }

  /// Lines that were overwritten before they were read, since the last call.
  std::uint64_t take_lost() noexcept {
    const std::uint64_t lost = lost_;
    lost_ = 0;
    return lost;
  }

 private:
  void skip_to(std::uint64_t number) noexcept {
    lost_ += number - next_;
    next_ = number;
  }
  static void copy(const CallTrace::Slot& slot, std::string& text, std::uint64_t& nanoseconds) {
    const std::uint64_t bytes = slot.bytes.load(std::memory_order_relaxed);
    text.resize(std::min<std::uint64_t>(bytes, CallTrace::kMaxText));
    for (std::size_t at = 0; at < text.size(); at += sizeof(std::uint64_t)) {
      const std::uint64_t word = slot.text[at / sizeof(std::uint64_t)].load(std::memory_order_relaxed);
      std::memcpy(text.data() + at, &word, std::min(sizeof word, text.size() - at));
    }
    nanoseconds = slot.nanoseconds.load(std::memory_order_relaxed);
  }

  std::uint64_t next_ = 1;
  std::uint64_t lost_ = 0;
};

/// What a profile counts of one call's name. Any thread adds.
struct CallProfile {
  std::atomic<std::uint64_t> calls;
  std::atomic<std::uint64_t> bytes;  ///< that the requests state: of copies, fills and allocations
  std::atomic<std::uint64_t> nanoseconds;
};

}  // namespace vgpu::protocol
