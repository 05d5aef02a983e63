// Calls per second: a VM's sessions share one bucket, which delays and never refuses.
#include "executor/call_rate.hpp"

#include <catch2/catch.hpp>
#include <memory>

using namespace vgpu::protocol;
using namespace std::chrono_literals;
using vgpu::executor::CallRate;

namespace {

/// How many calls are read until `end`, if the reader asks again when it was told to.
u64 read_until(CallRate& rate, u64 per_second, std::chrono::nanoseconds& now, std::chrono::nanoseconds end) {
  u64 calls = 0;
  while (now < end) {
    const auto wait = rate.pay(per_second, now);
    if (wait == 0ns)
      ++calls;
    else
      now += wait;
  }
  return calls;
}

}  // namespace

TEST_CASE("call rate: without a limit nothing waits") {
  const auto account = std::make_unique<VmAccount>();
  CallRate rate(*account);
  for (int i = 0; i < 1000; ++i) REQUIRE(rate.pay() == 0ns);
  CHECK(account->next_call == 0);
}

TEST_CASE("call rate: calls come at the rate, after a burst, whoever of the VM makes them") {
  for (const u64 per_second : {u64{1}, u64{7}, u64{1000}, u64{250'000}}) {
    const auto account = std::make_unique<VmAccount>();
    CallRate first(*account), second(*account);
    std::chrono::nanoseconds now = 1h;
    const auto begin = now;
    u64 calls = 0;
    for (int i = 0; i < 10; ++i) {
      calls += read_until(first, per_second, now, begin + (2 * i + 1) * 500ms);
      calls += read_until(second, per_second, now, begin + (2 * i + 2) * 500ms);
    }
    const u64 burst = per_second / 20 + 130;
    INFO("rate " << per_second << ", calls " << calls);
    CHECK(calls >= 10 * per_second - std::min(10 * per_second, u64{65}));
    CHECK(calls <= 10 * per_second + burst);
  }
}

TEST_CASE("call rate: a quiet hour is no credit, and a damaged word stops nobody") {
  const auto account = std::make_unique<VmAccount>();
  CallRate rate(*account);
  std::chrono::nanoseconds now = 1h;
  read_until(rate, 100, now, now + 1s);
  now += 1h;
  CHECK(read_until(rate, 100, now, now + 1s) <= 106);
  account->next_call = ~u64{0};
  CHECK(read_until(rate, 100, now, now + 1s) >= 99);
}
