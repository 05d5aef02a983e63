#include "actors/vm_accounts.hpp"

#include <sys/mman.h>

#include <catch2/catch.hpp>
#include <vector>

using namespace vgpu::daemon;
using vgpu::protocol::Limit;
using vgpu::protocol::VmAccount;
using Refused = VmAccounts::Refused;

namespace {

VmPlacePtr open(VmAccounts& accounts, std::uint32_t vm, const Limits& limits, Refused expected = Refused::no) {
  Refused refused{};
  std::string error;
  VmPlacePtr place = accounts.open(vm, limits, refused, error);
  CHECK(refused == expected);
  CHECK((place != nullptr) == (expected == Refused::no));
  return place;
}

/// As an executor maps it.
class Mapping {
 public:
  explicit Mapping(const VmPlace& place) {
    void* const page = ::mmap(nullptr, sizeof(VmAccount), PROT_READ | PROT_WRITE, MAP_SHARED, place.fd(), 0);
    REQUIRE(page != MAP_FAILED);
    account_ = static_cast<VmAccount*>(page);
  }
  ~Mapping() { ::munmap(account_, sizeof(VmAccount)); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  VmAccount* operator->() const noexcept { return account_; }

 private:
  VmAccount* account_ = nullptr;
};

}  // namespace

TEST_CASE("Sessions of a VM share an account, those of others do not") {
  VmAccounts accounts;
  Limits limits;
  limits[Limit::memory] = 1000;
  limits.calls_per_second = 7;
  limits.in_flight = 9;
  const auto first = open(accounts, 1, limits), second = open(accounts, 1, limits), other = open(accounts, 2, {});
  CHECK(first->slot() != second->slot());
  const Mapping one(*first), same(*second), another(*other);
  CHECK(one->limits[0] == 1000);
  CHECK(one->calls_per_second == 7);
  CHECK(one->in_flight == 9);
  CHECK(one->slots_used == 2);
  one->slots[first->slot()].held[0] = 5;
  CHECK(same->slots[first->slot()].held[0] == 5);
  CHECK(another->limits[0] == 0);
  CHECK(another->slots[first->slot()].held[0] == 0);
}

TEST_CASE("What a session held is gone when its executor is reaped, and its slot is given out again") {
  VmAccounts accounts;
  const auto first = open(accounts, 1, {});
  auto second = open(accounts, 1, {});
  const Mapping account(*first);
  const std::uint32_t slot = second->slot();
  account->slots[slot].held[0] = 9;
  account->slots[slot].held[3] = 9;
  CHECK(account->slots[slot].ending == 0);
  second->ended();
  CHECK(account->slots[slot].held[0] == 9);
  CHECK(account->slots[slot].ending != 0);
  CHECK(open(accounts, 1, {})->slot() != slot);
  CHECK_FALSE(second->is_reaped());
  second->reaped();
  CHECK(second->is_reaped());
  CHECK(account->slots[slot].held[0] == 0);
  CHECK(account->slots[slot].held[3] == 0);
  CHECK(account->slots[slot].ending == 0);
  const auto third = open(accounts, 1, {});
  CHECK(third->slot() == slot);
  // What is left of the session that had it touches it no more.
  account->slots[slot].held[0] = 4;
  second.reset();
  CHECK(account->slots[slot].held[0] == 4);
}

TEST_CASE("A VM has no more sessions than it may, and those that have ended do not count") {
  VmAccounts accounts;
  Limits limits;
  limits.sessions = 2;
  const auto first = open(accounts, 1, limits), second = open(accounts, 1, limits);
  open(accounts, 1, limits, Refused::too_many_sessions);
  open(accounts, 2, limits);
  first->ended();
  first->ended();
  const auto third = open(accounts, 1, limits);
  open(accounts, 1, limits, Refused::too_many_sessions);
}

TEST_CASE("Executors that are slow to go don't take all slots: then new sessions are refused") {
  VmAccounts accounts;
  std::vector<VmPlacePtr> places;
  for (std::uint32_t i = 0; i < VmAccount::kSlots; ++i) {
    places.push_back(open(accounts, 1, {}));
    places.back()->ended();
  }
  open(accounts, 1, {}, Refused::too_many_sessions);
  places.front()->reaped();
  CHECK(open(accounts, 1, {})->slot() == 0);
}

TEST_CASE("The account of a VM without sessions goes, and new limits hold for all from the next session on") {
  VmAccounts accounts;
  Limits limits;
  limits[Limit::streams] = 5;
  auto first = open(accounts, 1, limits);
  const Mapping account(*first);
  limits[Limit::streams] = 6;
  auto second = open(accounts, 1, limits);
  CHECK(account->limits[static_cast<std::size_t>(Limit::streams)] == 6);
  account->slots[0].held[0] = 3;
  first.reset();
  second.reset();
  const auto third = open(accounts, 1, {});
  const Mapping fresh(*third);
  CHECK(fresh->slots_used == 1);
  CHECK(fresh->limits[static_cast<std::size_t>(Limit::streams)] == 0);
}
