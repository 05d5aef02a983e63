#include "actors/metrics_store.hpp"

#include <prometheus/text_serializer.h>
#include <sys/mman.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <limits>
#include <sstream>
#include <thread>

#include "common/cuda_names.hpp"

using namespace vgpu;
using namespace vgpu::daemon;
using protocol::SessionStats;

namespace {

/// A session whose counters the test writes, as its executor would.
struct Session {
  SessionRecordPtr record = std::make_shared<SessionRecord>();
  SessionStats* stats = nullptr;
  Session(std::uint32_t number, std::uint32_t vm, const std::string& pool) {
    std::string error;
    auto memory = SessionMemory::create(std::uint64_t{66} << 20, number, vm, 0, error);
    INFO(error);
    REQUIRE(memory != nullptr);
    stats = static_cast<SessionStats*>(
        ::mmap(nullptr, sizeof(SessionStats), PROT_READ | PROT_WRITE, MAP_SHARED, memory->stats_fd(), 0));
    record->session = number;
    record->vm = vm;
    record->pool = pool;
    record->memory = memory;
  }
  ~Session() { ::munmap(stats, sizeof(SessionStats)); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
};

/// The value of the series that is spelt so, or -1.
double value(const MetricsStore& store, const std::string& series) {
  std::istringstream stream(prometheus::TextSerializer().Serialize(store.Collect()));
  for (std::string line; std::getline(stream, line);)
    if (line.starts_with(series + " ")) return std::stod(line.substr(series.size() + 1));
  return -1;
}

}  // namespace

TEST_CASE("Declared series are there with 0, and the build info is 1") {
  MetricsStore store;
  store.declare(0, "A");
  store.declare(7, "B");
  CHECK(value(store, "vgpu_sessions{vm=\"0\",pool=\"A\"}") == 0);
  CHECK(value(store, "vgpu_calls_processed_total{vm=\"7\",pool=\"B\"}") == 0);
  CHECK(value(store, "vgpu_copied_bytes_total{vm=\"7\",pool=\"B\",direction=\"device_to_host\"}") == 0);
  CHECK(value(store, "vgpu_sessions{vm=\"9\",pool=\"B\"}") == -1);
  const std::string text = prometheus::TextSerializer().Serialize(store.Collect());
  CHECK_THAT(text, Catch::Contains("vgpu_build_info{version=\""));
}

TEST_CASE("GPU time, memory over time and waits for leases are summed over sessions, and shown") {
  MetricsStore store;
  const std::string labels = "{vm=\"111\",pool=\"A\"}";
  Session first(1, 111, "A"), second(2, 111, "A");
  store.opened(first.record);
  store.opened(second.record);
  first.stats->gpu_nanoseconds = 1'500'000'000;
  first.stats->memory_used_bytes = 1000;
  second.stats->memory_used_bytes = 24;
  first.record->waits.note(std::chrono::microseconds(50));
  first.record->waits.note(std::chrono::milliseconds(3));
  second.record->waits.note(std::chrono::seconds(11));
  store.sample(std::chrono::seconds(2));
  store.closed(first.record);
  store.sample(std::chrono::seconds(1));
  CHECK(value(store, "vgpu_gpu_seconds_total" + labels) == 1.5);
  CHECK(value(store, "vgpu_memory_byte_seconds_total" + labels) == 2048 + 24);
  CHECK(value(store, "vgpu_lease_wait_seconds_count" + labels) == 3);
  CHECK(value(store, "vgpu_lease_wait_seconds_sum" + labels) == Approx(11.00305));
  const auto bucket = [&](const char* bound) {
    return value(store, "vgpu_lease_wait_seconds_bucket{vm=\"111\",pool=\"A\",le=\"" + std::string(bound) + "\"}");
  };
  CHECK(bucket("0.0001") == 1);
  CHECK(bucket("0.0025") == 1);
  CHECK(bucket("0.005") == 2);
  CHECK(bucket("10") == 2);
  CHECK(bucket("+Inf") == 3);
  REQUIRE(store.accounts().size() == 1);
  CHECK(store.accounts()[0].totals.gpu_nanoseconds == 1'500'000'000);
}

TEST_CASE("Counters are read while a session lives, and stay when it ends") {
  MetricsStore store;
  const std::string labels = "{vm=\"111\",pool=\"A\"}";
  Session first(1, 111, "A"), second(2, 111, "A");
  store.opened(first.record);
  store.opened(second.record);
  first.stats->calls_processed = 10;
  first.stats->kernels_launched = 3;
  first.stats->copied_bytes[SessionStats::host_to_device] = 4096;
  first.stats->calls_by_name[2] = 10;
  first.stats->unsupported_by_name[0] = 5;
  first.stats->memory_used_bytes = 1000;
  first.record->doorbells = 4;
  second.stats->calls_processed = 100;
  second.stats->memory_used_bytes = 10;
  const std::string call =
      "vgpu_calls_by_name_total{pool=\"A\",call=\"" + std::string(protocol::kCalls[2].name) + "\"}";
  const std::string unsupported = "vgpu_unsupported_calls_total{call=\"" + std::string(cuda_names()[0]) + "\"}";
  CHECK(value(store, "vgpu_sessions" + labels) == 2);
  CHECK(value(store, "vgpu_memory_used_bytes" + labels) == 1010);
  const auto check_totals = [&] {
    CHECK(value(store, "vgpu_calls_processed_total" + labels) == 110);
    CHECK(value(store, "vgpu_kernels_launched_total" + labels) == 3);
    CHECK(value(store, "vgpu_doorbells_total" + labels) == 4);
    CHECK(value(store, "vgpu_copied_bytes_total{vm=\"111\",pool=\"A\",direction=\"host_to_device\"}") == 4096);
    CHECK(value(store, call) == 10);
    CHECK(value(store, unsupported) == 5);
  };
  check_totals();
  const Totals ended = store.closed(first.record);
  CHECK(ended.calls == 10);
  CHECK(ended.doorbells == 4);
  check_totals();
  CHECK(value(store, "vgpu_sessions" + labels) == 1);
  CHECK(value(store, "vgpu_memory_used_bytes" + labels) == 10);
  CHECK(store.closed(first.record).calls == 0);  // a second time adds nothing
  store.closed(second.record);
  check_totals();
  CHECK(value(store, "vgpu_sessions" + labels) == 0);
  CHECK(value(store, "vgpu_memory_used_bytes" + labels) == 0);
}

TEST_CASE("What limits refuse and delay is counted by VM, pool and limit") {
  MetricsStore store;
  Session session(1, 7, "A");
  store.opened(session.record);
  session.stats->refused[static_cast<std::size_t>(protocol::Limit::memory)] = 3;
  session.stats->refused[static_cast<std::size_t>(protocol::Limit::arena)] = 2;
  session.stats->calls_delayed = 9;
  store.session_refused(7, "A");
  const auto check = [&] {
    CHECK(value(store, "vgpu_limit_refusals_total{vm=\"7\",pool=\"A\",limit=\"memory\"}") == 3);
    CHECK(value(store, "vgpu_limit_refusals_total{vm=\"7\",pool=\"A\",limit=\"arena\"}") == 2);
    CHECK(value(store, "vgpu_limit_refusals_total{vm=\"7\",pool=\"A\",limit=\"streams\"}") == 0);
    CHECK(value(store, "vgpu_limit_refusals_total{vm=\"7\",pool=\"A\",limit=\"sessions\"}") == 1);
    CHECK(value(store, "vgpu_calls_delayed_total{vm=\"7\",pool=\"A\"}") == 9);
  };
  check();
  store.closed(session.record);
  check();
}

TEST_CASE("A damaged counter does not set a total back") {
  MetricsStore store;
  Session session(1, 1, "A");
  store.opened(session.record);
  session.stats->calls_processed = 50;
  CHECK(value(store, "vgpu_calls_processed_total{vm=\"1\",pool=\"A\"}") == 50);
  session.stats->calls_processed = 0;
  CHECK(value(store, "vgpu_calls_processed_total{vm=\"1\",pool=\"A\"}") == 50);
  store.closed(session.record);
  CHECK(value(store, "vgpu_calls_processed_total{vm=\"1\",pool=\"A\"}") == 50);
}

TEST_CASE("Totals never go backwards while sessions come, count and go") {
  MetricsStore store;
  store.declare(1, "A");
  std::atomic<bool> stop{false};
  std::thread churn([&] {
    for (std::uint32_t i = 1; i <= 60; ++i) {
      Session session(i, 1, "A");
      store.opened(session.record);
      for (int call = 0; call < 50; ++call) session.stats->calls_processed.fetch_add(1);
      store.closed(session.record);
    }
    stop = true;
  });
  double last = 0;
  bool monotone = true;
  while (!stop) {
    const double now = value(store, "vgpu_calls_processed_total{vm=\"1\",pool=\"A\"}");
    monotone = monotone && now >= last;
    last = now;
  }
  churn.join();
  CHECK(monotone);
  CHECK(value(store, "vgpu_calls_processed_total{vm=\"1\",pool=\"A\"}") == 3000);
}

TEST_CASE("Faults and refusals are counted by reason") {
  MetricsStore store;
  store.fault(2, "B", VGPU_END_BAD_CHECK);
  store.fault(2, "B", VGPU_END_BAD_CHECK);
  store.refused(VGPU_END_VERSION);
  CHECK(value(store, "vgpu_faults_total{vm=\"2\",pool=\"B\",reason=\"bad_check\"}") == 2);
  CHECK(value(store, "vgpu_connections_refused_total{reason=\"version\"}") == 1);
}

TEST_CASE("Freely chosen VM ids do not make series without end") {
  MetricsStore store;
  for (std::uint32_t vm = 0; vm < 5000; ++vm) store.declare(vm, "A");
  Session session(1, 4999, "A");
  session.stats->calls_processed = 5;
  store.opened(session.record);
  CHECK(value(store, "vgpu_calls_processed_total{vm=\"other\",pool=\"A\"}") == 5);
  CHECK(value(store, "vgpu_calls_processed_total{vm=\"4999\",pool=\"A\"}") == -1);
}

TEST_CASE("What a session held between samples counts when it ends") {
  MetricsStore store;
  Session session(1, 7, "A");
  store.opened(session.record);
  const auto now = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  session.stats->memory_byte_seconds = 500;
  session.stats->memory_changed = now;
  const double sum = store.closed(session.record).memory_byte_seconds;
  CHECK(sum == 500);
  CHECK(value(store, "vgpu_memory_byte_seconds_total{vm=\"7\",pool=\"A\"}") == 500);
  Session broken(2, 7, "A");
  store.opened(broken.record);
  broken.stats->memory_byte_seconds = std::numeric_limits<double>::infinity();
  broken.stats->memory_changed = now;
  CHECK(store.closed(broken.record).memory_byte_seconds == 0);
}
