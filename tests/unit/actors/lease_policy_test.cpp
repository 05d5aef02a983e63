#include "actors/lease_policy.hpp"

#include <catch2/catch.hpp>

using namespace vgpu::daemon;

namespace {

std::vector<SessionId> granted(LeasePolicy& policy) {
  std::vector<SessionId> sessions;
  for (const Grant& grant : policy.next_grants()) {
    CHECK(grant.quantum.count() == 0);
    sessions.push_back(grant.session);
  }
  return sessions;
}

using Sessions = std::vector<SessionId>;
constexpr std::chrono::nanoseconds kBusy{1000};

}  // namespace

TEST_CASE("Without a limit every runnable session gets a lease at once") {
  const auto policy = make_first_come_first_served(0);
  for (SessionId id : {1u, 2u, 3u}) policy->opened(id);
  CHECK(granted(*policy).empty());
  policy->runnable(2);
  policy->runnable(1);
  CHECK(granted(*policy) == Sessions{2, 1});
  policy->idle(2, kBusy);
  CHECK(granted(*policy).empty());
  policy->runnable(2);
  CHECK(granted(*policy) == Sessions{2});
}

TEST_CASE("A doorbell of a session that holds a lease reaches its executor") {
  const auto policy = make_first_come_first_served(0);
  policy->opened(1);
  policy->runnable(1);
  CHECK(granted(*policy) == Sessions{1});
  policy->runnable(1);
  CHECK(granted(*policy) == Sessions{1});
  policy->idle(1, kBusy);
  CHECK(granted(*policy).empty());
}

TEST_CASE("With one lease sessions take turns in the order in which they came") {
  const auto policy = make_first_come_first_served(1);
  for (SessionId id : {1u, 2u, 3u}) policy->opened(id);
  for (SessionId id : {3u, 1u, 2u}) policy->runnable(id);
  CHECK(granted(*policy) == Sessions{3});
  policy->runnable(1);  // waits already: keeps its place
  CHECK(granted(*policy).empty());
  policy->idle(3, kBusy);
  policy->runnable(3);
  CHECK(granted(*policy) == Sessions{1});
  policy->idle(1, kBusy);
  CHECK(granted(*policy) == Sessions{2});
  policy->idle(2, kBusy);
  CHECK(granted(*policy) == Sessions{3});
  policy->idle(3, kBusy);
  CHECK(granted(*policy).empty());
}

TEST_CASE("An idle that may have crossed a grant is asked for again before the next session gets the lease") {
  const auto policy = make_first_come_first_served(1);
  policy->opened(1);
  policy->opened(2);
  policy->runnable(1);
  policy->runnable(2);
  CHECK(granted(*policy) == Sessions{1});
  policy->runnable(1);
  CHECK(granted(*policy) == Sessions{1});
  policy->idle(1, kBusy);
  CHECK(granted(*policy) == Sessions{1});
  policy->idle(1, kBusy);
  CHECK(granted(*policy) == Sessions{2});
}

TEST_CASE("A session that closes gives its lease or its place back") {
  const auto policy = make_first_come_first_served(1);
  for (SessionId id : {1u, 2u, 3u}) policy->opened(id);
  for (SessionId id : {1u, 2u, 3u}) policy->runnable(id);
  CHECK(granted(*policy) == Sessions{1});
  policy->closed(2);
  policy->closed(1);
  CHECK(granted(*policy) == Sessions{3});
  policy->closed(3);
  CHECK(granted(*policy).empty());
  policy->opened(4);
  policy->runnable(4);
  CHECK(granted(*policy) == Sessions{4});
}

TEST_CASE("Closing between a grant's decision and its delivery leaves no grant behind") {
  const auto policy = make_first_come_first_served(0);
  policy->opened(1);
  policy->runnable(1);
  CHECK(granted(*policy) == Sessions{1});
  policy->runnable(1);
  policy->closed(1);
  CHECK(granted(*policy).empty());
}

TEST_CASE("Late messages about unknown sessions and leases not held change nothing") {
  const auto policy = make_first_come_first_served(2);
  policy->runnable(9);
  policy->idle(9, kBusy);
  policy->closed(9);
  policy->opened(1);
  policy->idle(1, kBusy);
  policy->opened(2);
  policy->opened(3);
  for (SessionId id : {1u, 2u, 3u}) policy->runnable(id);
  CHECK(granted(*policy) == Sessions{1, 2});
}
