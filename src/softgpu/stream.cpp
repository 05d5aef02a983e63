#include "softgpu/stream.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>

#include "softgpu/context.hpp"
#include "softgpu/cores.hpp"

namespace vgpu::softgpu {
namespace {

std::atomic<std::uint64_t> next_id{1};

/// Idle stream threads that may spin at once: they must not take the cores that kernels run on.
std::atomic<int> spinning{0};

std::uint64_t idle_spin() noexcept {
  static const int most = std::max(1, static_cast<int>(usable_cores()) / 4);
  return spinning.load(std::memory_order_relaxed) < most ? spin_nanoseconds() : 0;
}

}  // namespace

Stream::Turn::Turn(Stream& stream) : stream_(stream) {
  switch (stream_.kind_) {
    case StreamKind::legacy:
      stream_.context_.order().lock();
      break;
    case StreamKind::blocking:
      stream_.context_.order().lock_shared();
      break;
    case StreamKind::non_blocking:
      break;
  }
  stream_.mutex_.lock();
}

Stream::Turn::~Turn() {
  stream_.mutex_.unlock();
  switch (stream_.kind_) {
    case StreamKind::legacy:
      stream_.context_.order().unlock();
      break;
    case StreamKind::blocking:
      stream_.context_.order().unlock_shared();
      break;
    case StreamKind::non_blocking:
      break;
  }
}

Stream::Stream(Context& context, StreamKind kind, int priority)
    : context_(context), kind_(kind), priority_(priority), id_(next_id.fetch_add(1)) {
  chunks_.push_back(std::make_unique<Node[]>(kNodesAtOnce));
  Node* nodes = chunks_.back().get();
  head_ = tail_ = &nodes[0];
  for (std::size_t i = 1; i < kNodesAtOnce; ++i) {
    nodes[i].next.store(free_, std::memory_order_relaxed);
    free_ = &nodes[i];
  }
}

Stream::~Stream() {
  close();
  if (thread_.joinable()) {
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();
    } else {
      thread_.join();
    }
  }
}

Stream::Node* Stream::take_node() {
  if (free_ == nullptr) free_ = returned_.exchange(nullptr, std::memory_order_acquire);
  if (free_ == nullptr) {
    chunks_.push_back(std::make_unique<Node[]>(kNodesAtOnce));
    Node* nodes = chunks_.back().get();
    for (std::size_t i = 0; i < kNodesAtOnce; ++i) {
      nodes[i].next.store(free_, std::memory_order_relaxed);
      free_ = &nodes[i];
    }
  }
  Node* node = free_;
  free_ = node->next.load(std::memory_order_relaxed);
  node->next.store(nullptr, std::memory_order_relaxed);
  node->after.clear();
  return node;
}

bool Stream::must_wait() const noexcept {
  if (kind_ == StreamKind::non_blocking) return false;
  if (kind_ == StreamKind::blocking) return !context_.legacy_stream().idle();
  for (const auto& other : context_.blocking_streams()) {
    if (!other->idle()) return true;
  }
  return false;
}

void Stream::collect_order(std::vector<Point>& points) {
  if (kind_ == StreamKind::non_blocking) return;
  if (kind_ == StreamKind::blocking) {
    Stream& legacy = context_.legacy_stream();
    if (!legacy.idle()) points.push_back(legacy.last());
    return;
  }
  for (const auto& other : context_.blocking_streams()) {
    if (!other->idle()) points.push_back(other->last());
  }
}

void Stream::publish(Node* node) {
  if (!thread_.joinable()) {
    // Signals of the process are for the program's own threads.
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    try {
      thread_ = std::thread([this] { work(); });
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &old, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
  }
  tail_->next.store(node, std::memory_order_release);
  tail_ = node;
  submitted_.store(node->sequence, std::memory_order_release);
  queued_.store(queued_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
}

std::uint64_t Stream::begin_inline(bool only_if_idle) {
  std::uint64_t sequence = 0;
  std::vector<Point> points;
  {
    const Turn turn(*this);
    if (only_if_idle) {
      if (!idle() || must_wait()) return 0;
    } else {
      collect_order(points);
    }
    sequence = submitted_.load(std::memory_order_relaxed) + 1;
    submitted_.store(sequence, std::memory_order_release);
  }
  wait(sequence - 1);
  for (const Point& point : points) point.wait();
  return sequence;
}

void Stream::complete(std::uint64_t sequence) noexcept {
  completed_.store(sequence, std::memory_order_seq_cst);
  completion_.notify();
}

void Stream::wait(std::uint64_t sequence) noexcept {
  completion_.await([&] { return reached(sequence); }, spin_nanoseconds());
}

void Stream::limit_queue() noexcept {
  const std::uint64_t submitted = submitted_.load(std::memory_order_relaxed);
  if (submitted > kMaxQueued && !reached(submitted - kMaxQueued)) wait(submitted - kMaxQueued / 2);
}

void Stream::close() noexcept {
  const std::lock_guard lock(mutex_);
  if (closing_.load(std::memory_order_relaxed)) return;
  closing_.store(true, std::memory_order_seq_cst);
  if (!thread_.joinable()) ended_.store(true, std::memory_order_release);
  arrival_.notify();
}

void Stream::join() {
  const std::lock_guard lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Stream::work() noexcept {
  pthread_setname_np(pthread_self(), "softgpu-stream");
  std::uint64_t taken = 0;
  const auto arrived = [&] { return queued_.load(std::memory_order_seq_cst) > taken; };
  for (;;) {
    if (!arrived()) {
      const std::uint64_t spin = idle_spin();
      if (spin != 0) {
        spinning.fetch_add(1, std::memory_order_relaxed);
        const std::uint64_t end = monotonic_nanoseconds() + spin;
        while (!arrived() && !closing_.load(std::memory_order_seq_cst) && monotonic_nanoseconds() < end) spin_pause();
        spinning.fetch_sub(1, std::memory_order_relaxed);
      }
      arrival_.await([&] { return arrived() || closing_.load(std::memory_order_seq_cst); }, 0);
      if (!arrived()) break;
    }
    Node* node = head_->next.load(std::memory_order_acquire);
    ++taken;
    wait(node->sequence - 1);
    for (const Point& point : node->after) point.wait();
    const std::uint64_t sequence = node->sequence;
    node->run(*node);
    node->after.clear();
    // The node that ran before this one is free now; this one stays as the list's anchor.
    Node* old = returned_.load(std::memory_order_relaxed);
    do {
      head_->next.store(old, std::memory_order_relaxed);
    } while (!returned_.compare_exchange_weak(old, head_, std::memory_order_release, std::memory_order_relaxed));
    head_ = node;
    complete(sequence);
  }
  ended_.store(true, std::memory_order_release);
}

}  // namespace vgpu::softgpu
