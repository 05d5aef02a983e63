#include <catch2/catch.hpp>

#include "fake_executor.hpp"
#include "shim/objects.hpp"
#include "shim/session.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

TEST_CASE("a handle is good until it is released, and never again") {
  StreamTable table;
  const auto first = table.mint();
  REQUIRE(first.object);
  const u64 value = first.handle.value;
  CHECK(table.find(value) == first.object);
  CHECK(table.release(value));
  CHECK(table.find(value) == nullptr);
  CHECK_FALSE(table.release(value));
  const auto second = table.mint();
  CHECK(second.handle.index() == first.handle.index());
  CHECK(second.handle.value != value);
  CHECK(table.find(value) == nullptr);
  CHECK(table.find(second.handle.value) == second.object);
}

TEST_CASE("numbers that are no handles are told apart without being followed") {
  StreamTable table;
  const auto minted = table.mint();
  const u64 value = minted.handle.value;
  for (const u64 wrong : {u64{0}, u64{1}, u64{2}, u64{3}, ~u64{0}, value + 1, value ^ (u64{1} << 24),
                          value ^ (u64{1} << 45), value ^ (u64{1} << 63), value | 0xfffff8,
                          (value & ~(u64{15} << 40)) | u64{3} << 40, reinterpret_cast<u64>(&table)})
    CHECK(table.find(wrong) == nullptr);
}

TEST_CASE("a handle is aligned as a pointer is: programs mark the low bits of their own") {
  StreamTable table;
  for (int i = 0; i < 100; ++i) CHECK(table.mint().handle.value % 8 == 0);
}

TEST_CASE("no more handles than the executor takes") {
  ContextTable table;
  std::vector<u64> all;
  for (;;) {
    const auto minted = table.mint();
    if (!minted.object) break;
    all.push_back(minted.handle.value);
  }
  CHECK(all.size() == vgpu::protocol::handle_limit(vgpu::protocol::Kind::context));
  CHECK(table.release(all[5]));
  CHECK(table.mint().object);
  CHECK_FALSE(table.mint().object);
  CHECK(table.release(all[6], false));
  CHECK_FALSE(table.mint().object);
}

TEST_CASE("each call refuses handles of another kind, stale ones and addresses") {
  Session session;
  CUstream stream = nullptr;
  CUevent event = nullptr;
  REQUIRE(cuStreamCreate(&stream, 0) == CUDA_SUCCESS);
  REQUIRE(cuEventCreate(&event, 0) == CUDA_SUCCESS);
  int local = 0;
  const auto as_stream = [](const void* any) { return static_cast<CUstream>(const_cast<void*>(any)); };
  CHECK(cuStreamSynchronize(as_stream(event)) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuStreamSynchronize(as_stream(&local)) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuEventRecord(reinterpret_cast<CUevent>(stream), nullptr) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuEventRecord(nullptr, nullptr) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuLaunchKernel(reinterpret_cast<CUfunction>(&local), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) ==
        CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuLaunchKernel(reinterpret_cast<CUfunction>(stream), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) ==
        CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuModuleUnload(reinterpret_cast<CUmodule>(&local)) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuLibraryUnload(reinterpret_cast<CUlibrary>(stream)) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuCtxSetCurrent(reinterpret_cast<CUcontext>(&local)) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuStreamDestroy(stream) == CUDA_SUCCESS);
  CHECK(cuStreamDestroy(stream) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuStreamQuery(stream) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuEventDestroy(event) == CUDA_SUCCESS);
  CHECK(cuStreamWaitEvent(nullptr, event, 0) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("threads mint and find at once") {
  EventTable table;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        const auto minted = table.mint();
        if (!minted.object || table.find(minted.handle.value) != minted.object) ++wrong;
        if (!table.release(minted.handle.value) || table.find(minted.handle.value)) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}
