#include <catch2/catch.hpp>

#include "actors/lease_policy.hpp"

using namespace vgpu::daemon;

namespace {

constexpr Tenant kTenant{111, 100, Priority::medium};

/// The sessions that are told to run, in order; the numbers of the orders go to `numbers`.
std::vector<SessionId> told(LeasePolicy& policy, std::vector<std::uint64_t>* numbers = nullptr) {
  std::vector<SessionId> sessions;
  for (const LeaseOrder& order : policy.next_orders()) {
    CHECK(order.kind == LeaseOrder::Kind::run);
    CHECK(order.quantum.count() == 0);
    CHECK(order.backlog.count() == 0);
    sessions.push_back(order.session);
    if (numbers != nullptr) numbers->push_back(order.number);
  }
  return sessions;
}

using Sessions = std::vector<SessionId>;

}  // namespace

TEST_CASE("Concurrent: every runnable session gets a lease at once") {
  const auto policy = make_concurrent();
  for (SessionId id : {1u, 2u, 3u}) policy->opened(id, kTenant);
  CHECK(told(*policy).empty());
  policy->runnable(2);
  policy->runnable(1);
  std::vector<std::uint64_t> numbers;
  CHECK(told(*policy, &numbers) == Sessions{2, 1});
  CHECK(policy->holds_since(2, numbers[0]));
  policy->returned({2, numbers[0]});
  CHECK_FALSE(policy->holds_since(2, numbers[0]));
  CHECK(told(*policy).empty());
  policy->runnable(2);
  CHECK(told(*policy) == Sessions{2});
}

TEST_CASE("Concurrent: a doorbell of a session that holds a lease reaches its executor") {
  const auto policy = make_concurrent();
  policy->opened(1, kTenant);
  std::vector<std::uint64_t> numbers;
  policy->runnable(1);
  CHECK(told(*policy, &numbers) == Sessions{1});
  policy->runnable(1);
  CHECK(told(*policy, &numbers) == Sessions{1});
  policy->returned({1, numbers[0]});  // sent before the second order came
  CHECK(policy->holds_since(1, numbers[1]));
  policy->returned({1, numbers[1]});
  CHECK_FALSE(policy->holds_since(1, numbers[1]));
  CHECK(told(*policy).empty());
}

TEST_CASE("Concurrent: records that came while the lease was given back are not left lying") {
  const auto policy = make_concurrent();
  policy->opened(1, kTenant);
  std::vector<std::uint64_t> numbers;
  policy->runnable(1);
  CHECK(told(*policy, &numbers) == Sessions{1});
  policy->returned({1, numbers[0], {}, true});
  CHECK(told(*policy) == Sessions{1});
}

TEST_CASE("Concurrent: late messages about unknown sessions and leases not held change nothing") {
  const auto policy = make_concurrent();
  policy->runnable(7);
  policy->returned({7, 1});
  policy->closed(7);
  policy->opened(1, kTenant);
  policy->returned({1, 0, {}, true});
  CHECK(told(*policy).empty());
  policy->runnable(1);
  policy->closed(1);
  CHECK(told(*policy).empty());
  policy->runnable(1);
  CHECK(told(*policy).empty());
}
