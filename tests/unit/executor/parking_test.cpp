// How waits that last are asked about.
#include "executor/parking.hpp"

#include <catch2/catch.hpp>

using namespace vgpu::executor;
using namespace std::chrono_literals;

namespace {

struct Seen {
  std::chrono::nanoseconds late{};  ///< by which the answer came after the work was done
  unsigned naps = 0;
};

/// A wait for work that takes so long, of which the first millisecond was waited for elsewhere.
Seen wait_for(std::chrono::nanoseconds work) {
  Seen seen;
  std::chrono::nanoseconds now = 1ms;
  for (; now < work; ++seen.naps) now += nap_after(now);
  seen.late = now - work;
  return seen;
}

}  // namespace

TEST_CASE("a wait that lasts is answered late by a 256th of itself at most") {
  for (std::chrono::nanoseconds work = 5120us; work < 20s; work = work * 7 / 6) {
    INFO(work.count());
    CHECK(wait_for(work).late * 255 <= work);
  }
}

TEST_CASE("a wait that lasts costs few looks") {
  CHECK(wait_for(5ms).late <= 20us);
  CHECK(wait_for(5ms).naps <= 200);
  CHECK(wait_for(1s).late <= 1ms);
  CHECK(wait_for(1s).naps <= 2500);
}
