#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <vector>

#include "executor/call_note.hpp"
#include "executor/completion.hpp"
#include "executor/contexts.hpp"
#include "executor/workers.hpp"

namespace vgpu::executor {

class Session;

/// Events of our own, kept for use again. take() by the reader thread, give() by any.
class EventPool {
 public:
  struct Event {
    CUevent native = nullptr;
    protocol::u32 context = 0;
    protocol::u32 serial = 0;  ///< Contexts::serial() when it was made: another one means that it died
  };
  EventPool(const Driver& cuda, const Contexts& contexts) : cuda_(cuda), contexts_(contexts) {}

  /// An event of the current context, whose index is `context`.
  CUresult take(protocol::u32 context, Event& event);
  void give(const Event& event);

 private:
  const Driver& cuda_;
  const Contexts& contexts_;
  std::mutex mutex_;
  std::array<std::vector<Event>, Contexts::kMaxIndex + 1> free_;
};

/// The guest's own events that are asked about here: one that the guest destroys meanwhile must last until nobody asks
/// any more. Any thread.
class AwaitedEvents {
 public:
  void add(CUevent event);
  /// One wait less. True: it was the last one, and the guest has destroyed the event: the driver may.
  bool remove(CUevent event);
  /// The guest destroys the event. False: nobody waits for it.
  bool destroy_later(CUevent event);

 private:
  struct Entry {
    protocol::u32 waits = 0;
    bool destroyed = false;
  };
  std::mutex mutex_;
  std::map<CUevent, Entry> entries_;
};

/// A slot that is answered when an event is done.
struct Wait {
  EventPool::Event event;
  bool pooled = true;            ///< false: the guest's own event
  bool for_context = false;      ///< the context is synchronized when the event is done
  protocol::u64 unfinished = 0;  ///< of Unfinished: what was last asked of the stream; 0: the event is an older one
  Answer answer;
  protocol::u32 call = 0;  ///< index in the catalogue
  CallNote note;
};

/// Waits for events without a thread for each: the reader thread asks now and then; what takes long is handed to a
/// worker that sleeps between its questions. Reader thread, but for EventPool and AwaitedEvents.
class Parking {
 public:
  explicit Parking(Session& session);

  EventPool& events() noexcept { return events_; }
  AwaitedEvents& awaited() noexcept { return awaited_; }
  void park(Wait wait);
  /// True if nothing is waited for by this thread (workers may still wait).
  bool empty() const noexcept { return waits_.empty(); }
  /// How many waits workers have. The reader thread's signal is raised after it has become less. Any thread.
  unsigned on_workers() const noexcept { return on_workers_.load(std::memory_order_acquire); }
  /// Asks the driver about some of the events and answers those that are done.
  void poll(CurrentContext& current);

 private:
  using Clock = std::chrono::steady_clock;
  struct Parked {
    Wait wait;
    Clock::time_point since;
  };
  void remove(std::size_t index);

  Session& session_;
  EventPool events_;
  AwaitedEvents awaited_;
  std::vector<Parked> waits_;
  std::size_t cursor_ = 0;
  std::atomic<unsigned> on_workers_{0};
};

/// How long a worker sleeps before it asks again about what has been waited for so long. The thread's timer slack must
/// be shorter than the shortest nap.
std::chrono::nanoseconds nap_after(std::chrono::nanoseconds waited) noexcept;

/// Answers a wait whose event is done or failed, and gives the event back. Any thread.
void answer_wait(Session& session, Wait& wait, CUresult result);

}  // namespace vgpu::executor
