#include <catch2/catch.hpp>
#include <chrono>

#include "fake_executor.hpp"
#include "shim/session.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;
using vgpu::protocol::shared;
using Clock = std::chrono::steady_clock;

TEST_CASE("a thread sleeps on its slot and is woken by the answer") {
  Session session;
  session.executor.on<call::cuCtxSynchronize>([](const Record&) { return Answer{CUDA_SUCCESS, {}, true}; });
  CUresult result = CUDA_ERROR_UNKNOWN;
  std::thread waiter([&] {
    REQUIRE(cuCtxSetCurrent(session.context) == CUDA_SUCCESS);
    result = cuCtxSynchronize();
  });
  std::vector<Record> records;
  while (records.empty()) records = session.executor.records_of<call::cuCtxSynchronize>();
  vgpu_slot& slot = session.executor.slot(records[0].header.slot);
  while (shared(slot.sleeping).load() == 0) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto start = Clock::now();
  session.executor.answer(records[0], {CUDA_ERROR_LAUNCH_TIMEOUT, {}, false});
  waiter.join();
  CHECK(result == CUDA_ERROR_LAUNCH_TIMEOUT);
  CHECK(Clock::now() - start < std::chrono::milliseconds(500));
}

TEST_CASE("a waiting thread holds up no other") {
  Session session;
  session.executor.on<call::cuStreamSynchronize>([](const Record&) { return Answer{CUDA_SUCCESS, {}, true}; });
  std::thread waiter([&] {
    REQUIRE(cuCtxSetCurrent(session.context) == CUDA_SUCCESS);
    CHECK(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
  });
  std::vector<Record> records;
  while (records.empty()) records = session.executor.records_of<call::cuStreamSynchronize>();
  size_t free = 0;
  size_t total = 0;
  CHECK(cuMemGetInfo(&free, &total) == CUDA_SUCCESS);
  session.executor.answer(records[0], {});
  waiter.join();
}

TEST_CASE("a full ring is waited for, and nothing is lost or reordered") {
  Session session;
  CUevent event = nullptr;
  REQUIRE(cuEventCreate(&event, 0) == CUDA_SUCCESS);
  session.executor.forget_records();
  session.executor.pause(true);
  CUdeviceptr at = 4096;
  std::atomic<bool> done{false};
  constexpr u64 kRecords = VGPU_RING_BYTES / 64 + 3000;
  std::thread writer([&] {
    REQUIRE(cuCtxSetCurrent(session.context) == CUDA_SUCCESS);
    for (u64 i = 0; i < kRecords; ++i) REQUIRE(cuMemsetD8Async(at, 1, i + 1, nullptr) == CUDA_SUCCESS);
    done = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  CHECK_FALSE(done);
  CHECK(shared(session.executor.control().ring_full_waits).load() == 1);
  session.executor.pause(false);
  writer.join();
  const auto records = session.executor.records_of<call::cuMemsetD8Async>();
  REQUIRE(records.size() == kRecords);
  for (u64 i = 0; i < kRecords; ++i)
    if (records[i].as<call::cuMemsetD8Async>().count != i + 1) FAIL("record " << i << " is out of order");
}

TEST_CASE("a full ring whose reader is gone ends the calls") {
  Session session;
  session.executor.pause(true);
  // The reader may be in the middle of one more record.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  session.executor.set_alive(false);
  CUresult result = CUDA_SUCCESS;
  for (u64 i = 0; i < 2 * VGPU_RING_BYTES / 64 && result == CUDA_SUCCESS; ++i)
    result = cuMemsetD8Async(4096, 1, 16, nullptr);
  CHECK(result == CUDA_ERROR_DEVICE_UNAVAILABLE);
}

TEST_CASE("the doorbell rings only for an executor that sleeps") {
  Session session;
  while (shared(session.executor.control().executor_sleeping).load() == 0) std::this_thread::yield();
  const u64 before = session.executor.doorbells();
  CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
  CHECK(session.executor.doorbells() == before + 1);
  session.executor.pause(true);
  while (shared(session.executor.control().executor_sleeping).load() == 0) std::this_thread::yield();
  CHECK(cuMemsetD8Async(4096, 1, 16, nullptr) == CUDA_SUCCESS);
  const u64 rung = session.executor.doorbells();
  for (int i = 0; i < 100; ++i) CHECK(cuMemsetD8Async(4096, 1, 16, nullptr) == CUDA_SUCCESS);
  CHECK(session.executor.doorbells() == rung);
}

TEST_CASE("with all slots taken, a call waits for one") {
  Session session;
  Channel& channel = *state().channel;
  std::vector<u32> owned;
  std::vector<u32> borrowed;
  for (u32 slot = channel.owned_slots().take(); slot != NumberPool::kNone; slot = channel.owned_slots().take())
    owned.push_back(slot);
  for (u32 slot = channel.borrowed_slots().take(); slot != NumberPool::kNone; slot = channel.borrowed_slots().take())
    borrowed.push_back(slot);
  std::atomic<bool> done{false};
  std::thread late([&] {
    REQUIRE(cuCtxSetCurrent(session.context) == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    done = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK_FALSE(done);
  channel.borrowed_slots().give(borrowed.back());
  borrowed.pop_back();
  late.join();
  CHECK(done);
  // It gave the borrowed one back.
  const u32 returned = channel.borrowed_slots().take();
  CHECK(returned != NumberPool::kNone);
  channel.borrowed_slots().give(returned);
  for (const u32 slot : owned) channel.owned_slots().give(slot);
  for (const u32 slot : borrowed) channel.borrowed_slots().give(slot);
}

TEST_CASE("slots of threads that ended are used again") {
  Session session;
  for (int i = 0; i < 1200; ++i)
    std::thread([&] {
      REQUIRE(cuCtxSetCurrent(session.context) == CUDA_SUCCESS);
      REQUIRE(cuCtxSynchronize() == CUDA_SUCCESS);
    }).join();
  CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
}

TEST_CASE("many threads call at once") {
  Session session;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      if (cuCtxSetCurrent(session.context) != CUDA_SUCCESS) ++wrong;
      for (int i = 0; i < 300; ++i) {
        CUdeviceptr pointer = 0;
        int value = t * 1000 + i;
        int back = -1;
        if (cuMemAlloc(&pointer, sizeof value) != CUDA_SUCCESS) ++wrong;
        if (cuMemcpyHtoD(pointer, &value, sizeof value) != CUDA_SUCCESS) ++wrong;
        if (cuMemcpyDtoH(&back, pointer, sizeof back) != CUDA_SUCCESS || back != value) ++wrong;
        if (cuMemFree(pointer) != CUDA_SUCCESS) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("a pool of numbers gives each to one taker") {
  NumberPool pool;
  pool.fill(10, 3);
  CHECK(pool.take() == 10);
  CHECK(pool.take() == 11);
  CHECK(pool.take() == 12);
  CHECK(pool.take() == NumberPool::kNone);
  CHECK(pool.wait([] { return false; }) == NumberPool::kNone);
  pool.give(11);
  CHECK(pool.take() == 11);
}
