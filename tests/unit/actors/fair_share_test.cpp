#include <catch2/catch.hpp>

#include "lease_simulation.hpp"

using namespace vgpu::daemon;
using namespace vgpu::daemon::test;
using namespace std::chrono_literals;

namespace {

constexpr FairShareTerms kTerms;
constexpr Nanoseconds kQuantum = std::chrono::nanoseconds(kTerms.quantum).count();

Tenant tenant(std::uint32_t vm, std::uint32_t weight = 100, Priority priority = Priority::medium) {
  return {vm, weight, priority};
}

/// Random weights and kernels for so many VMs of one session each; returns the sum of the weights.
std::uint64_t open_many(LeaseSimulation& pool, std::uint32_t count, std::mt19937& random,
                        std::map<std::uint32_t, std::uint32_t>& weights) {
  std::uint64_t sum = 0;
  for (std::uint32_t vm = 1; vm <= count; ++vm) {
    weights[vm] = std::uniform_int_distribution<std::uint32_t>(100, 400)(random);
    sum += weights[vm];
    Load load;
    load.kernel = std::uniform_int_distribution<Nanoseconds>(10, 1000)(random) * kMicrosecond;
    pool.open(vm, tenant(vm, weights[vm]), load);
  }
  return sum;
}

using Orders = std::vector<LeaseOrder>;
constexpr auto kRun = LeaseOrder::Kind::run;
constexpr auto kYield = LeaseOrder::Kind::yield;

}  // namespace

TEST_CASE("Fair share: shares are as the weights, whatever the lengths of kernels") {
  for (const std::uint32_t count : {2u, 8u, 100u})
    for (unsigned seed = 1; seed <= 5; ++seed) {
      CAPTURE(count, seed);
      std::mt19937 random(seed);
      LeaseSimulation pool(make_fair_share(kTerms), seed);
      std::map<std::uint32_t, std::uint32_t> weights;
      const double sum = static_cast<double>(open_many(pool, count, random, weights));
      // As many rounds for many as for few: 10 s for 8.
      const Nanoseconds duration = std::max<Nanoseconds>(10, 10 * count / 8) * kSecond;
      pool.run(duration);
      CHECK(pool.idle_while_wanted() == 0);
      for (const auto& [vm, weight] : weights) {
        const double part = static_cast<double>(pool.used(vm)) / static_cast<double>(duration);
        CAPTURE(vm, weight, part);
        CHECK(part == Approx(weight / sum).epsilon(0.02));
      }
    }
}

TEST_CASE("Fair share: nobody is further from its share than a quantum or two, at any moment") {
  std::mt19937 random(7);
  LeaseSimulation pool(make_fair_share(kTerms), 7);
  std::map<std::uint32_t, std::uint32_t> weights;
  const double sum = static_cast<double>(open_many(pool, 10, random, weights));
  double worst = 0;
  for (int step = 0; step < 2000; ++step) {
    pool.run(kMillisecond);
    for (const auto& [vm, weight] : weights)
      worst = std::max(worst,
                       std::abs(static_cast<double>(pool.used(vm)) - static_cast<double>(pool.now()) * weight / sum));
  }
  CHECK(worst < 2 * static_cast<double>(kQuantum + kMillisecond));
}

TEST_CASE("Fair share: nobody starves, however small its weight") {
  LeaseSimulation pool(make_fair_share(kTerms));
  pool.open(1, tenant(1, 1), {});
  for (std::uint32_t vm = 2; vm <= 10; ++vm) pool.open(vm, tenant(vm, 1000), {});
  pool.run(120 * kSecond);
  // Its quantum is paid back by 9,000 times its weight.
  CHECK(pool.longest_wait(1) < 9000 * (kQuantum + kMillisecond));
  CHECK(pool.used(1) >= 2 * kQuantum);
}

TEST_CASE("Fair share: the sessions of a VM share what the VM was given") {
  LeaseSimulation pool(make_fair_share(kTerms));
  pool.open(1, tenant(1), {});
  for (SessionId id = 2; id <= 5; ++id) pool.open(id, tenant(2), {});
  pool.run(10 * kSecond);
  CHECK(static_cast<double>(pool.used_by_vm(2)) / static_cast<double>(pool.used_by_vm(1)) == Approx(1).epsilon(0.02));
  for (SessionId id = 2; id <= 5; ++id)
    CHECK(static_cast<double>(pool.used(id)) == Approx(static_cast<double>(pool.used_by_vm(2)) / 4).epsilon(0.02));
}

TEST_CASE("Fair share: an absence earns nothing and costs nothing") {
  LeaseSimulation pool(make_fair_share(kTerms));
  pool.open(1, tenant(1), {});
  pool.open(2, tenant(2), {}, 5 * kSecond);
  pool.run(5 * kSecond);
  pool.forget_usage();
  pool.run(10 * kSecond);
  CHECK(static_cast<double>(pool.used(2)) / static_cast<double>(pool.used(1)) == Approx(1).epsilon(0.02));
}

TEST_CASE("Fair share: what was used in another's absence is not owed to it") {
  LeaseSimulation pool(make_fair_share(kTerms));
  // Three seconds, then a rest: it has no lease when the other comes.
  pool.open(1, tenant(1), {3 * kSecond, 2 * kSecond, 0});
  pool.run(4 * kSecond);
  pool.open(2, tenant(2), {}, 4 * kSecond);
  pool.run(kSecond);
  pool.forget_usage();
  pool.run(2 * kSecond);
  CHECK(static_cast<double>(pool.used(2)) / static_cast<double>(pool.used(1)) == Approx(1).epsilon(0.02));
}

TEST_CASE("Fair share: a session alone is told to run once, without limits") {
  const auto policy = make_fair_share(kTerms);
  policy->opened(1, tenant(1));
  policy->runnable(1);
  CHECK(policy->next_orders() == Orders{{kRun, 1, 1, 0us, 0us}});
  CHECK(policy->next_orders().empty());
}

TEST_CASE("Fair share: a neighbour with nothing to do costs a bound on unfinished work, and no lease") {
  LeaseSimulation pool(make_fair_share(kTerms));
  pool.open(1, tenant(1), {});
  pool.open(2, tenant(2), {kMillisecond, 1000 * kSecond, 0});
  pool.run(kSecond);
  const std::size_t before = pool.orders(1);
  pool.run(9 * kSecond);
  CHECK(pool.orders(1) == before);
  CHECK(pool.used(1) + pool.used(2) == pool.now());
}

TEST_CASE("Fair share: a holder hears of competition, and keeps its quantum") {
  const auto policy = make_fair_share(kTerms);
  policy->opened(1, tenant(1));
  policy->runnable(1);
  CHECK(policy->next_orders() == Orders{{kRun, 1, 1, 0us, 0us}});
  policy->opened(2, tenant(2));
  CHECK(policy->next_orders() == Orders{{kRun, 1, 2, 0us, kTerms.backlog}});
  policy->runnable(2);
  CHECK(policy->next_orders() == Orders{{kRun, 1, 3, kTerms.quantum, kTerms.backlog}});
  policy->returned({1, 3, 5ms, true});
  CHECK(policy->next_orders() == Orders{{kRun, 2, 4, kTerms.quantum, kTerms.backlog}});
}

TEST_CASE("Fair share: a higher priority takes the lease away, and an equal one waits for the quantum's end") {
  const auto policy = make_fair_share(kTerms);
  policy->opened(1, tenant(1, 100, Priority::low));
  policy->opened(2, tenant(2, 100, Priority::low));
  policy->opened(3, tenant(3, 100, Priority::high));
  policy->runnable(1);
  CHECK(policy->next_orders() == Orders{{kRun, 1, 1, 0us, kTerms.backlog}});
  policy->runnable(2);
  CHECK(policy->next_orders() == Orders{{kRun, 1, 2, kTerms.quantum, kTerms.backlog}});
  policy->runnable(3);
  CHECK(policy->next_orders() == Orders{{kYield, 1, 2, kTerms.quantum, 0us}});
  CHECK(policy->next_orders().empty());
  policy->returned({1, 2, 1ms, true});
  CHECK(policy->next_orders() == Orders{{kRun, 3, 3, kTerms.quantum, kTerms.backlog}});
}

TEST_CASE("Fair share: a high priority waits for what runs, not for what is queued") {
  LeaseSimulation pool(make_fair_share(kTerms));
  Load trainer;
  trainer.kernel = kMillisecond;
  pool.open(1, tenant(1, 1000, Priority::low), trainer);
  pool.open(2, tenant(2, 1000, Priority::low), trainer);
  pool.open(3, tenant(3, 1, Priority::high), {200 * kMicrosecond, 10 * kMillisecond, 0});
  pool.run(10 * kSecond);
  CHECK(pool.longest_wait(3) <= trainer.kernel);
  CHECK(pool.used(3) > 900 * 200 * kMicrosecond);
}

TEST_CASE("Fair share: a lower priority keeps its floor under a saturating higher one, and no more") {
  for (const double floor : {0.05, 0.2}) {
    CAPTURE(floor);
    FairShareTerms terms;
    terms.floor = floor;
    LeaseSimulation pool(make_fair_share(terms));
    pool.open(1, tenant(1, 1000, Priority::high), {});
    pool.open(2, tenant(2, 1, Priority::low), {});
    pool.run(20 * kSecond);
    CHECK(static_cast<double>(pool.used(2)) / static_cast<double>(pool.now()) == Approx(floor).epsilon(0.05));
  }
  FairShareTerms strict;
  strict.floor = 0;
  LeaseSimulation pool(make_fair_share(strict));
  pool.open(1, tenant(1, 1, Priority::high), {}, 0);
  pool.open(2, tenant(2, 1, Priority::low), {}, kSecond);
  pool.run(20 * kSecond);
  CHECK(pool.used(2) == 0);
}

TEST_CASE("Fair share: what a lower priority uses in gaps is not owed to it again") {
  FairShareTerms terms;
  terms.floor = 0.1;
  LeaseSimulation pool(make_fair_share(terms));
  // Busy for 4 ms of 8: half of the time is the other's anyhow.
  pool.open(1, tenant(1, 100, Priority::high), {4 * kMillisecond, 4 * kMillisecond, 0});
  Load low;
  low.kernel = 0;
  pool.open(2, tenant(2, 100, Priority::low), low);
  pool.run(10 * kSecond);
  CHECK(pool.longest_wait(1) == 0);
}

TEST_CASE("Fair share: ringing without giving work is charged, and does not keep others from their share") {
  const auto policy = make_fair_share(kTerms);
  policy->opened(1, tenant(1));
  policy->opened(2, tenant(2));
  int turns = 0;
  for (SessionId id : {1u, 2u}) policy->runnable(id);
  // Session 1 gives its lease back at once, and rings again; session 2 uses its quanta.
  for (int i = 0; i < 10'000; ++i) {
    const Orders orders = policy->next_orders();
    REQUIRE_FALSE(orders.empty());
    const LeaseOrder& order = orders.back();
    if (order.session == 2) ++turns;
    policy->returned({order.session, order.number, order.session == 1 ? 0ns : 5ms, true});
  }
  CHECK(turns > 10'000 / (5ms / 20us + 2));
}

TEST_CASE("Fair share: a lease that was ended by its session's close goes on to the next") {
  const auto policy = make_fair_share(kTerms);
  for (SessionId id : {1u, 2u}) policy->opened(id, tenant(id));
  for (SessionId id : {1u, 2u}) policy->runnable(id);
  REQUIRE(policy->next_orders().size() == 1);
  CHECK(policy->holds_since(1, 1));
  policy->closed(1);
  CHECK_FALSE(policy->holds_since(1, 1));
  CHECK(policy->next_orders() == Orders{{kRun, 2, 2, 0us, 0us}});
  policy->closed(2);
  CHECK(policy->next_orders().empty());
}

TEST_CASE("Fair share: a doorbell that crosses the lease's return loses nothing") {
  const auto policy = make_fair_share(kTerms);
  policy->opened(1, tenant(1));
  policy->runnable(1);
  CHECK(policy->next_orders().size() == 1);
  policy->runnable(1);
  CHECK(policy->next_orders() == Orders{{kRun, 1, 2, 0us, 0us}});
  policy->returned({1, 1, 1ms, false});  // on its way when order 2 was sent
  CHECK(policy->next_orders().empty());
  CHECK(policy->holds_since(1, 2));
  policy->returned({1, 2, 1ms, false});
  CHECK_FALSE(policy->holds_since(1, 2));
  // The other way round: told to yield, it has read its ring before the doorbell came here.
  policy->opened(2, tenant(2, 100, Priority::high));
  policy->runnable(1);
  CHECK(policy->next_orders().size() == 1);
  policy->runnable(2);
  CHECK(policy->next_orders().back().kind == kYield);
  policy->runnable(1);
  CHECK(policy->next_orders().empty());
  policy->returned({1, 3, 1ms, false});
  CHECK(policy->next_orders().back().session == 2);
  policy->returned({2, 4, 1ms, false});
  CHECK(policy->next_orders().back().session == 1);
}

TEST_CASE("Fair share: a changed weight counts from then on") {
  LeaseSimulation pool(make_fair_share(kTerms));
  pool.open(1, tenant(1), {});
  pool.open(2, tenant(2), {});
  pool.run(2 * kSecond);
  pool.policy().changed(tenant(2, 300));
  pool.forget_usage();
  pool.run(10 * kSecond);
  CHECK(static_cast<double>(pool.used(2)) / static_cast<double>(pool.used(1)) == Approx(3).epsilon(0.02));
  pool.policy().changed(tenant(2, 300, Priority::low));
  pool.forget_usage();
  pool.run(10 * kSecond);
  CHECK(static_cast<double>(pool.used(2)) / 1e10 == Approx(0.05).epsilon(0.1));
}

TEST_CASE("Fair share: others go on beside a lease that does not end, and it is charged for all of it") {
  const auto policy = make_fair_share(kTerms);
  policy->opened(1, tenant(1));
  policy->opened(2, tenant(2));
  policy->runnable(1);
  policy->runnable(2);
  CHECK(policy->next_orders() == Orders{{kRun, 1, 1, kTerms.quantum, kTerms.backlog}});
  policy->overran(1, 0);  // about a lease before this one
  policy->overran(2, 1);  // about one that it does not have
  CHECK(policy->next_orders().empty());
  policy->overran(1, 1);
  CHECK(policy->next_orders() == Orders{{kRun, 2, 2, 0us, kTerms.backlog}});
  CHECK(policy->holds(1));
  CHECK(policy->holds(2));
  policy->runnable(1);  // its doorbell rings; it can't have a second lease
  policy->returned({2, 2, 5ms, true});
  CHECK(policy->next_orders() == Orders{{kRun, 2, 3, 0us, kTerms.backlog}});
  policy->returned({1, 1, 100ms, false});
  CHECK_FALSE(policy->holds(1));
  CHECK(policy->next_orders() == Orders{{kRun, 2, 4, kTerms.quantum, kTerms.backlog}});
  // The first one rang meanwhile; the other has a hundred milliseconds of its own first.
  std::chrono::nanoseconds used = 5ms;
  for (std::uint64_t turn = 4; used < 95ms; ++turn, used += 5ms) {
    policy->returned({2, turn, 5ms, true});
    CHECK(policy->next_orders() == Orders{{kRun, 2, turn + 1, kTerms.quantum, kTerms.backlog}});
  }
  policy->returned({2, 22, 5ms, true});
  CHECK(policy->next_orders() == Orders{{kRun, 1, 23, kTerms.quantum, kTerms.backlog}});
}

TEST_CASE("Fair share: a session that ends while it overruns leaves nothing behind") {
  const auto policy = make_fair_share(kTerms);
  policy->opened(1, tenant(1));
  policy->opened(2, tenant(2));
  policy->runnable(1);
  policy->runnable(2);
  policy->next_orders();
  policy->overran(1, 1);
  policy->next_orders();
  policy->closed(1);
  CHECK_FALSE(policy->holds(1));
  policy->returned({1, 1, 5ms, true});
  policy->returned({2, 2, 5ms, true});
  CHECK(policy->next_orders() == Orders{{kRun, 2, 3, 0us, 0us}});
}
