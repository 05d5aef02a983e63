#include "executor/queue_delay.hpp"

#include <catch2/catch.hpp>
#include <memory>

using namespace vgpu;
using namespace vgpu::executor;
using namespace std::chrono_literals;

namespace {

const QueueDelay::Time kStart{1000s};

struct Sampled {
  std::unique_ptr<protocol::SessionStats> stats = std::make_unique<protocol::SessionStats>();
  QueueDelay delay{*stats};
  protocol::u64 count() const {
    protocol::u64 sum = 0;
    for (const auto& bucket : stats->queue_delays) sum += bucket;
    return sum;
  }
};

}  // namespace

TEST_CASE("Queue delay: the last record that was found counts, when it has been run") {
  Sampled sampled;
  sampled.delay.found(300, 100, kStart);
  CHECK_FALSE(sampled.delay.over(200));
  sampled.delay.found(900, 200, kStart + 1ms);  // one sample at a time
  REQUIRE(sampled.delay.over(300));
  sampled.delay.ran(kStart + 3ms);
  CHECK(sampled.stats->queue_delays[7] == 1);  // up to 5 ms
  CHECK(sampled.stats->queue_delay_nanoseconds == 3'000'000);
  CHECK_FALSE(sampled.delay.over(1000));
}

TEST_CASE("Queue delay: an empty ring is no sample, and the ends of the buckets are theirs") {
  Sampled sampled;
  sampled.delay.found(100, 100, kStart);
  CHECK_FALSE(sampled.delay.over(100));
  for (const auto delay : {0ns, 1000ns, 1001ns}) {
    sampled.delay.found(200, 100, kStart);
    sampled.delay.ran(kStart + delay);
  }
  sampled.delay.found(200, 100, kStart);
  sampled.delay.ran(kStart + 5s);
  CHECK(sampled.stats->queue_delays[0] == 2);
  CHECK(sampled.stats->queue_delays[1] == 1);
  CHECK(sampled.stats->queue_delays.back() == 1);
  CHECK(sampled.count() == 4);
}

TEST_CASE("Queue delay: one reading in sixteen is due, none while a sample is under way") {
  Sampled sampled;
  unsigned due = 0;
  for (int i = 0; i < 161; ++i) due += sampled.delay.due() ? 1 : 0;
  CHECK(due == 11);
  sampled.delay.found(200, 100, kStart);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(sampled.delay.due());
}
