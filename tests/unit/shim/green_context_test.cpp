#include <catch2/catch.hpp>
#include <cstring>

#include "fake_executor.hpp"

using namespace vgpu::shim::test;

namespace {

vgpu::protocol::DeviceResource resource(u32 number, u32 multiprocessors) {
  return {number, CU_DEV_RESOURCE_TYPE_SM, multiprocessors, 8, 8, 0};
}

}  // namespace

TEST_CASE("a green context of some multiprocessors becomes current, and its streams know it") {
  Session session;
  session.executor.on<call::cuDeviceGetDevResource>(
      [](const Record&) { return reply_with(call::cuDeviceGetDevResource::Reply{resource(1, 132)}); });
  session.executor.on<call::cuDevSmResourceSplitByCount>([&](const Record& record) {
    const auto& request = record.as<call::cuDevSmResourceSplitByCount>();
    CHECK(request.input == 1);
    const auto group = resource(2, 16);
    if (request.only_count == 0)
      std::memcpy(session.executor.region() + static_cast<u64>(request.into), &group, sizeof group);
    return reply_with(call::cuDevSmResourceSplitByCount::Reply{resource(3, 116), request.only_count != 0 ? 8u : 1u, 0});
  });
  session.executor.on<call::cuDevResourceGenerateDesc>([](const Record& record) {
    u32 number = 0;
    REQUIRE(record.tail.size() == sizeof number);
    std::memcpy(&number, record.tail.data(), sizeof number);
    return reply_with(call::cuDevResourceGenerateDesc::Reply{number * u64{100}});
  });
  CUdevResource whole{};
  REQUIRE(cuDeviceGetDevResource(0, &whole, CU_DEV_RESOURCE_TYPE_SM) == CUDA_SUCCESS);
  CHECK(whole.sm.smCount == 132);
  CUdevResource group{};
  CUdevResource rest{};
  unsigned count = 0;
  REQUIRE(cuDevSmResourceSplitByCount(nullptr, &count, &whole, nullptr, 0, 16) == CUDA_SUCCESS);
  CHECK(count == 8);
  count = 1;
  REQUIRE(cuDevSmResourceSplitByCount(&group, &count, &whole, &rest, 0, 16) == CUDA_SUCCESS);
  CHECK(count == 1);
  CHECK(group.sm.smCount == 16);
  CHECK(rest.sm.smCount == 116);
  CUdevResourceDesc description = nullptr;
  REQUIRE(cuDevResourceGenerateDesc(&description, &group, 1) == CUDA_SUCCESS);
  CUgreenCtx green = nullptr;
  REQUIRE(cuGreenCtxCreate(&green, description, 0, CU_GREEN_CTX_DEFAULT_STREAM) == CUDA_SUCCESS);
  const auto created = session.executor.records_of<call::cuGreenCtxCreate>();
  REQUIRE(created.size() == 1);
  CHECK(created[0].as<call::cuGreenCtxCreate>().description == 200);

  CUcontext context = nullptr;
  REQUIRE(cuCtxFromGreenCtx(&context, green) == CUDA_SUCCESS);
  CHECK(context != session.context);
  CHECK(cuCtxDestroy(context) == CUDA_ERROR_INVALID_VALUE);
  CUstream stream = nullptr;
  CHECK(cuGreenCtxStreamCreate(&stream, green, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuGreenCtxStreamCreate(&stream, green, CU_STREAM_NON_BLOCKING, 0) == CUDA_SUCCESS);
  CUcontext of = nullptr;
  CUgreenCtx of_green = nullptr;
  CHECK(cuStreamGetCtx_v2(stream, &of, &of_green) == CUDA_SUCCESS);
  CHECK(of == session.context);
  CHECK(of_green == green);
  CHECK(cuStreamGetCtx_v2(nullptr, &of, &of_green) == CUDA_SUCCESS);
  CHECK(of_green == nullptr);
  REQUIRE(cuCtxSetCurrent(context) == CUDA_SUCCESS);
  CHECK(cuStreamGetGreenCtx(nullptr, &of_green) == CUDA_SUCCESS);
  CHECK(of_green == green);
  CUdevice device = -1;
  CHECK(cuCtxGetDevice(&device) == CUDA_SUCCESS);
  CHECK(device == 0);
  REQUIRE(cuCtxSetCurrent(session.context) == CUDA_SUCCESS);
  CHECK(cuStreamDestroy(stream) == CUDA_SUCCESS);
  CHECK(cuGreenCtxDestroy(green) == CUDA_SUCCESS);
  CHECK(cuGreenCtxDestroy(green) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuCtxFromGreenCtx(&context, green) == CUDA_ERROR_INVALID_CONTEXT);
}
