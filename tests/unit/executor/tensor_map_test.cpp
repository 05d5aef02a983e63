// Tensor maps and attributes of streams: what the driver is given, and what it never is.
#include <catch2/catch.hpp>

#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

struct Seen {
  unsigned calls = 0;
  const cuuint64_t* dimensions = nullptr;
  const cuuint64_t* strides = nullptr;
  cuuint32_t box = 0;
  CUstreamAttrValue value{};
};
Seen seen;

CUresult encode_tiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                      const cuuint64_t* dimensions, const cuuint64_t* strides, const cuuint32_t* box,
                      const cuuint32_t* element_strides, CUtensorMapInterleave, CUtensorMapSwizzle,
                      CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  ++seen.calls;
  seen.dimensions = dimensions;
  seen.strides = strides;
  if (element_strides != nullptr) return CUDA_ERROR_INVALID_VALUE;
  seen.box = box[0];
  map->opaque[0] = reinterpret_cast<u64>(address);
  map->opaque[1] = dimensions[rank - 1];
  map->opaque[2] = static_cast<u64>(type);
  return CUDA_SUCCESS;
}

CUresult replace_address(CUtensorMap* map, void* address) {
  map->opaque[0] = reinterpret_cast<u64>(address);
  return CUDA_SUCCESS;
}

CUresult set_attribute(CUstream, CUstreamAttrID, const CUstreamAttrValue* value) {
  ++seen.calls;
  seen.value = *value;
  return CUDA_SUCCESS;
}

CUresult get_attribute(CUstream, CUstreamAttrID, CUstreamAttrValue* value) {
  ++seen.calls;
  value->priority = -3;
  return CUDA_SUCCESS;
}

}  // namespace

TEST_CASE("the driver encodes tensor maps from lists of the executor's own") {
  FakeCuda cuda;
  executor::Driver driver = cuda.driver();
  driver.cuTensorMapEncodeTiled = encode_tiled;
  driver.cuTensorMapReplaceAddress = replace_address;
  Guest guest(driver);
  seen = {};
  call::cuTensorMapEncodeTiled::Request request{};
  request.tensor.address = Pointer{0x70001000};
  request.tensor.dimensions = {64, 32, 16};
  request.tensor.rank = 3;
  request.tensor.data_type = CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  request.tensor.given = TensorDescription::kDimensions | TensorDescription::kBox;
  request.box = {8};
  call::cuTensorMapEncodeTiled::Reply reply{};
  REQUIRE(guest.call<call::cuTensorMapEncodeTiled>(request, &reply) == CUDA_SUCCESS);
  CHECK(seen.strides == nullptr);
  CHECK(seen.box == 8);
  CHECK(reply.map[0] == 0x70001000);
  CHECK(reply.map[1] == 16);
  CHECK(reply.map[2] == CU_TENSOR_MAP_DATA_TYPE_FLOAT32);
  call::cuTensorMapReplaceAddress::Reply replaced{};
  REQUIRE(guest.call<call::cuTensorMapReplaceAddress>({reply.map, Pointer{0x70002000}}, &replaced) == CUDA_SUCCESS);
  CHECK(replaced.map[0] == 0x70002000);
  CHECK(replaced.map[1] == 16);

  const unsigned before = seen.calls;
  for (const u32 rank : {0u, 6u, ~0u}) {
    auto bad = request;
    bad.tensor.rank = rank;
    CHECK(guest.call<call::cuTensorMapEncodeTiled>(bad) == CUDA_ERROR_INVALID_VALUE);
  }
  auto bad = request;
  bad.tensor.swizzle = 0x80000000;
  CHECK(guest.call<call::cuTensorMapEncodeTiled>(bad) == CUDA_ERROR_INVALID_VALUE);
  bad = request;
  bad.tensor.given = 64;
  CHECK(guest.call<call::cuTensorMapEncodeTiled>(bad) == CUDA_ERROR_INVALID_VALUE);
  CHECK(seen.calls == before);
}

TEST_CASE("only attributes of streams reach the driver") {
  FakeCuda cuda;
  executor::Driver driver = cuda.driver();
  driver.cuStreamSetAttribute = set_attribute;
  driver.cuStreamGetAttribute = get_attribute;
  Guest guest(driver);
  guest.make_context();
  seen = {};
  const StreamHandle stream = guest.make_stream(1);
  call::cuStreamSetAttribute::Request request{stream, CU_LAUNCH_ATTRIBUTE_PRIORITY, 0, {}};
  request.value[0] = 5;
  REQUIRE(guest.call<call::cuStreamSetAttribute>(request) == CUDA_SUCCESS);
  CHECK(seen.value.priority == 5);
  call::cuStreamGetAttribute::Reply reply{};
  REQUIRE(guest.call<call::cuStreamGetAttribute>({stream, CU_LAUNCH_ATTRIBUTE_PRIORITY, 0}, &reply) == CUDA_SUCCESS);
  CHECK(static_cast<int>(reply.value[0]) == -3);
  const unsigned before = seen.calls;
  // A programmatic event's value is a handle.
  request.attribute = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT;
  CHECK(guest.call<call::cuStreamSetAttribute>(request) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuStreamGetAttribute>({stream, 0xffffffff, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuStreamGetAttribute>({StreamHandle::make(9, 1), CU_LAUNCH_ATTRIBUTE_PRIORITY, 0}) ==
        CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuStreamCopyAttributes>({stream, StreamHandle::make(9, 1)}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(seen.calls == before);
}
