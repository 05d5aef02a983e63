#include "actors/session_totals.hpp"

#include <algorithm>

namespace vgpu::daemon {
namespace {

void raise(std::uint64_t& seen, std::uint64_t value) noexcept { seen = std::max(seen, value); }

void raise(std::uint64_t& seen, const std::atomic<std::uint64_t>& counter) noexcept {
  raise(seen, counter.load(std::memory_order_relaxed));
}

}  // namespace

void Totals::add(const Totals& other) noexcept {
  calls += other.calls;
  sync_calls += other.sync_calls;
  kernels += other.kernels;
  doorbells += other.doorbells;
  sleeps += other.sleeps;
  ring_full_waits += other.ring_full_waits;
  for (std::size_t i = 0; i < copied.size(); ++i) copied[i] += other.copied[i];
  gpu_nanoseconds += other.gpu_nanoseconds;
  memory_byte_seconds += other.memory_byte_seconds;
  waits.add(other.waits);
  queue_delays.add(other.queue_delays);
  for (std::size_t i = 0; i < refused.size(); ++i) refused[i] += other.refused[i];
  sessions_refused += other.sessions_refused;
  delayed += other.delayed;
}

void Totals::read(const SessionRecord& session) noexcept {
  const protocol::SessionStats& stats = session.memory->stats();
  raise(calls, stats.calls_processed);
  raise(sync_calls, stats.sync_calls);
  raise(kernels, stats.kernels_launched);
  raise(doorbells, session.doorbells);
  raise(sleeps, stats.sleeps);
  raise(ring_full_waits, session.memory->ring_full_waits());
  raise(gpu_nanoseconds, stats.gpu_nanoseconds);
  waits = session.waits.read();
  for (std::size_t i = 0; i < queue_delays.buckets.size(); ++i) raise(queue_delays.buckets[i], stats.queue_delays[i]);
  raise(queue_delays.nanoseconds, stats.queue_delay_nanoseconds);
  for (std::size_t i = 0; i < copied.size(); ++i) raise(copied[i], stats.copied_bytes[i]);
  for (std::size_t i = 0; i < refused.size(); ++i) raise(refused[i], stats.refused[i]);
  raise(delayed, stats.calls_delayed);
}

std::uint64_t memory_of(const SessionRecord& session) noexcept {
  if (session.place != nullptr && session.place->is_reaped()) return 0;
  return session.memory->stats().memory_used_bytes.load(std::memory_order_relaxed);
}

void Holdings::add(const SessionRecord& session) noexcept {
  ++sessions;
  ++leases[static_cast<std::size_t>(session.lease.load(std::memory_order_relaxed))];
  memory += memory_of(session);
  if (session.place == nullptr) return;
  for (std::uint32_t i = 0; i < protocol::kLimits; ++i) {
    const auto limit = static_cast<protocol::Limit>(i);
    if (limit != protocol::Limit::memory) held[i] += session.place->held(limit);
  }
}

}  // namespace vgpu::daemon
