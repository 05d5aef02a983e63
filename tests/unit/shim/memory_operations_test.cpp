// Waits for values and writes of them: one record for each call, whatever its form.
#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "fake_executor.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;
using vgpu::protocol::kMaxMemoryOperations;
using vgpu::protocol::MemoryOperation;

namespace {

MemoryOperation operation_of(const Record& record, std::size_t index = 0) {
  MemoryOperation operation{};
  REQUIRE(record.tail.size() >= (index + 1) * sizeof operation);
  std::memcpy(&operation, record.tail.data() + index * sizeof operation, sizeof operation);
  return operation;
}

}  // namespace

TEST_CASE("each form of a wait and a write is one operation, which nobody waits for") {
  Session session;
  CHECK(cuStreamWriteValue32(nullptr, 4096, 0x80000001, 1) == CUDA_SUCCESS);
  CHECK(cuStreamWriteValue64(nullptr, 4104, ~cuuint64_t{0}, 0) == CUDA_SUCCESS);
  CHECK(cuStreamWaitValue32(nullptr, 4096, 7, CU_STREAM_WAIT_VALUE_EQ) == CUDA_SUCCESS);
  CHECK(cuStreamWaitValue64(nullptr, 4104, cuuint64_t{1} << 40, CU_STREAM_WAIT_VALUE_GEQ) == CUDA_SUCCESS);
  const auto records = session.executor.records_of<call::cuStreamBatchMemOp>();
  REQUIRE(records.size() == 4);
  const CUstreamBatchMemOpType types[] = {CU_STREAM_MEM_OP_WRITE_VALUE_32, CU_STREAM_MEM_OP_WRITE_VALUE_64,
                                          CU_STREAM_MEM_OP_WAIT_VALUE_32, CU_STREAM_MEM_OP_WAIT_VALUE_64};
  const u64 values[] = {0x80000001, ~u64{0}, 7, u64{1} << 40};
  for (std::size_t i = 0; i < records.size(); ++i) {
    CHECK(records[i].header.slot == VGPU_NO_SLOT);
    CHECK(records[i].as<call::cuStreamBatchMemOp>().count == 1);
    CHECK(operation_of(records[i]).operation == static_cast<u32>(types[i]));
    CHECK(operation_of(records[i]).value == values[i]);
    CHECK(static_cast<u64>(operation_of(records[i]).address) == (i % 2 == 0 ? 4096 : 4104));
  }
  CHECK(operation_of(records[0]).flags == 1);
  CHECK(operation_of(records[2]).flags == CU_STREAM_WAIT_VALUE_EQ);
}

TEST_CASE("a batch crosses as one record, or not at all") {
  Session session;
  std::vector<CUstreamBatchMemOpParams> operations(kMaxMemoryOperations + 1);
  for (auto& operation : operations) operation.operation = CU_STREAM_MEM_OP_WRITE_VALUE_64;
  operations[1].writeValue.value64 = 11;
  CHECK(cuStreamBatchMemOp(nullptr, 0, operations.data(), 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuStreamBatchMemOp(nullptr, 1, nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuStreamBatchMemOp(nullptr, 1, operations.data(), 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuStreamBatchMemOp(nullptr, kMaxMemoryOperations + 1, operations.data(), 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuStreamBatchMemOp(reinterpret_cast<CUstream>(u64{0x1234}), 1, operations.data(), 0) ==
        CUDA_ERROR_INVALID_HANDLE);
  operations[2].operation = static_cast<CUstreamBatchMemOpType>(99);
  CHECK(cuStreamBatchMemOp(nullptr, 3, operations.data(), 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(session.executor.records_of<call::cuStreamBatchMemOp>().empty());
  CHECK(cuStreamBatchMemOp(nullptr, 2, operations.data(), 0) == CUDA_SUCCESS);
  const auto records = session.executor.records_of<call::cuStreamBatchMemOp>();
  REQUIRE(records.size() == 1);
  CHECK(records[0].as<call::cuStreamBatchMemOp>().count == 2);
  CHECK(records[0].tail.size() == 2 * sizeof(MemoryOperation));
  CHECK(operation_of(records[0], 1).value == 11);
}
