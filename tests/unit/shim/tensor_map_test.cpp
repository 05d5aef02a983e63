#include <catch2/catch.hpp>
#include <cstring>

#include "fake_executor.hpp"

using namespace vgpu::shim::test;

namespace {

using Tensor = vgpu::protocol::TensorDescription;

struct Tiled {
  CUtensorMap map{};
  cuuint64_t dimensions[3] = {64, 32, 16};
  cuuint64_t strides[2] = {128, 4096};
  cuuint32_t box[3] = {32, 8, 1};
  cuuint32_t element_strides[3] = {1, 1, 2};

  CUresult encode(CUtensorMap* into, cuuint32_t rank) {
    return cuTensorMapEncodeTiled(into, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, reinterpret_cast<void*>(0x70001000),
                                  dimensions, strides, box, element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                  CU_TENSOR_MAP_SWIZZLE_64B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  }
};

}  // namespace

TEST_CASE("a tensor map is described to the host and comes back as it encodes it") {
  Session session;
  session.executor.on<call::cuTensorMapEncodeTiled>([](const Record&) {
    call::cuTensorMapEncodeTiled::Reply reply{};
    reply.map[0] = 0x1234;
    reply.map[15] = 0x5678;
    return reply_with(reply);
  });
  Tiled tiled;
  REQUIRE(tiled.encode(&tiled.map, 3) == CUDA_SUCCESS);
  CHECK(tiled.map.opaque[0] == 0x1234);
  CHECK(tiled.map.opaque[15] == 0x5678);
  const auto records = session.executor.records_of<call::cuTensorMapEncodeTiled>();
  REQUIRE(records.size() == 1);
  const auto& request = records[0].as<call::cuTensorMapEncodeTiled>();
  CHECK(static_cast<u64>(request.tensor.address) == 0x70001000);
  CHECK(request.tensor.rank == 3);
  CHECK(request.tensor.dimensions == std::array<u64, 5>{64, 32, 16});
  CHECK(request.tensor.strides == std::array<u64, 4>{128, 4096});
  CHECK(request.tensor.element_strides == std::array<u32, 5>{1, 1, 2});
  CHECK(request.tensor.given == (Tensor::kDimensions | Tensor::kStrides | Tensor::kElementStrides | Tensor::kBox));
  CHECK(request.tensor.data_type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
  CHECK(request.tensor.swizzle == CU_TENSOR_MAP_SWIZZLE_64B);
  CHECK(request.box == std::array<u32, 5>{32, 8, 1});
}

TEST_CASE("what can't be a tensor map is refused where it is made, and a refusal leaves the program's map alone") {
  Session session;
  Tiled tiled;
  CHECK(tiled.encode(nullptr, 3) == CUDA_ERROR_INVALID_VALUE);
  CHECK(tiled.encode(reinterpret_cast<CUtensorMap*>(reinterpret_cast<char*>(&tiled.map) + 8), 3) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(tiled.encode(&tiled.map, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(tiled.encode(&tiled.map, 6) == CUDA_ERROR_INVALID_VALUE);
  CHECK(session.executor.records_of<call::cuTensorMapEncodeTiled>().empty());
  session.executor.on<call::cuTensorMapEncodeTiled>([](const Record&) {
    call::cuTensorMapEncodeTiled::Reply reply{};
    reply.map[0] = 0x1234;
    return reply_with(reply, CUDA_ERROR_INVALID_VALUE);
  });
  tiled.map.opaque[0] = 7;
  CHECK(tiled.encode(&tiled.map, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(tiled.map.opaque[0] == 7);
}

TEST_CASE("im2col maps carry their corners, and a map gets another address") {
  Session session;
  Tiled tiled;
  const int lower[2] = {-1, -2};
  const int upper[2] = {-3, -4};
  const auto im2col = [&](cuuint32_t rank) {
    return cuTensorMapEncodeIm2col(&tiled.map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, rank,
                                   reinterpret_cast<void*>(0x70001000), tiled.dimensions, tiled.strides, lower, upper,
                                   16, 64, nullptr, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
                                   CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  };
  CHECK(im2col(2) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(im2col(3) == CUDA_SUCCESS);
  const auto records = session.executor.records_of<call::cuTensorMapEncodeIm2col>();
  REQUIRE(records.size() == 1);
  const auto& request = records[0].as<call::cuTensorMapEncodeIm2col>();
  CHECK(request.lower_corner == std::array<int, 3>{-1, 0, 0});
  CHECK(request.upper_corner == std::array<int, 3>{-3, 0, 0});
  CHECK(request.channels_per_pixel == 16);
  CHECK(request.pixels_per_column == 64);
  CHECK((request.tensor.given & Tensor::kElementStrides) == 0);

  session.executor.on<call::cuTensorMapReplaceAddress>([](const Record& record) {
    const auto& asked = record.as<call::cuTensorMapReplaceAddress>();
    call::cuTensorMapReplaceAddress::Reply reply{asked.old_map};
    reply.map[1] = static_cast<u64>(asked.address);
    return reply_with(reply);
  });
  tiled.map.opaque[0] = 9;
  REQUIRE(cuTensorMapReplaceAddress(&tiled.map, reinterpret_cast<void*>(0x70002000)) == CUDA_SUCCESS);
  CHECK(tiled.map.opaque[0] == 9);
  CHECK(tiled.map.opaque[1] == 0x70002000);
  CHECK(cuTensorMapReplaceAddress(nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("attributes of streams are the host's") {
  Session session;
  CUstream stream = nullptr;
  REQUIRE(cuStreamCreate(&stream, 0) == CUDA_SUCCESS);
  CUstreamAttrValue value{};
  value.accessPolicyWindow.base_ptr = reinterpret_cast<void*>(0x70001000);
  value.accessPolicyWindow.num_bytes = 4096;
  REQUIRE(cuStreamSetAttribute(stream, CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW, &value) == CUDA_SUCCESS);
  const auto set = session.executor.records_of<call::cuStreamSetAttribute>();
  REQUIRE(set.size() == 1);
  CHECK(set[0].as<call::cuStreamSetAttribute>().stream.value == reinterpret_cast<u64>(stream));
  CHECK(std::memcmp(set[0].as<call::cuStreamSetAttribute>().value.data(), &value, sizeof value) == 0);
  session.executor.on<call::cuStreamGetAttribute>([](const Record& record) {
    call::cuStreamGetAttribute::Reply reply{};
    reply.value[0] = record.as<call::cuStreamGetAttribute>().attribute;
    return reply_with(reply);
  });
  CUstreamAttrValue got{};
  REQUIRE(cuStreamGetAttribute(stream, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &got) == CUDA_SUCCESS);
  CHECK(static_cast<int>(got.syncPolicy) == CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY);
  CHECK(cuStreamCopyAttributes(nullptr, stream) == CUDA_SUCCESS);
  CHECK(cuStreamGetAttribute(stream, CU_LAUNCH_ATTRIBUTE_PRIORITY, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuStreamSetAttribute(reinterpret_cast<CUstream>(0x1234), CU_LAUNCH_ATTRIBUTE_PRIORITY, &value) ==
        CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuStreamCopyAttributes(stream, reinterpret_cast<CUstream>(0x1234)) == CUDA_ERROR_INVALID_HANDLE);
}
