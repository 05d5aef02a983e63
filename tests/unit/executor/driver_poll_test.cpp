// The driver's thread that looks at its events ten times a second sleeps while the session is idle.
#include "executor/driver_poll.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <future>

using namespace std::chrono_literals;
using vgpu::executor::let_driver_sleep;
using vgpu::executor::poll_for_driver;

namespace {

struct Pipe {
  Pipe() { REQUIRE(::pipe(ends.data()) == 0); }
  ~Pipe() {
    for (int end : ends) ::close(end);
  }
  std::array<int, 2> ends{};
};

/// poll() of the pipe for 20 ms by a thread of this name; its result and the revents.
std::future<std::pair<int, short>> poll_as(const char* name, const Pipe& pipe) {
  return std::async(std::launch::async, [name, fd = pipe.ends[0]] {
    ::prctl(PR_SET_NAME, name, 0, 0, 0);
    pollfd readable{fd, POLLIN, 0};
    const int result = poll_for_driver(&readable, 1, 20);
    return std::pair(result, readable.revents);
  });
}

}  // namespace

TEST_CASE("driver's poll: without end while the session is idle, and over when it goes on") {
  const Pipe pipe;
  let_driver_sleep(true);
  auto polled = poll_as("cuda-EvtHandlr", pipe);
  CHECK(polled.wait_for(200ms) == std::future_status::timeout);
  SECTION("it goes on") {
    let_driver_sleep(false);
    CHECK(polled.get() == std::pair(0, short{0}));
  }
  SECTION("there is an event") {
    REQUIRE(::write(pipe.ends[1], "x", 1) == 1);
    CHECK(polled.get() == std::pair(1, short{POLLIN}));
  }
  let_driver_sleep(false);
  CHECK(poll_as("cuda-EvtHandlr", pipe).get().first >= 0);
}

TEST_CASE("driver's poll: as ever while the session works, and for every other thread") {
  const Pipe pipe;
  CHECK(poll_as("cuda-EvtHandlr", pipe).get() == std::pair(0, short{0}));
  let_driver_sleep(true);
  CHECK(poll_as("somebody", pipe).get() == std::pair(0, short{0}));
  let_driver_sleep(false);
  pollfd none{-1, POLLIN, 0};
  CHECK(poll_for_driver(&none, 1, 0) == 0);
}
