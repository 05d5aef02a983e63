#include "softgpu/ptx/brake.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <thread>

#include "kernels_fixture.hpp"

using namespace vgpu::softgpu::ptx;
using namespace vgpu::softgpu::ptx::test;
using Clock = std::chrono::steady_clock;

namespace {

/// 5 instructions, then `rounds` times 3, then ret.
Loaded loop(unsigned rounds) {
  return Loaded(R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 p)
{
  .reg .b32 %r<4>;
  .reg .pred %p<2>;
  mov.u32 %r1, )" +
                std::to_string(rounds) + R"(;
  mov.u32 %r2, %tid.x;
  add.u32 %r2, %r2, 1;
  add.u32 %r2, %r2, 1;
  add.u32 %r2, %r2, 1;
L:
  sub.u32 %r1, %r1, 1;
  setp.ne.u32 %p1, %r1, 0;
  @%p1 bra L;
  ret;
}
)");
}

struct Request {
  const Loaded& loaded;
  Arguments arguments = Arguments().add(std::uint64_t{0});
  Launch launch;

  Request(const Loaded& of, std::uint32_t blocks, std::uint32_t threads) : loaded(of) {
    launch.module = &loaded.module();
    launch.grid = {blocks, 1, 1};
    launch.block = {threads, 1, 1};
    launch.parameters = arguments.span();
    launch.memory = &map();
  }
};

}  // namespace

TEST_CASE("lane-instructions are counted exactly", "[brake]") {
  const Loaded loaded = loop(1000);
  REQUIRE(loaded.good());
  for (const std::uint32_t threads : {1u, 32u, 40u, 256u}) {
    const Outcome outcome = pool().run(Request(loaded, 7, threads).launch);
    REQUIRE(outcome.fault == Fault::none);
    REQUIRE(outcome.lane_instructions == std::uint64_t{7} * threads * (5 + 3 * 1000 + 1));
  }
}

TEST_CASE("lanes that go other ways count for what each ran", "[brake]") {
  // 8 lanes take 2 instructions more than the 24 others; all meet at the end.
  const Loaded loaded(R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 p)
{
  .reg .b32 %r<4>;
  .reg .pred %p<2>;
  mov.u32 %r1, %tid.x;
  setp.ge.u32 %p1, %r1, 8;
  @%p1 bra M;
  add.u32 %r1, %r1, 1;
  add.u32 %r1, %r1, 1;
M:
  ret;
}
)");
  REQUIRE(loaded.good());
  const Outcome outcome = pool().run(Request(loaded, 1, 32).launch);
  REQUIRE(outcome.fault == Fault::none);
  REQUIRE(outcome.lane_instructions == 32 * 4 + 8 * 2);
}

TEST_CASE("a brake makes a launch last as long as its instructions take at that rate", "[brake]") {
  const Loaded loaded = loop(1000);
  Brake brake(10000000);
  Request request(loaded, 4, 64);
  request.launch.brake = &brake;
  for (int i = 0; i < 2; ++i) {
    const auto start = Clock::now();
    const Outcome outcome = pool().run(request.launch);
    const auto took = std::chrono::duration<double>(Clock::now() - start).count();
    REQUIRE(outcome.fault == Fault::none);
    REQUIRE(took >= static_cast<double>(outcome.lane_instructions) / 1e7 * 0.999);
  }
}

TEST_CASE("launches that share a brake share its rate, another's goes on", "[brake]") {
  const Loaded loaded = loop(500);
  Brake brake(10000000);
  Request first(loaded, 4, 64);
  Request second(loaded, 4, 64);
  first.launch.brake = second.launch.brake = &brake;
  Outcome outcome;
  const auto start = Clock::now();
  std::thread thread([&] { outcome = pool().run(first.launch); });
  const Outcome other = pool().run(second.launch);
  const Outcome free_one = pool().run(Request(loaded, 4, 64).launch);
  thread.join();
  const auto took = std::chrono::duration<double>(Clock::now() - start).count();
  REQUIRE(free_one.fault == Fault::none);
  REQUIRE(took >= static_cast<double>(outcome.lane_instructions + other.lane_instructions) / 1e7 * 0.999);
}

TEST_CASE("a launch that a brake holds back can be cancelled", "[brake]") {
  const Loaded loaded = loop(1000);
  Brake brake(1);
  std::atomic<bool> cancel{false};
  Request request(loaded, 4, 64);
  request.launch.brake = &brake;
  request.launch.cancel = &cancel;
  std::thread thread([&] { pool().run(request.launch); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  cancel = true;
  thread.join();  // by itself it would take a day
}

TEST_CASE("a launch ends at its deadline", "[brake]") {
  const Loaded endless(R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 p)
{
L:
  bra L;
}
)");
  REQUIRE(endless.good());
  Request request(endless, 3, 64);
  request.launch.deadline = Clock::now() + std::chrono::milliseconds(30);
  REQUIRE(pool().run(request.launch).fault == Fault::timeout);
  REQUIRE(Clock::now() >= request.launch.deadline);

  // Work that a braked device would not have done by then is late too.
  const Loaded loaded = loop(10);
  Brake brake(1);
  Request braked(loaded, 1, 1);
  braked.launch.brake = &brake;
  braked.launch.deadline = Clock::now() + std::chrono::milliseconds(30);
  const Outcome outcome = pool().run(braked.launch);
  REQUIRE(outcome.fault == Fault::timeout);
  REQUIRE(outcome.kernel == "k");
}
