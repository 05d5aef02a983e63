#include <chrono>
#include <cstdlib>

#include "fixture.hpp"

using softgpu_test::Gpu;
using softgpu_test::launch;

namespace {

constexpr unsigned kThreads = 64;
constexpr double kRate = 10e6;

/// Each thread runs 3 instructions for each round, and 2 more.
CUfunction loop() {
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  REQUIRE_OK(cuModuleLoadData(&module, R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u32 rounds)
{
  .reg .b32 %r<2>;
  .reg .pred %p<2>;
  ld.param.u32 %r1, [rounds];
L:
  sub.u32 %r1, %r1, 1;
  setp.ne.u32 %p1, %r1, 0;
  @%p1 bra L;
  ret;
}
)"));
  REQUIRE_OK(cuModuleGetFunction(&function, module, "k"));
  return function;
}

double milliseconds_of(unsigned rounds) { return (3.0 * rounds + 2) * kThreads / kRate * 1e3; }

}  // namespace

TEST_CASE("brake: events around a kernel tell how long the device ran it") {
  setenv("VGPU_SOFTGPU_RATE", "10M", 1);
  Gpu gpu(false);
  const CUfunction function = loop();
  CUstream stream = nullptr;
  REQUIRE_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  CUevent events[4];
  for (CUevent& event : events) REQUIRE_OK(cuEventCreate(&event, 0));
  const auto start = std::chrono::steady_clock::now();
  // All is submitted at once: an event must not tell when it was recorded, but when the stream came to it.
  REQUIRE_OK(cuEventRecord(events[0], stream));
  REQUIRE_OK(launch(function, 1, kThreads, stream, 1000u));
  REQUIRE_OK(cuEventRecord(events[1], stream));
  REQUIRE_OK(launch(function, 1, kThreads, stream, 3000u));
  REQUIRE_OK(cuEventRecord(events[2], stream));
  REQUIRE_OK(cuEventRecord(events[3], stream));
  REQUIRE_OK(cuEventSynchronize(events[3]));
  const double took = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  float first = 0;
  float second = 0;
  float all = 0;
  REQUIRE_OK(cuEventElapsedTime(&first, events[0], events[1]));
  REQUIRE_OK(cuEventElapsedTime(&second, events[1], events[2]));
  REQUIRE_OK(cuEventElapsedTime(&all, events[0], events[3]));
  CHECK(first >= milliseconds_of(1000) * 0.99);
  CHECK(second >= milliseconds_of(3000) * 0.99);
  CHECK(all >= first + second - 0.01);
  CHECK(all <= took);
}
