// Waits for values and writes of them: what a batch says of its own length, and which operations the driver is given.
#include <catch2/catch.hpp>
#include <vector>

#include "guest.hpp"
#include "protocol/payload.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

std::vector<CUstreamBatchMemOpParams> given;

CUresult batch(CUstream, unsigned count, CUstreamBatchMemOpParams* operations, unsigned) {
  given.assign(operations, operations + count);
  return CUDA_SUCCESS;
}

executor::Driver driver_of(const FakeCuda& cuda) {
  given.clear();
  executor::Driver driver = cuda.driver();
  driver.cuStreamBatchMemOp_v2 = batch;
  return driver;
}

CUresult submit(Guest& guest, StreamHandle stream, std::vector<MemoryOperation> operations) {
  return guest.call<call::cuStreamBatchMemOp>({stream, static_cast<u32>(operations.size()), 0}, nullptr,
                                              std::as_bytes(std::span(operations)));
}

}  // namespace

TEST_CASE("operations on memory reach the driver whole and in order") {
  FakeCuda cuda;
  const executor::Driver driver = driver_of(cuda);
  Guest guest(driver);
  guest.make_context();
  CHECK(submit(guest, {0},
               {{CU_STREAM_MEM_OP_WRITE_VALUE_64, CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER, Pointer{4096}, ~u64{0} - 1},
                {CU_STREAM_MEM_OP_WAIT_VALUE_32, CU_STREAM_WAIT_VALUE_AND, Pointer{8192}, 5},
                {CU_STREAM_MEM_OP_BARRIER, CU_STREAM_MEMORY_BARRIER_TYPE_GPU, Pointer{1}, 2}}) == CUDA_SUCCESS);
  REQUIRE(given.size() == 3);
  CHECK(given[0].operation == CU_STREAM_MEM_OP_WRITE_VALUE_64);
  CHECK(given[0].writeValue.address == 4096);
  CHECK(given[0].writeValue.value64 == ~u64{0} - 1);
  CHECK(given[0].writeValue.flags == CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER);
  CHECK(given[1].waitValue.address == 8192);
  CHECK(given[1].waitValue.value == 5);
  CHECK(given[1].waitValue.flags == CU_STREAM_WAIT_VALUE_AND);
  CHECK(given[2].memoryBarrier.flags == CU_STREAM_MEMORY_BARRIER_TYPE_GPU);
}

TEST_CASE("one operation that there is not, and none of them is done") {
  FakeCuda cuda;
  const executor::Driver driver = driver_of(cuda);
  Guest guest(driver);
  guest.make_context();
  const MemoryOperation good{CU_STREAM_MEM_OP_WRITE_VALUE_32, 0, Pointer{4096}, 1};
  for (const u32 operation : {0u, 7u, 0x7fffffffu, ~0u})
    CHECK(submit(guest, {0}, {good, {operation, 0, Pointer{4096}, 1}}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(submit(guest, StreamHandle::make(5, 1), {good}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(given.empty());
  CHECK(submit(guest, {0}, std::vector(kMaxMemoryOperations, good)) == CUDA_SUCCESS);
  CHECK(given.size() == kMaxMemoryOperations);
}

TEST_CASE("a batch whose count is not its length ends the session") {
  struct Lie {
    u32 count;
    std::size_t operations;
  };
  for (const Lie lie : {Lie{0, 0}, Lie{2, 1}, Lie{1, 2}, Lie{~0u, 1}, Lie{kMaxMemoryOperations + 1, 1}}) {
    FakeCuda cuda;
    const executor::Driver driver = driver_of(cuda);
    Guest guest(driver);
    guest.make_context();
    const std::vector<MemoryOperation> operations(lie.operations);
    guest.publish<call::cuStreamBatchMemOp>({{0}, lie.count, 0}, VGPU_NO_SLOT, std::as_bytes(std::span(operations)));
    guest.join();
    CHECK(guest.reason() == VGPU_END_BAD_REQUEST);
    CHECK(given.empty());
  }
}
