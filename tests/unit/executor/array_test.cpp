// Arrays, textures and surfaces: whose they are, and what is never given to the driver.
#include <catch2/catch.hpp>

#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

std::uint64_t next = 0x5000;
CUarray textured = nullptr;
CUDA_TEXTURE_DESC sampled{};
CUDA_MEMCPY3D copied{};
unsigned destroyed = 0;

CUresult create(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR*) {
  *array = reinterpret_cast<CUarray>(next += 16);
  return CUDA_SUCCESS;
}
CUresult create_mipmapped(CUmipmappedArray* array, const CUDA_ARRAY3D_DESCRIPTOR*, unsigned) {
  *array = reinterpret_cast<CUmipmappedArray>(next += 16);
  return CUDA_SUCCESS;
}
CUresult level(CUarray* array, CUmipmappedArray, unsigned number) {
  if (number > 2) return CUDA_ERROR_INVALID_VALUE;
  *array = reinterpret_cast<CUarray>(0x9000 + number * 16);
  return CUDA_SUCCESS;
}
CUresult descriptor(CUDA_ARRAY3D_DESCRIPTOR* shape, CUarray) {
  *shape = {32, 16, 0, CU_AD_FORMAT_FLOAT, 4, 0};
  return CUDA_SUCCESS;
}
CUresult make_texture(CUtexObject* object, const CUDA_RESOURCE_DESC* resource, const CUDA_TEXTURE_DESC* sampling,
                      const CUDA_RESOURCE_VIEW_DESC* view) {
  if (view != nullptr) return CUDA_ERROR_INVALID_VALUE;
  textured = resource->res.array.hArray;
  sampled = *sampling;
  *object = 3;
  return CUDA_SUCCESS;
}
CUresult destroy_texture(CUtexObject) {
  ++destroyed;
  return CUDA_SUCCESS;
}
CUresult copy(const CUDA_MEMCPY3D* parameters, CUstream) {
  copied = *parameters;
  return CUDA_SUCCESS;
}

executor::Driver with_arrays(const FakeCuda& cuda) {
  executor::Driver driver = cuda.driver();
  driver.cuArray3DCreate_v2 = create;
  driver.cuMipmappedArrayCreate = create_mipmapped;
  driver.cuMipmappedArrayGetLevel = level;
  driver.cuArray3DGetDescriptor_v2 = descriptor;
  driver.cuTexObjectCreate = make_texture;
  driver.cuTexObjectDestroy = destroy_texture;
  driver.cuMemcpy3DAsync_v2 = copy;
  destroyed = 0;
  return driver;
}

const ArrayShape kShape{64, 32, 0, CU_AD_FORMAT_FLOAT, 4, 0, 0};

}  // namespace

TEST_CASE("levels go with their mipmapped array") {
  FakeCuda cuda;
  const executor::Driver driver = with_arrays(cuda);
  Guest guest(driver);
  guest.make_context();
  const auto mipmapped = MipmappedArrayHandle::make(1, 1);
  const auto first = ArrayHandle::make(1, 1);
  REQUIRE(guest.call<call::cuMipmappedArrayCreate>({mipmapped, kShape, 3, 0}) == CUDA_SUCCESS);
  call::cuMipmappedArrayGetLevel::Reply reply{};
  REQUIRE(guest.call<call::cuMipmappedArrayGetLevel>({mipmapped, first, 1, 0}, &reply) == CUDA_SUCCESS);
  CHECK(reply.shape.width == 32);
  CHECK(guest.call<call::cuMipmappedArrayGetLevel>({mipmapped, first, 0, 0}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuMipmappedArrayGetLevel>({mipmapped, ArrayHandle::make(2, 1), 7, 0}) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuMipmappedArrayDestroy>({mipmapped}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuArrayDestroy>({first}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuMipmappedArrayDestroy>({mipmapped}) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("copies name arrays by handle, and an origin counts in an array only") {
  FakeCuda cuda;
  const executor::Driver driver = with_arrays(cuda);
  Guest guest(driver);
  guest.make_context();
  const auto array = ArrayHandle::make(1, 1);
  REQUIRE(guest.call<call::cuArray3DCreate>({array, kShape}) == CUDA_SUCCESS);
  const CopySide in_region{VGPU_STAGING_OFFSET, 100, 200, 300, 64, 4, CopySide::kRegion, 0};
  const CopySide in_array{array.value, 16, 2, 0, 0, 0, CopySide::kArray, 0};
  REQUIRE(guest.call<call::cuMemcpy3D>({in_region, in_array, {64, 4, 1}, {0}}) == CUDA_SUCCESS);
  CHECK(copied.srcXInBytes == 0);
  CHECK(copied.srcZ == 0);
  CHECK(copied.srcHost == guest.region.staging());
  CHECK(copied.dstMemoryType == CU_MEMORYTYPE_ARRAY);
  CHECK(copied.dstXInBytes == 16);
  CHECK(copied.dstY == 2);
  CopySide unknown = in_array;
  unknown.base = ArrayHandle::make(2, 1).value;
  CHECK(guest.call<call::cuMemcpy3D>({in_region, unknown, {64, 4, 1}, {0}}) == CUDA_ERROR_INVALID_HANDLE);
  auto shape = kShape;
  shape.flags = CUDA_ARRAY3D_SPARSE;
  CHECK(guest.call<call::cuArray3DCreate>({ArrayHandle::make(3, 1), shape}) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("rows and planes of the region never lie where only the driver knows") {
  FakeCuda cuda;
  const executor::Driver driver = with_arrays(cuda);
  Guest guest(driver);
  guest.make_context();
  copied = {};
  const CopySide device{0x4000, 0, 0, 0, 64, 4, CopySide::kDevice, 0};
  CopySide region{VGPU_STAGING_OFFSET, 0, 0, 0, 0, 4, CopySide::kRegion, 0};
  const CopyExtent rows{64, u64{1} << 30, 1};
  CHECK(guest.call<call::cuMemcpy3D>({region, device, rows, {0}}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuMemcpy3D>({device, region, rows, {0}}) == CUDA_ERROR_INVALID_VALUE);
  region.pitch = 64;
  region.plane_rows = 0;
  CHECK(guest.call<call::cuMemcpy3D>({device, region, {64, 4, u64{1} << 30}, {0}}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(copied.Height == 0);
  region.pitch = 0;
  CHECK(guest.call<call::cuMemcpy3D>({device, region, {64, 1, 1}, {0}}) == CUDA_SUCCESS);
}

TEST_CASE("a texture is the driver's number, which only its session may end") {
  FakeCuda cuda;
  const executor::Driver driver = with_arrays(cuda);
  Guest guest(driver);
  guest.make_context();
  const auto array = ArrayHandle::make(1, 1);
  REQUIRE(guest.call<call::cuArray3DCreate>({array, kShape}) == CUDA_SUCCESS);
  call::cuTexObjectCreate::Request request{};
  request.resource.type = CU_RESOURCE_TYPE_ARRAY;
  request.resource.base = array.value;
  request.sampling.address_mode = {1, 2, 3};
  request.sampling.border[2] = 0x3fc00000;
  call::cuTexObjectCreate::Reply reply{};
  REQUIRE(guest.call<call::cuTexObjectCreate>(request, &reply) == CUDA_SUCCESS);
  CHECK(reply.object == 3);
  CHECK(textured != nullptr);
  CHECK(sampled.addressMode[1] == CU_TR_ADDRESS_MODE_MIRROR);
  CHECK(sampled.borderColor[2] == 1.5f);
  request.sampling.filter = 99;
  CHECK(guest.call<call::cuTexObjectCreate>(request) == CUDA_ERROR_INVALID_VALUE);
  request.resource.base = 0x5010;  // the driver's own pointer
  CHECK(guest.call<call::cuTexObjectCreate>(request) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuTexObjectDestroy>({4}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuSurfObjectDestroy>({3}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuTexObjectDestroy>({3}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuTexObjectDestroy>({3}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(destroyed == 1);
}
