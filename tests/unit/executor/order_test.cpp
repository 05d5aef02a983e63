// Who waits for whom: parked and blocking calls, host functions, errors that nobody waited for, leases.
#include <catch2/catch.hpp>
#include <set>

#include "guest.hpp"
#include "protocol/payload.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

/// Work on a held stream, so that it is busy until it is released.
CUstream busy_stream(FakeCuda& cuda, Guest& guest, StreamHandle stream, u64 device) {
  guest.settle();
  const CUstream native = cuda.last_stream();
  cuda.hold(native);
  guest.publish<call::cuMemsetD8Async>({Pointer{device}, 16, stream, 1, 0});
  guest.settle();
  return native;
}

}  // namespace

TEST_CASE("a wait for one stream delays nobody else") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const auto stream = guest.make_stream(1);
  const CUstream native = busy_stream(cuda, guest, stream, device);

  guest.publish<call::cuStreamSynchronize>({stream}, 5);
  const u32 ticket = guest.ticket();
  CHECK_FALSE(guest.wait(5, ticket, 1ms));
  // Short waits are polled, long ones handed on: others are served all the time.
  for (int i = 0; i < 20; ++i) {
    CHECK(guest.call<call::cuMemGetInfo>({0}) == CUDA_SUCCESS);
    CHECK(guest.call<call::cuStreamSynchronize>({StreamHandle{0}}) == CUDA_SUCCESS);
    CHECK(guest.allocate(16) != 0);
    std::this_thread::sleep_for(1ms);
  }
  CHECK_FALSE(guest.wait(5, ticket, 1ms));
  // A worker has it; another may wait for all contexts, as the ring is empty.
  CHECK(guest.session->workers.outstanding() >= 1);
  cuda.release(native);
  CHECK(guest.wait(5, ticket));
  CHECK(guest.region.slots()[5].result == CUDA_SUCCESS);
}

TEST_CASE("a short wait is answered without a worker") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  for (int i = 0; i < 100; ++i) CHECK(guest.call<call::cuStreamSynchronize>({StreamHandle{0}}) == CUDA_SUCCESS);
  // The events of the waits are used again.
  CHECK(cuda.events_alive() == 1);
}

TEST_CASE("a wait for the guest's own event, short and long") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const auto stream = guest.make_stream(1);
  const auto event = EventHandle::make(1, 1);
  guest.publish<call::cuEventCreate>({event, 0, 0});
  const CUstream native = busy_stream(cuda, guest, stream, device);
  guest.publish<call::cuEventRecordWithFlags>({event, stream, 0, 0});
  guest.publish<call::cuEventSynchronize>({event}, 6);
  CHECK_FALSE(guest.wait(6, guest.ticket(), 20ms));
  const u32 ticket = guest.ticket();
  CHECK(guest.call<call::cuEventQuery>({event}) == CUDA_ERROR_NOT_READY);
  cuda.release(native);
  CHECK(guest.wait(6, ticket));
}

TEST_CASE("an asynchronous copy answers its slot when the copy is done") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const auto stream = guest.make_stream(1);
  const CUstream native = busy_stream(cuda, guest, stream, device);
  guest.publish<call::cuMemcpyHtoDAsync>({Pointer{device}, stream, Offset{VGPU_STAGING_OFFSET}, 100}, 9);
  const u32 ticket = guest.ticket();
  CHECK_FALSE(guest.wait(9, ticket, 20ms));
  cuda.release(native);
  CHECK(guest.wait(9, ticket));
  CHECK(guest.call<call::cuMemcpyHtoDAsync>({Pointer{1}, stream, Offset{VGPU_STAGING_OFFSET}, 100}, nullptr, {}, 9) ==
        CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("a wait that the driver refuses is answered with its error") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  cuda.fail("cuEventRecord", CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(guest.call<call::cuStreamSynchronize>({StreamHandle{0}}) == CUDA_ERROR_ILLEGAL_ADDRESS);
  cuda.fail("cuEventRecord", CUDA_SUCCESS);
  cuda.fail("cuEventQuery", CUDA_ERROR_LAUNCH_FAILED);
  CHECK(guest.call<call::cuStreamSynchronize>({StreamHandle{0}}) == CUDA_ERROR_LAUNCH_FAILED);
  // The daemon hears of the first one.
  const auto fault = guest.event(ExecutorEvent::Type::fault);
  REQUIRE(fault);
  CHECK(fault->result == CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(std::string(fault->text.data()).find("call=cuStreamSynchronize") != std::string::npos);
  CHECK(guest.state() != VGPU_STATE_ENDED);
}

TEST_CASE("an event that died with its context is no wait without end") {
  FakeCuda cuda;
  Guest guest(cuda);
  REQUIRE(guest.call<call::cuCtxCreate>({ContextHandle::make(2, 1), 0, 0}) == CUDA_SUCCESS);
  guest.context = 2;
  const u64 device = guest.allocate(4096);
  const auto stream = guest.make_stream(1);
  const CUstream native = busy_stream(cuda, guest, stream, device);
  guest.publish<call::cuStreamSynchronize>({stream}, 5);
  const u32 ticket = guest.ticket();
  CHECK(guest.call<call::cuCtxDestroy>({ContextHandle::make(2, 1)}) == CUDA_SUCCESS);
  cuda.release(native);
  CHECK(guest.wait(5, ticket));
}

TEST_CASE("blocking calls run side by side") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const auto stream = guest.make_stream(1);
  const CUstream native = busy_stream(cuda, guest, stream, device);
  std::vector<u32> tickets;
  for (u32 slot = 10; slot < 20; ++slot) {
    guest.publish<call::cuCtxSynchronize>({0}, slot);
    tickets.push_back(guest.ticket());
  }
  CHECK(guest.allocate(64) != 0);
  for (u32 slot = 10; slot < 20; ++slot) CHECK_FALSE(guest.wait(slot, tickets[slot - 10], 1ms));
  cuda.release(native);
  for (u32 slot = 10; slot < 20; ++slot) CHECK(guest.wait(slot, tickets[slot - 10]));
}

TEST_CASE("a host function runs in the guest, in stream order") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const auto stream = guest.make_stream(1);
  const bool asked_before = GENERATE(true, false);
  const auto ask = [&] {
    guest.publish<call::vgpuServeHostFunctions>({0}, 30);
    return guest.ticket();
  };
  u32 asked = asked_before ? ask() : 0;
  guest.publish<call::cuLaunchHostFunc>({stream, 77});
  guest.publish<call::cuStreamSynchronize>({stream}, 31);
  const u32 synchronized = guest.ticket();
  if (!asked_before) {
    guest.settle();
    asked = ask();
  }
  REQUIRE(guest.wait(30, asked));
  call::vgpuServeHostFunctions::Reply due;
  std::memcpy(&due, guest.region.slots()[30].reply, sizeof due);
  CHECK(due.id == 77);
  CHECK_FALSE(guest.wait(31, synchronized, 20ms));
  shared(guest.control->host_functions_done).store(asked);
  CHECK(guest.wait(31, synchronized));

  // The next one comes by itself, as the answer that follows.
  guest.publish<call::cuLaunchHostFunc>({stream, 78});
  REQUIRE(guest.wait(30, next_ticket(asked)));
  std::memcpy(&due, guest.region.slots()[30].reply, sizeof due);
  CHECK(due.id == 78);
  CHECK(guest.call<call::vgpuServeHostFunctions>({0}) == CUDA_ERROR_INVALID_VALUE);  // one thread serves already
}

// The driver does so at times, with calls that have nothing to do with the function's stream.
TEST_CASE("host functions run while the driver holds the reader back until they have run") {
  FakeCuda cuda;
  static std::vector<std::thread> streams;
  static std::atomic<int> finished;
  finished = 0;
  executor::Driver driver = cuda.driver();
  driver.cuLaunchHostFunc = [](CUstream, CUhostFn function, void* data) {
    streams.emplace_back([=] {
      function(data);
      ++finished;
      finished.notify_all();
    });
    return CUDA_SUCCESS;
  };
  driver.cuMemGetInfo_v2 = [](size_t* free, size_t* total) {
    *free = *total = 1;
    for (int now = finished; now != 3; now = finished) finished.wait(now);
    return CUDA_SUCCESS;
  };
  {
    Guest guest(driver);
    guest.make_context();
    guest.publish<call::vgpuServeHostFunctions>({0}, 30);
    u32 ticket = guest.ticket();
    for (const u64 id : {1, 2, 3}) guest.publish<call::cuLaunchHostFunc>({{0}, id});
    guest.publish<call::cuMemGetInfo>({0}, 31);
    const u32 held_back = guest.ticket();
    std::set<u64> ran;
    for (int i = 0; i < 3; ++i) {
      REQUIRE(guest.wait(30, ticket));
      call::vgpuServeHostFunctions::Reply due;
      std::memcpy(&due, guest.region.slots()[30].reply, sizeof due);
      ran.insert(due.id);
      CHECK_FALSE(guest.wait(31, held_back, 1ms));
      shared(guest.control->host_functions_done).store(ticket);
      ticket = next_ticket(ticket);
    }
    CHECK(ran == std::set<u64>{1, 2, 3});
    CHECK(guest.wait(31, held_back));
  }
  for (std::thread& stream : streams) stream.join();
  streams.clear();
}

TEST_CASE("a stream callback brings the stream's status") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  guest.publish<call::vgpuServeHostFunctions>({0}, 30);
  const u32 asked = guest.ticket();
  guest.publish<call::cuStreamAddCallback>({{0}, 5});
  REQUIRE(guest.wait(30, asked));
  call::vgpuServeHostFunctions::Reply due;
  std::memcpy(&due, guest.region.slots()[30].reply, sizeof due);
  CHECK(due.id == 5);
  CHECK(due.status == CUDA_SUCCESS);
}

TEST_CASE("a host function that the guest never runs does not keep the session") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  guest.publish<call::cuLaunchHostFunc>({{0}, 1});
  guest.settle();
  guest.stop();
}

TEST_CASE("the first error that nobody waited for is kept until it is taken") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  cuda.fail("cuMemsetD8Async", CUDA_ERROR_INVALID_VALUE);
  cuda.fail("cuMemsetD16Async", CUDA_ERROR_NOT_PERMITTED);
  guest.publish<call::cuMemsetD8Async>({Pointer{16}, 16, {0}, 1, 0});
  guest.publish<call::cuMemsetD16Async>({Pointer{16}, 16, {0}, 1, 0});
  guest.settle();
  CHECK(shared(guest.control->async_error).exchange(0) == CUDA_ERROR_INVALID_VALUE);
  guest.settle();
  CHECK(shared(guest.control->async_error).load() == 0);
  guest.publish<call::cuMemsetD16Async>({Pointer{16}, 16, {0}, 1, 0});
  guest.settle();
  CHECK(shared(guest.control->async_error).load() == CUDA_ERROR_NOT_PERMITTED);
}

TEST_CASE("a sleeping guest thread is woken, one that looks is not") {
  FakeCuda cuda;
  Guest guest(cuda);
  CHECK(guest.call<call::vgpuBye>({0}, nullptr, {}, 3) == CUDA_SUCCESS);
  CHECK(guest.waker.woken.load() == 0);
  std::atomic_ref(guest.region.slots()[3].sleeping).store(1);
  CHECK(guest.call<call::vgpuBye>({0}, nullptr, {}, 3) == CUDA_SUCCESS);
  for (int i = 0; i < 1000 && guest.waker.woken.load() == 0; ++i) std::this_thread::sleep_for(1ms);
  CHECK(guest.waker.woken.load() == 1);
}

TEST_CASE("nothing is read without a lease") {
  FakeCuda cuda;
  Guest guest(cuda, {}, false);
  std::this_thread::sleep_for(10ms);
  guest.publish<call::vgpuBye>({0}, 0);
  const u32 ticket = guest.ticket();
  CHECK_FALSE(guest.wait(0, ticket, 50ms));
  guest.send(ExecutorCommand::Type::run);
  CHECK(guest.wait(0, ticket));
}

TEST_CASE("an idle executor gives its lease back, and a doorbell brings it again") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  for (int i = 0; i < 5; ++i) {
    const auto idle = guest.event();
    REQUIRE(idle);
    CHECK(idle->type == ExecutorEvent::Type::idle);
    CHECK(idle->busy_nanoseconds < 10'000'000'000);
    CHECK(std::atomic_ref(guest.control->executor_sleeping).load() == 1);
    CHECK(guest.call<call::cuMemGetInfo>({0}) == CUDA_SUCCESS);
  }
  CHECK(guest.stats->sleeps.load() >= 5);
}

TEST_CASE("the lease is kept until the GPU is drained") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const auto stream = guest.make_stream(1);
  const CUstream native = busy_stream(cuda, guest, stream, device);
  while (guest.event(50ms)) {
  }
  // Asleep, but not idle: the ring is served all the same.
  CHECK(guest.call<call::cuMemGetInfo>({0}) == CUDA_SUCCESS);
  CHECK_FALSE(guest.event(50ms));
  cuda.release(native);
  const auto idle = guest.event();
  REQUIRE(idle);
  CHECK(idle->type == ExecutorEvent::Type::idle);
}

namespace {

/// A lease that can't end before the stream that comes back is released.
CUstream hold_lease(FakeCuda& cuda, Guest& guest) {
  guest.make_context();
  while (guest.event(100ms)) {
  }
  guest.send(ExecutorCommand::Type::run);
  const u64 device = guest.allocate(4096);
  const auto stream = guest.make_stream(1);
  const CUstream native = busy_stream(cuda, guest, stream, device);
  // Leases that ended before the stream was busy; this one can't.
  while (guest.event(50ms)) {
  }
  return native;
}

}  // namespace

TEST_CASE("a lease is given up when the daemon says so, whatever lies in the ring") {
  FakeCuda cuda;
  Guest guest(cuda);
  const CUstream native = hold_lease(cuda, guest);
  guest.send(ExecutorCommand::Type::yield);
  std::this_thread::sleep_for(30ms);
  guest.rings = false;
  guest.publish<call::vgpuBye>({0}, 0);
  const u32 ticket = guest.ticket();
  cuda.release(native);
  const auto idle = guest.event(ExecutorEvent::Type::idle);
  REQUIRE(idle);
  CHECK(idle->pending == 1);
  CHECK_FALSE(guest.wait(0, ticket, 20ms));
  guest.send(ExecutorCommand::Type::run);
  CHECK(guest.wait(0, ticket));
}

TEST_CASE("what a lease can't be drained for may be in the ring: it is read when the drain takes long") {
  FakeCuda cuda;
  Guest guest(cuda);
  const CUstream native = hold_lease(cuda, guest);
  guest.send(ExecutorCommand::Type::yield);
  guest.publish<call::vgpuBye>({0}, 0);
  CHECK(guest.wait(0, guest.ticket()));
  CHECK_FALSE(guest.event(20ms));
  cuda.release(native);
  CHECK(guest.event(ExecutorEvent::Type::idle));
}

TEST_CASE("a host function ends even while the lease is given up") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  guest.publish<call::vgpuServeHostFunctions>({0}, 30);
  const u32 asked = guest.ticket();
  guest.publish<call::cuLaunchHostFunc>({{0}, 1});
  REQUIRE(guest.wait(30, asked));
  guest.send(ExecutorCommand::Type::yield);
  std::this_thread::sleep_for(20ms);
  shared(guest.control->host_functions_done).store(asked);
  CHECK(guest.event(ExecutorEvent::Type::idle));
}

TEST_CASE("a lease is given up while a function of the guest runs, which may take as long as it likes") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  while (guest.event(50ms)) {
  }
  guest.publish<call::vgpuServeHostFunctions>({0}, 30);
  const u32 asked = guest.ticket();
  guest.send(ExecutorCommand::Type::run, 1);
  guest.publish<call::cuLaunchHostFunc>({{0}, 1});
  REQUIRE(guest.wait(30, asked));
  CHECK(guest.event(ExecutorEvent::Type::idle));
  // The next lease reads on: the function may wait for what the guest asks next.
  guest.send(ExecutorCommand::Type::run);
  CHECK(guest.call<call::cuMemGetInfo>({0}) == CUDA_SUCCESS);
  shared(guest.control->host_functions_done).store(asked);
}

namespace {

/// Publishes 500 short operations behind a stream's unfinished work; returns how many of them were submitted before
/// that ends, after which all must be.
unsigned submitted_behind_unfinished_work(FakeCuda& cuda, Guest& guest) {
  guest.send(ExecutorCommand::Type::run);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const auto stream = guest.make_stream(1);
  const CUstream native = busy_stream(cuda, guest, stream, device);
  const unsigned before = cuda.calls("cuMemsetD8Async");
  constexpr unsigned kMany = 500;
  for (unsigned i = 0; i < kMany; ++i) guest.publish<call::cuMemsetD8Async>({Pointer{device}, 64, stream, 1, 0});
  while (guest.stats->calls_processed.load() == 0) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(50ms);
  const unsigned submitted = cuda.calls("cuMemsetD8Async") - before;
  cuda.release(native);
  CHECK(guest.call<call::cuMemGetInfo>({0}) == CUDA_SUCCESS);
  CHECK(cuda.calls("cuMemsetD8Async") - before == kMany);
  return submitted;
}

}  // namespace

TEST_CASE("beside neighbours no more is submitted than a bound on unfinished work allows") {
  FakeCuda cuda;
  Guest guest(cuda, {}, false);
  guest.backlog_microseconds = 1000;
  CHECK(submitted_behind_unfinished_work(cuda, guest) < 500);
}

TEST_CASE("a session has no more work under way than its VM may, also where it is alone") {
  FakeCuda cuda;
  const auto account = std::make_unique<VmAccount>();
  account->in_flight = 8;
  account->slots_used = 1;
  executor::SessionConfig config;
  config.account = {account.get(), 0};
  Guest guest(cuda, config, false);
  const unsigned submitted = submitted_behind_unfinished_work(cuda, guest);
  CHECK(submitted >= 1);
  CHECK(submitted <= 32);  // 8, and one each 10 ms where this machine was so slow that patience ran out
}

TEST_CASE("a lease ends by itself when its time is over") {
  FakeCuda cuda;
  // It would spin on an empty ring for longer than the test lasts.
  Guest guest(cuda.driver(), {}, false, kPatience);
  const auto start = std::chrono::steady_clock::now();
  guest.send(ExecutorCommand::Type::run, 20'000);
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) guest.publish<call::cuCtxResetPersistingL2Cache>({0});
  });
  const auto idle = guest.event();
  const auto lasted = std::chrono::steady_clock::now() - start;
  stop = true;
  guest.send(ExecutorCommand::Type::run);
  busy.join();
  REQUIRE(idle);
  CHECK(idle->type == ExecutorEvent::Type::idle);
  CHECK(lasted >= 20ms);
  CHECK(idle->busy_nanoseconds > 0);
  CHECK(std::chrono::nanoseconds(idle->busy_nanoseconds) <= lasted);
}

TEST_CASE("a stop reads what is in the ring and does not wait for the GPU") {
  FakeCuda cuda;
  Guest guest(cuda, {}, false);
  guest.publish<call::vgpuUnsupported>({0}, VGPU_NO_SLOT, bytes_of("cuGraphCreate"));
  guest.stop();
  CHECK(guest.stats->calls_processed.load() == 1);
}

TEST_CASE("without its daemon a session ends") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.settle();
  shutdown(guest.daemon_fd, SHUT_RDWR);
  guest.join();
  CHECK(guest.state() == VGPU_STATE_ENDED);
  CHECK(guest.reason() == VGPU_END_DAEMON_STOPPED);
}
