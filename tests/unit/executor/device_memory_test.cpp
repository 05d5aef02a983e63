// What is charged when threads of a hostile guest race: never less than the driver holds.
#include "executor/device_memory.hpp"

#include <catch2/catch.hpp>

#include "fake_cuda.hpp"

using namespace vgpu::protocol;
using namespace vgpu::test;
using vgpu::executor::Account;
using vgpu::executor::Charge;
using vgpu::executor::DeviceMemory;

namespace {

struct Books {
  FakeCuda cuda;
  SessionStats stats{};
  Account account{{}, stats};
  DeviceMemory memory{account, cuda.driver()};

  u64 used() const { return account.used(Limit::memory); }
  void keep(u64 key, u32 context, u64 bytes) { memory.keep(key, context, *memory.reserve(bytes)); }
};

constexpr auto kDone = [] { return CUDA_SUCCESS; };

}  // namespace

TEST_CASE("device memory: what the driver takes is a multiple of its blocks") {
  CHECK(DeviceMemory::rounded(0) == 0);
  CHECK(DeviceMemory::rounded(1) == 512);
  CHECK(DeviceMemory::rounded(513) == 1024);
  CHECK(DeviceMemory::rounded((u64{1} << 20) + 1) == u64{2} << 20);
  CHECK(DeviceMemory::rounded(~u64{0}) == ~u64{0});
}

TEST_CASE("device memory: it is charged until the driver has let go of it, and again if it has not") {
  Books books;
  books.keep(7, 1, 512);
  u64 meanwhile = 0;
  CHECK(books.memory.let_go(7, [&] {
    meanwhile = books.used();
    return CUDA_ERROR_INVALID_VALUE;
  }) == CUDA_ERROR_INVALID_VALUE);
  CHECK(meanwhile == 512);
  CHECK(books.used() == 512);
  CHECK(books.memory.let_go(7, kDone) == CUDA_SUCCESS);
  CHECK(books.used() == 0);
  CHECK(books.memory.let_go(7, kDone) == CUDA_SUCCESS);
}

TEST_CASE("device memory: an object that another one displaced is charged for ever") {
  Books books;
  books.keep(7, 1, 512);
  books.keep(7, 1, 1024);
  CHECK(books.used() == 1536);
  books.memory.let_go(7, kDone);
  CHECK(books.used() == 512);
  CUmemGenericAllocationHandle handle = 9;
  books.memory.create(handle, 512, kDone);
  books.memory.create(handle, 512, kDone);
  CHECK(books.used() == 1536);
  books.memory.release(9);
  CHECK(books.used() == 1024);
}

TEST_CASE("device memory: a context's end drops what lived in it, and nothing of the one that has its place by then") {
  Books books;
  books.keep(1, 3, 512);
  books.keep(2, 4, 512);
  const u32 ending = books.memory.context_ending(3);
  books.keep(3, 3, 1024);
  books.memory.context_ended(3, ending);
  CHECK(books.used() == 512 + 1024);
  // One that did not come about changes nothing.
  static_cast<void>(books.memory.context_ending(3));
  CHECK(books.used() == 512 + 1024);
  books.memory.context_ended(3, books.memory.context_ending(3));
  CHECK(books.used() == 512);
  static_cast<void>(books.memory.context_ending(~u32{0}));
  books.memory.context_ended(~u32{0}, 0);
}

TEST_CASE("device memory: what is freed behind a stream's work goes with the synchronization that began after it") {
  Books books;
  books.keep(1, 1, 512);
  books.keep(2, 1, 512);
  CHECK(books.memory.free_later(1, 1, kDone) == CUDA_SUCCESS);
  CHECK(books.memory.free_later(2, 1, [] { return CUDA_ERROR_INVALID_VALUE; }) == CUDA_ERROR_INVALID_VALUE);
  CHECK(books.memory.freed_later(2).empty());
  CHECK(books.used() == 1024);
  CHECK(books.memory.freed_later(1).size() == 1);
  CHECK(books.used() == 512);
  CHECK(books.memory.let_go(2, kDone) == CUDA_SUCCESS);
  CHECK(books.used() == 0);
}

TEST_CASE("device memory: physical memory counts while the handle or any mapping is there") {
  Books books;
  CUmemGenericAllocationHandle handle = 0;
  const auto make = [&] {
    handle = 5;
    return CUDA_SUCCESS;
  };
  REQUIRE(books.memory.create(handle, 512, make) == CUDA_SUCCESS);
  books.memory.mapped(0x1000, books.memory.physical(5));
  books.memory.mapped(0x2000, books.memory.physical(5));
  books.memory.release(5);
  CHECK(books.memory.physical(5) == nullptr);
  books.memory.unmap(0x1000, 0x1000);
  CHECK(books.used() == 512);
  CHECK(books.memory.unmap(0x1800, 0x800).empty());
  CHECK(books.memory.unmap(0x1000, 0x2000).size() == 1);
  CHECK(books.used() == 0);
}

TEST_CASE("device memory: executable graphs count whole while they live, then as what the driver keeps") {
  Books books;
  const auto exec = reinterpret_cast<CUgraphExec>(0x100);
  books.memory.watch_graphs_of(0);
  books.memory.instantiated(exec, 1024, *books.memory.reserve_for_exec(1024));
  CHECK(books.used() == 1024);
  // The same as is charged already.
  CHECK(books.memory.reserve_for_exec(0)->bytes() == 0);
  const u64 bytes = books.memory.exec_ending(exec);
  CHECK(books.used() == 1024);
  books.memory.exec_destroyed(bytes);
  CHECK(books.used() == 0);
  CHECK(books.memory.exec_ending(exec) == 0);
}
