// What a lease counts and when it ends, without a clock.
#include "executor/lease.hpp"

#include <catch2/catch.hpp>

using namespace vgpu::executor;
using namespace std::chrono_literals;

namespace {

Lease::Time at(std::chrono::milliseconds time) { return Lease::Time(1h) + time; }

}  // namespace

TEST_CASE("a lease without quantum has no end, and counts from its beginning") {
  Lease lease;
  CHECK_FALSE(lease.held());
  lease.run(7, 0ms, at(0ms));
  CHECK(lease.held());
  CHECK(lease.order() == 7);
  CHECK_FALSE(lease.limited());
  lease.check(at(1'000'000ms));
  CHECK_FALSE(lease.ending());
  const Lease::Use use = lease.end(at(300ms));
  CHECK(use.busy == 300ms);
  CHECK(use.counted == 300ms);
  CHECK_FALSE(lease.held());
}

TEST_CASE("a quantum ends a lease, and what it was idle does not count") {
  Lease lease;
  lease.run(1, 5ms, at(0ms));
  lease.check(at(4ms));
  CHECK_FALSE(lease.ending());
  lease.note_empty(at(1ms));
  lease.note_idle_until(at(3ms));
  CHECK(lease.busy(at(4ms)) == 2ms);
  lease.check(at(5ms));
  CHECK(lease.ending());
  CHECK(lease.ending_since() == at(5ms));
  CHECK_FALSE(lease.yielded());
  const Lease::Use use = lease.end(at(6ms));
  CHECK(use.busy == 4ms);
  CHECK(use.counted == 4ms);
}

TEST_CASE("a quantum that comes later counts from a quantum before") {
  Lease lease;
  lease.run(1, 0ms, at(0ms));
  lease.note_empty(at(10ms));
  lease.note_idle_until(at(20ms));
  lease.run(2, 5ms, at(1000ms));
  CHECK(lease.order() == 2);
  lease.check(at(1000ms));
  CHECK(lease.ending());
  const Lease::Use use = lease.end(at(1001ms));
  CHECK(use.busy == 991ms);
  CHECK(use.counted == 6ms);
}

TEST_CASE("a quantum that comes early leaves the rest of it") {
  Lease lease;
  lease.run(1, 0ms, at(0ms));
  lease.run(2, 5ms, at(2ms));
  lease.check(at(4ms));
  CHECK_FALSE(lease.ending());
  // Told once more, it has no more time for that.
  lease.run(3, 5ms, at(4ms));
  lease.check(at(5ms));
  CHECK(lease.ending());
  CHECK(lease.end(at(5ms)).counted == 5ms);
}

TEST_CASE("a lease is yielded at once, but not by an order that is about an earlier one") {
  Lease lease;
  lease.yield(3, 5ms, at(0ms));
  CHECK_FALSE(lease.ending());
  lease.run(4, 0ms, at(0ms));
  lease.yield(3, 5ms, at(1ms));
  CHECK_FALSE(lease.ending());
  lease.yield(4, 5ms, at(100ms));
  CHECK(lease.ending());
  CHECK(lease.yielded());
  CHECK(lease.end(at(101ms)).counted == 6ms);
  lease.run(5, 0ms, at(200ms));
  CHECK_FALSE(lease.ending());
  CHECK_FALSE(lease.yielded());
}

TEST_CASE("a lease that does not end is overdue again and again, ever more rarely") {
  Lease lease;
  lease.run(1, 5ms, at(0ms));
  CHECK_FALSE(lease.overdue(at(1000ms)));
  lease.check(at(5ms));
  CHECK_FALSE(lease.overdue(at(104ms)));
  CHECK(lease.overdue(at(105ms)));
  lease.be_more_patient();
  CHECK_FALSE(lease.overdue(at(304ms)));
  CHECK(lease.overdue(at(305ms)));
  lease.be_more_patient();
  CHECK_FALSE(lease.overdue(at(904ms)));
  lease.end(at(900ms));
  lease.run(2, 5ms, at(1000ms));
  lease.check(at(1005ms));
  CHECK_FALSE(lease.overdue(at(1104ms)));
  CHECK(lease.overdue(at(1105ms)));
}

TEST_CASE("what came before something new to do counts: the GPU may have been at work") {
  Lease lease;
  lease.run(1, 0ms, at(0ms));
  lease.note_empty(at(1ms));
  lease.note_work();
  CHECK(lease.busy(at(300ms)) == 300ms);
  lease.note_empty(at(300ms));
  lease.note_idle_until(at(310ms));
  const Lease::Use use = lease.end(at(310ms));
  CHECK(use.busy == 300ms);
  CHECK(use.counted == 300ms);
}
