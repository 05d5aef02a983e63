#include "actors/placement.hpp"

#include <catch2/catch.hpp>

using namespace vgpu::daemon;

namespace {

Tenant tenant(std::uint32_t vm, std::uint32_t weight = 100) {
  Tenant made;
  made.vm = vm;
  made.weight = weight;
  return made;
}

Placement::Usable usable(std::vector<bool> places) {
  return [places = std::move(places)](const std::string&) { return places; };
}

}  // namespace

TEST_CASE("A VM that comes is placed where the least weight is, and its processes stay together") {
  Placement placement;
  const auto both = usable({true, true});
  const auto heavy = placement.enter(tenant(1, 300), "A", true, both);
  REQUIRE(heavy);
  CHECK(heavy->gpu == 0);
  CHECK(placement.enter(tenant(2, 100), "A", true, both)->gpu == 1);
  CHECK(placement.enter(tenant(3, 100), "A", true, both)->gpu == 1);
  CHECK(placement.enter(tenant(1, 300), "A", true, both)->gpu == 0);
  CHECK(placement.enter(tenant(4, 100), "A", true, both)->gpu == 1);
  CHECK(placement.enter(tenant(5, 100), "A", true, both)->gpu == 0);
  placement.leave(*heavy);
  CHECK(placement.enter(tenant(6, 50), "A", true, both)->gpu == 1);  // VM 1 has a process there still
}

TEST_CASE("Weight on one pool's GPU is nothing to another pool's") {
  Placement placement;
  const auto both = usable({true, true});
  CHECK(placement.enter(tenant(1), "A", true, both)->gpu == 0);
  CHECK(placement.enter(tenant(2), "B", true, both)->gpu == 0);
}

TEST_CASE("Processes that claim no VM are spread") {
  Placement placement;
  const auto three = usable({true, true, true});
  CHECK(placement.enter(tenant(0), "A", false, three)->gpu == 0);
  CHECK(placement.enter(tenant(0), "A", false, three)->gpu == 1);
  CHECK(placement.enter(tenant(0), "A", false, three)->gpu == 2);
  CHECK(placement.enter(tenant(0), "A", false, three)->gpu == 0);
}

TEST_CASE("A GPU that is not fit gets nobody, also of a VM that is there already") {
  Placement placement;
  CHECK(placement.enter(tenant(1), "A", true, usable({true, true}))->gpu == 0);
  CHECK(placement.enter(tenant(1), "A", true, usable({false, true}))->gpu == 1);
  CHECK_FALSE(placement.enter(tenant(2), "A", true, usable({false, false})));
  CHECK(placement.enter(tenant(2), "A", true, usable({true, false}))->gpu == 0);
}

TEST_CASE("A VM goes to the pool that it is moved to when it has no session, one that may choose at once") {
  Placement placement;
  const auto one = usable({true});
  const auto first = placement.enter(tenant(1), "A", true, one);
  const auto second = placement.enter(tenant(1), "B", true, one);
  CHECK(second->pool == "A");
  CHECK(placement.enter(tenant(2), "A", false, one)->pool == "A");
  CHECK(placement.enter(tenant(2), "B", false, one)->pool == "B");
  placement.leave(*first);
  CHECK(placement.enter(tenant(1), "B", true, one)->pool == "A");
  placement.leave(*second);
  placement.leave(*second);
  CHECK(placement.enter(tenant(1), "B", true, one)->pool == "B");
}

TEST_CASE("Where a session would go is told without one") {
  Placement placement;
  const auto two = usable({true, true});
  CHECK(placement.look(tenant(1), "A", true, two)->gpu == 0);
  CHECK(placement.look(tenant(1), "A", true, two)->gpu == 0);  // nothing was taken
  REQUIRE(placement.enter(tenant(1), "A", true, two)->gpu == 0);
  CHECK(placement.look(tenant(2), "A", true, two)->gpu == 1);
  CHECK(placement.look(tenant(1), "B", true, two)->pool == "A");  // where its session is
  CHECK_FALSE(placement.look(tenant(1), "A", true, usable({false, false})));
}
