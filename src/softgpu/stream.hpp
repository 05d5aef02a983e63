#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "softgpu/driver_api.hpp"
#include "softgpu/event_count.hpp"

namespace vgpu::softgpu {

class Context;
class Stream;

/// A point in a stream: what was submitted up to there. Keeps the stream alive. An empty one is done.
struct Point {
  std::shared_ptr<Stream> stream;
  std::uint64_t sequence = 0;

  bool done() const noexcept;
  void wait() const noexcept;
};

enum class StreamKind { legacy, blocking, non_blocking };

/// Work in order, run by a thread of the stream's own that starts with the first piece of work that needs it. Work that
/// the caller waits for anyway, or that is short while the stream is idle, is run by the caller in the stream's order.
///
/// Each piece of work has a sequence number and is complete when `completed` has reached it. The legacy stream and the
/// blocking streams of a context order each other: a submission takes the points it must wait for while it holds the
/// context's ordering lock (exclusive for the legacy stream, shared for the others), so that no two wait for each
/// other.
///
/// Work must not throw. All functions may be called by any thread.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(Context& context, StreamKind kind, int priority);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Context& context() const noexcept { return context_; }
  StreamKind kind() const noexcept { return kind_; }
  int priority() const noexcept { return priority_; }
  std::uint64_t id() const noexcept { return id_; }

  /// Queues work for the stream's thread; it also waits for `after`. Returns its sequence number.
  template <class Work>
  std::uint64_t submit(Work&& work, Point after = {});

  /// Runs work on the calling thread, in its turn; returns when it has run.
  template <class Work>
  void run_now(Work&& work) {
    const std::uint64_t sequence = begin_inline(false);
    work();
    complete(sequence);
  }

  /// Runs short work on the calling thread if nothing is before it, and returns its sequence number; otherwise returns
  /// 0.
  template <class Work>
  std::uint64_t try_short(Work&& work) {
    const std::uint64_t sequence = begin_inline(true);
    if (sequence == 0) return 0;
    work();
    complete(sequence);
    return sequence;
  }
  /// The same, but queues the work if it can't be run now.
  template <class Work>
  std::uint64_t run_short(Work&& work) {
    const std::uint64_t sequence = try_short(work);
    return sequence != 0 ? sequence : submit(std::forward<Work>(work));
  }

  /// The last submitted piece of work. For the legacy stream see Context::pending.
  Point last() { return Point{shared_from_this(), submitted_.load(std::memory_order_acquire)}; }
  bool idle() const noexcept { return reached(submitted_.load(std::memory_order_acquire)); }
  bool reached(std::uint64_t sequence) const noexcept { return completed_.load(std::memory_order_seq_cst) >= sequence; }
  void wait(std::uint64_t sequence) noexcept;

  /// For a stream that never gets work and only counts what others do: the next number, reached when keep() is called
  /// with it. In order.
  Point promise() { return Point{shared_from_this(), submitted_.fetch_add(1, std::memory_order_acq_rel) + 1}; }
  void keep(std::uint64_t sequence) noexcept { complete(sequence); }
  std::uint64_t completed() const noexcept { return completed_.load(std::memory_order_acquire); }

  /// Lets the thread end once all work has run. Nothing may be submitted afterwards.
  void close() noexcept;
  /// After close(): true once the thread has ended (or never was), so that join() will not block.
  bool ended() const noexcept { return ended_.load(std::memory_order_acquire); }
  /// Waits for the thread to end. Not on the stream's own thread. Any number of threads may call at once.
  void join();

 private:
  /// Enough for a kernel launch with a few parameters; larger captures go to the heap by their own means.
  static constexpr std::size_t kInlineBytes = 448;
  static constexpr std::uint64_t kMaxQueued = 8192;
  static constexpr std::size_t kNodesAtOnce = 32;

  struct Node {
    std::atomic<Node*> next{nullptr};
    std::uint64_t sequence = 0;
    std::vector<Point> after;
    void (*run)(Node&) = nullptr;  ///< runs the work and destroys it
    alignas(std::max_align_t) std::array<std::byte, kInlineBytes> storage;
  };

  class Turn;  // holds the locks of a submission

  std::uint64_t begin_inline(bool only_if_idle);
  void complete(std::uint64_t sequence) noexcept;
  void limit_queue() noexcept;
  Node* take_node();
  void collect_order(std::vector<Point>& points);
  bool must_wait() const noexcept;
  void publish(Node* node);
  void work() noexcept;

  Context& context_;
  const StreamKind kind_;
  const int priority_;
  const std::uint64_t id_;

  std::mutex mutex_;  // of submission
  std::atomic<std::uint64_t> submitted_{0};
  std::atomic<std::uint64_t> completed_{0};
  EventCount completion_;

  std::atomic<std::uint64_t> queued_{0};  // nodes linked so far
  EventCount arrival_;
  std::atomic<bool> closing_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
  std::mutex join_mutex_;

  Node* tail_;                            // guarded by mutex_
  Node* head_;                            // the thread's: the node that ran last
  Node* free_ = nullptr;                  // guarded by mutex_
  std::atomic<Node*> returned_{nullptr};  // nodes that ran, for the next submission to take
  std::vector<std::unique_ptr<Node[]>> chunks_;
};

/// The locks of one submission, in their order: the context's ordering lock, then the stream's.
class Stream::Turn {
 public:
  explicit Turn(Stream& stream);
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Stream& stream_;
};

template <class Work>
std::uint64_t Stream::submit(Work&& work, Point after) {
  using Stored = std::decay_t<Work>;
  static_assert(sizeof(Stored) <= kInlineBytes && alignof(Stored) <= alignof(std::max_align_t));
  limit_queue();
  std::uint64_t sequence = 0;
  {
    const Turn turn(*this);
    sequence = submitted_.load(std::memory_order_relaxed);
    // A submission beside the stream's destruction is the program's mistake: its thread may be gone, so nothing is
    // queued.
    if (closing_.load(std::memory_order_relaxed)) return sequence;
    Node* node = take_node();
    collect_order(node->after);
    if (!after.done()) node->after.push_back(std::move(after));
    new (node->storage.data()) Stored(std::forward<Work>(work));
    node->run = [](Node& self) {
      auto* stored = std::launder(reinterpret_cast<Stored*>(self.storage.data()));
      (*stored)();
      stored->~Stored();
    };
    node->sequence = ++sequence;
    publish(node);
  }
  arrival_.notify();
  return sequence;
}

inline bool Point::done() const noexcept { return stream == nullptr || stream->reached(sequence); }
inline void Point::wait() const noexcept {
  if (stream != nullptr) stream->wait(sequence);
}

}  // namespace vgpu::softgpu
