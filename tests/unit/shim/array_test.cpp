#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "fake_executor.hpp"

using namespace vgpu::shim::test;

namespace {

CUarray make_array(std::size_t width, std::size_t height, std::size_t depth) {
  const CUDA_ARRAY3D_DESCRIPTOR descriptor{width, height, depth, CU_AD_FORMAT_FLOAT, 1, 0};
  CUarray array = nullptr;
  REQUIRE(cuArray3DCreate(&array, &descriptor) == CUDA_SUCCESS);
  return array;
}

CUDA_MEMCPY3D box_of(std::size_t width, std::size_t height, std::size_t depth) {
  CUDA_MEMCPY3D copy{};
  copy.WidthInBytes = width;
  copy.Height = height;
  copy.Depth = depth;
  return copy;
}

}  // namespace

TEST_CASE("an array is described by the guest, and ended once") {
  Session session;
  CUarray array = make_array(64, 32, 0);
  CUDA_ARRAY3D_DESCRIPTOR whole{};
  CHECK(cuArray3DGetDescriptor(&whole, array) == CUDA_SUCCESS);
  CHECK(whole.Width == 64);
  CUDA_ARRAY_DESCRIPTOR flat{};
  CHECK(cuArrayGetDescriptor(&flat, array) == CUDA_SUCCESS);
  CHECK(flat.Height == 32);
  CHECK(cuArrayGetDescriptor(nullptr, array) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuArray3DCreate(&array, nullptr) == CUDA_ERROR_INVALID_VALUE);
  const CUDA_ARRAY3D_DESCRIPTOR sparse{64, 32, 0, CU_AD_FORMAT_FLOAT, 1, CUDA_ARRAY3D_SPARSE};
  CUarray refused = nullptr;
  CHECK(cuArray3DCreate(&refused, &sparse) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(cuArrayDestroy(array) == CUDA_SUCCESS);
  CHECK(cuArrayDestroy(array) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuArray3DGetDescriptor(&whole, array) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("a level is one array however often it is asked for, and goes with its mipmapped array") {
  Session session;
  session.executor.on<call::cuMipmappedArrayGetLevel>([](const Record& record) {
    call::cuMipmappedArrayGetLevel::Reply reply{};
    reply.shape.width = 64 >> record.as<call::cuMipmappedArrayGetLevel>().number;
    return reply_with(reply);
  });
  const CUDA_ARRAY3D_DESCRIPTOR descriptor{64, 32, 0, CU_AD_FORMAT_FLOAT, 1, 0};
  CUmipmappedArray mipmapped = nullptr;
  CHECK(cuMipmappedArrayCreate(&mipmapped, &descriptor, 0) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMipmappedArrayCreate(&mipmapped, &descriptor, 3) == CUDA_SUCCESS);
  CUarray level = nullptr;
  CUarray again = nullptr;
  REQUIRE(cuMipmappedArrayGetLevel(&level, mipmapped, 1) == CUDA_SUCCESS);
  REQUIRE(cuMipmappedArrayGetLevel(&again, mipmapped, 1) == CUDA_SUCCESS);
  CHECK(level == again);
  CHECK(session.executor.records_of<call::cuMipmappedArrayGetLevel>().size() == 1);
  CUDA_ARRAY3D_DESCRIPTOR shape{};
  CHECK(cuArray3DGetDescriptor(&shape, level) == CUDA_SUCCESS);
  CHECK(shape.Width == 32);
  CHECK(cuArrayDestroy(level) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuMipmappedArrayDestroy(mipmapped) == CUDA_SUCCESS);
  CHECK(cuArray3DGetDescriptor(&shape, level) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("boxes go to arrays and come back, in pieces if they are large") {
  Session session;
  struct Shape {
    std::size_t width, height, depth;
  };
  const Shape shape = GENERATE(Shape{16, 1, 1}, Shape{64, 33, 5}, Shape{512, 600, 3}, Shape{300000, 2, 2});
  CAPTURE(shape.width, shape.height, shape.depth);
  const CUarray array = make_array(shape.width, shape.height, shape.depth);
  const std::size_t row = shape.width * 4;
  const std::size_t pitch = row + 12;
  std::vector<unsigned char> data(pitch * (shape.height + 1) * shape.depth);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<unsigned char>(i * 7 + i / 509);
  CUDA_MEMCPY3D there = box_of(row, shape.height, shape.depth);
  there.srcMemoryType = CU_MEMORYTYPE_HOST;
  there.srcHost = data.data();
  there.srcPitch = pitch;
  there.srcHeight = shape.height + 1;
  there.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  there.dstArray = array;
  REQUIRE(cuMemcpy3D(&there) == CUDA_SUCCESS);
  std::vector<unsigned char> back(row * shape.height * shape.depth);
  CUDA_MEMCPY3D here = box_of(row, shape.height, shape.depth);
  here.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  here.srcArray = array;
  here.dstMemoryType = CU_MEMORYTYPE_HOST;
  here.dstHost = back.data();
  REQUIRE(cuMemcpy3DAsync(&here, nullptr) == CUDA_SUCCESS);
  for (std::size_t plane = 0; plane < shape.depth; ++plane)
    for (std::size_t y = 0; y < shape.height; ++y)
      REQUIRE(std::memcmp(back.data() + (plane * shape.height + y) * row,
                          data.data() + (plane * (shape.height + 1) + y) * pitch, row) == 0);
  CHECK(cuArrayDestroy(array) == CUDA_SUCCESS);
}

TEST_CASE("copies that lead out of an array or cut a texel are refused at once") {
  Session session;
  const CUarray array = make_array(16, 4, 0);
  unsigned char host[256] = {};
  CUDA_MEMCPY3D copy = box_of(16, 1, 1);
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = host;
  copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.dstArray = array;
  CHECK(cuMemcpy3D(&copy) == CUDA_SUCCESS);
  copy.dstXInBytes = 2;
  CHECK(cuMemcpy3D(&copy) == CUDA_ERROR_INVALID_VALUE);
  copy.dstXInBytes = 52;
  CHECK(cuMemcpy3D(&copy) == CUDA_ERROR_INVALID_VALUE);
  copy.dstXInBytes = 0;
  copy.dstY = 4;
  CHECK(cuMemcpy3D(&copy) == CUDA_ERROR_INVALID_VALUE);
  copy.dstY = 0;
  copy.dstZ = 1;
  CHECK(cuMemcpy3D(&copy) == CUDA_ERROR_INVALID_VALUE);
  copy.dstZ = 0;
  copy.dstLOD = 1;
  CHECK(cuMemcpy3D(&copy) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpy3D(nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("one row of an array is copied by bytes") {
  Session session;
  const CUarray first = make_array(64, 0, 0);
  const CUarray second = make_array(64, 0, 0);
  const CUarray rows = make_array(64, 4, 0);
  std::vector<unsigned char> data(128);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<unsigned char>(i * 3);
  REQUIRE(cuMemcpyHtoA(first, 64, data.data(), 128) == CUDA_SUCCESS);
  REQUIRE(cuMemcpyAtoA(second, 0, first, 64, 128) == CUDA_SUCCESS);
  std::vector<unsigned char> back(128);
  REQUIRE(cuMemcpyAtoHAsync(back.data(), second, 0, 128, nullptr) == CUDA_SUCCESS);
  CHECK(back == data);
  CHECK(cuMemcpyHtoA(rows, 0, data.data(), 64) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpyHtoA(first, 200, data.data(), 128) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("a texture's description comes back with the program's own handles") {
  Session session;
  session.executor.on<call::cuTexObjectCreate>(
      [](const Record&) { return reply_with(call::cuTexObjectCreate::Reply{7}); });
  const CUarray array = make_array(16, 16, 0);
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_ARRAY;
  resource.res.array.hArray = array;
  CUDA_TEXTURE_DESC sampling{};
  sampling.filterMode = CU_TR_FILTER_MODE_LINEAR;
  sampling.borderColor[3] = 0.5f;
  CUtexObject texture = 0;
  CHECK(cuTexObjectCreate(&texture, &resource, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuTexObjectCreate(&texture, &resource, &sampling, nullptr) == CUDA_SUCCESS);
  CHECK(texture == 7);
  CUDA_RESOURCE_DESC told{};
  CHECK(cuTexObjectGetResourceDesc(&told, texture) == CUDA_SUCCESS);
  CHECK(told.res.array.hArray == array);
  CUDA_TEXTURE_DESC told_sampling{};
  CHECK(cuTexObjectGetTextureDesc(&told_sampling, texture) == CUDA_SUCCESS);
  CHECK(told_sampling.borderColor[3] == 0.5f);
  CUDA_RESOURCE_VIEW_DESC view{};
  CHECK(cuTexObjectGetResourceViewDesc(&view, texture) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuTexObjectDestroy(texture) == CUDA_SUCCESS);
  CHECK(cuTexObjectDestroy(texture) == CUDA_ERROR_INVALID_VALUE);
  resource.res.array.hArray = reinterpret_cast<CUarray>(0x1234);
  CHECK(cuTexObjectCreate(&texture, &resource, &sampling, nullptr) == CUDA_ERROR_INVALID_HANDLE);
  resource.resType = CU_RESOURCE_TYPE_LINEAR;
  CUsurfObject surface = 0;
  CHECK(cuSurfObjectCreate(&surface, &resource) == CUDA_ERROR_INVALID_VALUE);
}
