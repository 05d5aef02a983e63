#include "shim/driver_log.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "fake_executor.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

namespace {

std::string dump(CUlogIterator* iterator, std::size_t room = 25600) {
  std::vector<char> buffer(room);
  std::size_t size = room;
  REQUIRE(cuLogsDumpToMemory(iterator, buffer.data(), &size, 0) == CUDA_SUCCESS);
  return {buffer.data(), size};
}

}  // namespace

TEST_CASE("the log shows what was said since an iterator was taken, and callbacks hear it") {
  CUlogIterator iterator = 0;
  REQUIRE(cuLogsCurrent(&iterator, 0) == CUDA_SUCCESS);
  CHECK(dump(&iterator).empty());
  std::string heard;
  CUlogsCallbackHandle handle = nullptr;
  REQUIRE(cuLogsRegisterCallback([](void* data, CUlogLevel, char* message,
                                    std::size_t length) { static_cast<std::string*>(data)->assign(message, length); },
                                 &heard, &handle) == CUDA_SUCCESS);
  log_message(CU_LOG_LEVEL_ERROR, "first");
  log_message(CU_LOG_LEVEL_WARNING, "second");
  CHECK(heard == "second");
  CUlogIterator again = iterator;
  CHECK(dump(&again, 8) == "second\n");
  char tiny[3];
  std::size_t size = sizeof tiny;
  again = iterator;
  CHECK(cuLogsDumpToMemory(&again, tiny, &size, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(size == 0);
  CHECK(dump(&iterator) == "first\nsecond\n");
  CHECK(dump(&iterator).empty());
  CHECK(cuLogsUnregisterCallback(handle) == CUDA_SUCCESS);
  CHECK(cuLogsUnregisterCallback(handle) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuLogsRegisterCallback(nullptr, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  for (int i = 0; i < 1000; ++i) log_message(CU_LOG_LEVEL_ERROR, std::string(100, 'x'));
  CHECK(dump(nullptr).size() <= 25600);
}

TEST_CASE("a refused call stands in the log, and flags of contexts are kept") {
  Session session;
  CUlogIterator iterator = 0;
  REQUIRE(cuLogsCurrent(&iterator, 0) == CUDA_SUCCESS);
  CHECK(cuCtxSetFlags(CU_CTX_SYNC_MEMOPS) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(dump(&iterator).find("synchronous copies") != std::string::npos);
  CHECK(cuCtxSetFlags(0x100) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuCtxSetFlags(CU_CTX_SCHED_SPIN | CU_CTX_SCHED_YIELD) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuCtxSetFlags(CU_CTX_SCHED_BLOCKING_SYNC) == CUDA_SUCCESS);
  unsigned flags = 0;
  CHECK(cuCtxGetFlags(&flags) == CUDA_SUCCESS);
  CHECK(flags == CU_CTX_SCHED_BLOCKING_SYNC);
}
