// Device resources and green contexts: numbers for what the driver keeps.
#include <catch2/catch.hpp>

#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

const CUgreenCtx kGreen = reinterpret_cast<CUgreenCtx>(0x6000);
const CUcontext kConverted = reinterpret_cast<CUcontext>(0x6100);
unsigned described = 0;
unsigned alive = 0;

CUdevResource resource_of(unsigned multiprocessors, unsigned char inside) {
  CUdevResource resource{};
  resource.type = CU_DEV_RESOURCE_TYPE_SM;
  resource._internal_padding[7] = inside;
  resource.sm.smCount = multiprocessors;
  return resource;
}

CUresult device_resource(CUdevice, CUdevResource* resource, CUdevResourceType) {
  *resource = resource_of(132, 1);
  return CUDA_SUCCESS;
}

CUresult split(CUdevResource* groups, unsigned* count, const CUdevResource* input, CUdevResource* remaining, unsigned,
               unsigned least) {
  if (input->_internal_padding[7] != 1) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
  const unsigned possible = input->sm.smCount / least;
  *count = groups != nullptr ? std::min(*count, possible) : possible;
  for (unsigned i = 0; groups != nullptr && i < *count; ++i)
    groups[i] = resource_of(least, static_cast<unsigned char>(10 + i));
  if (remaining != nullptr) *remaining = resource_of(input->sm.smCount - *count * least, 2);
  return CUDA_SUCCESS;
}

CUresult generate(CUdevResourceDesc* description, CUdevResource* resources, unsigned count) {
  described = resources[count - 1]._internal_padding[7];
  *description = reinterpret_cast<CUdevResourceDesc>(0x6200);
  return CUDA_SUCCESS;
}

CUresult create(CUgreenCtx* green, CUdevResourceDesc description, CUdevice, unsigned) {
  if (description != reinterpret_cast<CUdevResourceDesc>(0x6200)) return CUDA_ERROR_INVALID_VALUE;
  *green = kGreen;
  ++alive;
  return CUDA_SUCCESS;
}

CUresult convert(CUcontext* context, CUgreenCtx green) {
  *context = kConverted;
  return green == kGreen ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult destroy(CUgreenCtx) {
  --alive;
  return CUDA_SUCCESS;
}

}  // namespace

TEST_CASE("a green context is made of resources that the guest names by number") {
  FakeCuda cuda;
  executor::Driver driver = cuda.driver();
  driver.cuDeviceGetDevResource = device_resource;
  driver.cuDevSmResourceSplitByCount = split;
  driver.cuDevResourceGenerateDesc = generate;
  driver.cuGreenCtxCreate = create;
  driver.cuCtxFromGreenCtx = convert;
  driver.cuGreenCtxDestroy = destroy;
  Guest guest(driver);
  guest.make_context();
  alive = 0;
  call::cuDeviceGetDevResource::Reply whole{};
  REQUIRE(guest.call<call::cuDeviceGetDevResource>({0, CU_DEV_RESOURCE_TYPE_SM}, &whole) == CUDA_SUCCESS);
  CHECK(whole.resource.multiprocessors == 132);
  call::cuDeviceGetDevResource::Reply again{};
  REQUIRE(guest.call<call::cuDeviceGetDevResource>({0, CU_DEV_RESOURCE_TYPE_SM}, &again) == CUDA_SUCCESS);
  CHECK(again.resource.number == whole.resource.number);

  const Offset into{VGPU_STAGING_OFFSET};
  call::cuDevSmResourceSplitByCount::Reply parts{};
  REQUIRE(guest.call<call::cuDevSmResourceSplitByCount>({whole.resource.number, 2, 0, 16, 0, 1, into}, &parts) ==
          CUDA_SUCCESS);
  CHECK(parts.groups == 2);
  CHECK(parts.remaining.multiprocessors == 100);
  DeviceResource groups[2];
  std::memcpy(groups, guest.region.span(into, sizeof groups), sizeof groups);
  CHECK(groups[0].multiprocessors == 16);
  CHECK(groups[1].number != groups[0].number);
  REQUIRE(guest.call<call::cuDevSmResourceSplitByCount>({whole.resource.number, 0, 0, 16, 1, 0, into}, &parts) ==
          CUDA_SUCCESS);
  CHECK(parts.groups == 8);
  CHECK(guest.call<call::cuDevSmResourceSplitByCount>({99, 2, 0, 16, 0, 1, into}) == CUDA_ERROR_INVALID_VALUE);

  call::cuDevResourceGenerateDesc::Reply description{};
  const auto numbers = std::as_bytes(std::span(&groups[1].number, 1));
  REQUIRE(guest.call<call::cuDevResourceGenerateDesc>({1, 0}, &description, numbers) == CUDA_SUCCESS);
  CHECK(described == 11);
  const auto green = GreenContextHandle::make(1, 1);
  const auto converted = ContextHandle::make(2, 1);
  CHECK(guest.call<call::cuGreenCtxCreate>({green, converted, 0x6200, 0, 1}) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(guest.call<call::cuGreenCtxCreate>({green, converted, description.description, 0, 1}) == CUDA_SUCCESS);
  CHECK(guest.session->contexts.find(2) == kConverted);
  CHECK(guest.call<call::cuGreenCtxDestroy>({green, converted}) == CUDA_SUCCESS);
  CHECK(guest.session->contexts.find(2) == nullptr);
  CHECK(guest.call<call::cuGreenCtxDestroy>({green, converted}) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(alive == 0);
}
