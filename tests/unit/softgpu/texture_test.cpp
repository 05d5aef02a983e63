#include <algorithm>
#include <array>

#include "fixture.hpp"

using softgpu_test::download;
using softgpu_test::Gpu;
using softgpu_test::launch;
using softgpu_test::upload;

namespace {

class Textures : public Gpu {
 public:
  Textures() : Gpu(false) {
    REQUIRE_OK(cuModuleLoadData(&module, softgpu_test::read_image_file("textures.ptx").c_str()));
  }
  ~Textures() = default;

  /// Runs one thread for each point.
  template <class Out, class At>
  std::vector<Out> fetch(const char* kernel, CUtexObject texture, const std::vector<At>& points) {
    const CUdeviceptr at = upload(points);
    const CUdeviceptr out = upload(std::vector<Out>(points.size()));
    REQUIRE_OK(launch(function(kernel), 1, static_cast<unsigned>(points.size()), nullptr, texture, at, out));
    return download<Out>(out, points.size());
  }
};

using Two = std::array<float, 2>;
using Four = std::array<float, 4>;

CUarray make_array(std::size_t width, std::size_t height, std::size_t depth, CUarray_format format, unsigned flags,
                   const void* values, std::size_t texel) {
  CUDA_ARRAY3D_DESCRIPTOR descriptor{width, height, depth, format, 1, flags};
  CUarray array = nullptr;
  REQUIRE_OK(cuArray3DCreate(&array, &descriptor));
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = values;
  copy.srcPitch = width * texel;
  copy.srcHeight = height;
  copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.dstArray = array;
  copy.WidthInBytes = width * texel;
  copy.Height = std::max<std::size_t>(1, height);
  copy.Depth = std::max<std::size_t>(1, depth);
  REQUIRE_OK(cuMemcpy3D(&copy));
  return array;
}

CUDA_RESOURCE_DESC of_array(CUarray array) {
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_ARRAY;
  resource.res.array.hArray = array;
  return resource;
}

CUDA_TEXTURE_DESC reads(CUaddress_mode mode, CUfilter_mode filter, unsigned flags) {
  CUDA_TEXTURE_DESC description{};
  for (CUaddress_mode& one : description.addressMode) one = mode;
  description.filterMode = filter;
  description.flags = flags;
  return description;
}

CUtexObject make_texture(const CUDA_RESOURCE_DESC& resource, const CUDA_TEXTURE_DESC& description) {
  CUtexObject texture = 0;
  REQUIRE_OK(cuTexObjectCreate(&texture, &resource, &description, nullptr));
  return texture;
}

const std::vector<float> kRamp = {0, 1, 2, 3, 10, 11, 12, 13};  // 4 x 2

}  // namespace

TEST_CASE("texture: the nearest texel, and what lies outside in each address mode") {
  Textures gpu;
  const CUarray array = make_array(4, 2, 0, CU_AD_FORMAT_FLOAT, 0, kRamp.data(), 4);
  const auto at = [&](CUaddress_mode mode, unsigned flags, Two point) {
    auto description = reads(mode, CU_TR_FILTER_MODE_POINT, flags);
    description.borderColor[0] = 77;
    const CUtexObject texture = make_texture(of_array(array), description);
    const float value = gpu.fetch<Four>("plane", texture, std::vector<Two>{point})[0][0];
    REQUIRE_OK(cuTexObjectDestroy(texture));
    return value;
  };
  CHECK(at(CU_TR_ADDRESS_MODE_CLAMP, 0, {2.9F, 1.5F}) == 12);
  CHECK(at(CU_TR_ADDRESS_MODE_CLAMP, 0, {-3, 9}) == 10);
  CHECK(at(CU_TR_ADDRESS_MODE_BORDER, 0, {-0.5F, 0}) == 77);
  CHECK(at(CU_TR_ADDRESS_MODE_BORDER, 0, {3.5F, 0}) == 3);
  constexpr unsigned kNormalized = CU_TRSF_NORMALIZED_COORDINATES;
  CHECK(at(CU_TR_ADDRESS_MODE_WRAP, kNormalized, {1.3F, 0}) == 1);
  CHECK(at(CU_TR_ADDRESS_MODE_WRAP, kNormalized, {-0.1F, 0.75F}) == 13);
  CHECK(at(CU_TR_ADDRESS_MODE_MIRROR, kNormalized, {1.1F, 0}) == 3);
  CHECK(at(CU_TR_ADDRESS_MODE_MIRROR, kNormalized, {-0.3F, 0}) == 1);
  // Not defined without normalized coordinates: as if clamped.
  CHECK(at(CU_TR_ADDRESS_MODE_WRAP, 0, {5, 0}) == 3);
}

TEST_CASE("texture: linear filtering weighs with 8 bits behind the point") {
  Textures gpu;
  const CUarray array = make_array(4, 2, 0, CU_AD_FORMAT_FLOAT, 0, kRamp.data(), 4);
  const CUtexObject texture =
      make_texture(of_array(array), reads(CU_TR_ADDRESS_MODE_CLAMP, CU_TR_FILTER_MODE_LINEAR, 0));
  const auto values =
      gpu.fetch<Four>("plane", texture, std::vector<Two>{{1, 0.5F}, {0.5F, 0.5F}, {2, 1}, {1.6F, 0.5F}});
  CHECK(values[0][0] == 0.5F);
  CHECK(values[1][0] == 0);
  CHECK(values[2][0] == 6.5F);
  CHECK(values[3][0] == 1 + 26.0F / 256);  // 0.1 is nearest to 26 of 256 parts
}

TEST_CASE("texture: integers are read as they are, or as floats of one") {
  Textures gpu;
  const std::vector<unsigned char> bytes = {0, 51, 255, 128};
  const CUarray array = make_array(4, 1, 0, CU_AD_FORMAT_UNSIGNED_INT8, 0, bytes.data(), 1);
  const std::vector<Two> points = {{0, 0}, {1, 0}, {2, 0}, {3, 0}};
  const auto point_sampled = reads(CU_TR_ADDRESS_MODE_CLAMP, CU_TR_FILTER_MODE_POINT, CU_TRSF_READ_AS_INTEGER);
  CHECK(gpu.fetch<int>("plane_integers", make_texture(of_array(array), point_sampled), points) ==
        std::vector<int>{0, 51, 255, 128});
  const auto normalized = reads(CU_TR_ADDRESS_MODE_CLAMP, CU_TR_FILTER_MODE_POINT, 0);
  const auto floats = gpu.fetch<Four>("plane", make_texture(of_array(array), normalized), points);
  CHECK(floats[1][0] == 0.2F);
  CHECK(floats[2][0] == 1);
  auto filtered = point_sampled;
  filtered.filterMode = CU_TR_FILTER_MODE_LINEAR;
  CUtexObject texture = 0;
  const auto resource = of_array(array);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &filtered, nullptr));
}

TEST_CASE("texture: volumes, layers, faces of a cube, levels") {
  Textures gpu;
  std::vector<float> values(2 * 2 * 6);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i / 4 * 100 + i % 4);
  const auto clamp = reads(CU_TR_ADDRESS_MODE_CLAMP, CU_TR_FILTER_MODE_POINT, 0);
  const CUarray volume = make_array(2, 2, 6, CU_AD_FORMAT_FLOAT, 0, values.data(), 4);
  const std::vector<Four> points = {{0.5F, 0.5F, 2.5F, 0}, {1.5F, 1.5F, 5.5F, 0}};
  CHECK(gpu.fetch<float>("volume", make_texture(of_array(volume), clamp), points) == std::vector<float>{200, 503});
  auto linear = clamp;
  linear.filterMode = CU_TR_FILTER_MODE_LINEAR;
  CHECK(gpu.fetch<float>("volume", make_texture(of_array(volume), linear), std::vector<Four>{{1, 1, 3, 0}})[0] ==
        251.5F);

  const CUarray layered = make_array(2, 2, 6, CU_AD_FORMAT_FLOAT, CUDA_ARRAY3D_LAYERED, values.data(), 4);
  CHECK(gpu.fetch<float>("layers", make_texture(of_array(layered), clamp),
                         std::vector<Four>{{1.5F, 0.5F, 4, 0}, {0, 0, 99, 0}}) == std::vector<float>{401, 500});

  const CUarray cube = make_array(2, 2, 6, CU_AD_FORMAT_FLOAT, CUDA_ARRAY3D_CUBEMAP, values.data(), 4);
  auto normalized = clamp;
  normalized.flags = CU_TRSF_NORMALIZED_COORDINATES;
  // +x, -x, +y, -y, +z, -z, each a little to one side.
  CHECK(gpu.fetch<float>("cube", make_texture(of_array(cube), normalized),
                         std::vector<Four>{{1, 0.5F, 0.5F, 0},
                                           {-1, 0.5F, 0.5F, 0},
                                           {0.5F, 1, 0.5F, 0},
                                           {0.5F, -1, 0.5F, 0},
                                           {0.5F, 0.5F, 1, 0},
                                           {0.5F, 0.5F, -1, 0}}) == std::vector<float>{0, 101, 203, 301, 401, 500});

  CUDA_ARRAY3D_DESCRIPTOR descriptor{4, 4, 0, CU_AD_FORMAT_FLOAT, 1, 0};
  CUmipmappedArray mipmapped = nullptr;
  REQUIRE_OK(cuMipmappedArrayCreate(&mipmapped, &descriptor, 9));
  for (unsigned i = 0; i < 3; ++i) {
    CUarray level = nullptr;
    REQUIRE_OK(cuMipmappedArrayGetLevel(&level, mipmapped, i));
    const std::size_t side = 4u >> i;
    const std::vector<float> filled(side * side, static_cast<float>(i * 10));
    CUDA_MEMCPY2D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = filled.data();
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = level;
    copy.WidthInBytes = side * 4;
    copy.Height = side;
    REQUIRE_OK(cuMemcpy2D(&copy));
    CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuArrayDestroy(level));
  }
  CUarray none = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMipmappedArrayGetLevel(&none, mipmapped, 3));
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY;
  resource.res.mipmap.hMipmappedArray = mipmapped;
  normalized.mipmapFilterMode = CU_TR_FILTER_MODE_LINEAR;
  normalized.maxMipmapLevelClamp = 9;
  CHECK(gpu.fetch<float>("level", make_texture(resource, normalized),
                         std::vector<Four>{{0, 0, 0, 0}, {0, 0, 1.5F, 0}, {0, 0, 7, 0}}) ==
        std::vector<float>{0, 15, 20});
  CHECK_RESULT(CUDA_SUCCESS, cuMipmappedArrayDestroy(mipmapped));
}

TEST_CASE("texture: linear and pitched memory, gathers, queries") {
  Textures gpu;
  const CUdeviceptr memory = upload(kRamp);
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_LINEAR;
  resource.res.linear = {memory, CU_AD_FORMAT_FLOAT, 1, 32};
  const auto clamp = reads(CU_TR_ADDRESS_MODE_CLAMP, CU_TR_FILTER_MODE_POINT, 0);
  CHECK(gpu.fetch<float>("linear", make_texture(resource, clamp), std::vector<int>{0, 5, 7, 8, -1}) ==
        std::vector<float>{0, 11, 13, 0, 0});
  resource.res.linear.devPtr = memory + 4;
  CUtexObject texture = 0;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuTexObjectCreate(&texture, &resource, &clamp, nullptr));

  std::vector<float> rows(16);
  for (std::size_t i = 0; i < 8; ++i) rows[i / 4 * 8 + i % 4] = kRamp[i];
  CUDA_RESOURCE_DESC pitched{};
  pitched.resType = CU_RESOURCE_TYPE_PITCH2D;
  pitched.res.pitch2D = {upload(rows), CU_AD_FORMAT_FLOAT, 1, 4, 2, 32};
  texture = make_texture(pitched, clamp);
  CHECK(gpu.fetch<Four>("plane", texture, std::vector<Two>{{3, 1}})[0][0] == 13);
  CHECK(gpu.fetch<Four>("gather", texture, std::vector<Two>{{2, 1}})[0] == Four{11, 12, 2, 1});

  const CUarray array = make_array(4, 2, 0, CU_AD_FORMAT_FLOAT, CUDA_ARRAY3D_SURFACE_LDST, kRamp.data(), 4);
  const auto described = of_array(array);
  CUsurfObject surface = 0;
  REQUIRE_OK(cuSurfObjectCreate(&surface, &described));
  const CUdeviceptr out = upload(std::vector<unsigned>(4));
  REQUIRE_OK(launch(gpu.function("query"), 1, 1, nullptr, texture, surface, out));
  CHECK(download<unsigned>(out, 4) == std::vector<unsigned>{4, 2, 4, 2});
  CUDA_TEXTURE_DESC back{};
  REQUIRE_OK(cuTexObjectGetTextureDesc(&back, texture));
  CHECK(back.addressMode[0] == CU_TR_ADDRESS_MODE_CLAMP);
}

TEST_CASE("surface: reads and writes, and what lies outside") {
  Textures gpu;
  const std::vector<int> values = {1, 2, 3, 4, 5, 6, 7, 8};
  const CUarray plain = make_array(4, 2, 0, CU_AD_FORMAT_SIGNED_INT32, 0, values.data(), 4);
  auto resource = of_array(plain);
  CUsurfObject surface = 0;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuSurfObjectCreate(&surface, &resource));
  const CUarray array = make_array(4, 2, 0, CU_AD_FORMAT_SIGNED_INT32, CUDA_ARRAY3D_SURFACE_LDST, values.data(), 4);
  resource = of_array(array);
  REQUIRE_OK(cuSurfObjectCreate(&surface, &resource));
  REQUIRE_OK(launch(gpu.function("add_one"), 2, 4, nullptr, surface));
  std::vector<int> back(8);
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.srcArray = array;
  copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.dstHost = back.data();
  copy.WidthInBytes = 16;
  copy.Height = 2;
  REQUIRE_OK(cuMemcpy2D(&copy));
  CHECK(back == std::vector<int>{2, 3, 4, 5, 6, 7, 8, 9});
  const CUdeviceptr out = upload(std::vector<int>(12, -1));
  REQUIRE_OK(launch(gpu.function("read_outside"), 1, 6, nullptr, surface, out));
  CHECK(download<int>(out, 12) == std::vector<int>{0, 2, 2, 2, 3, 3, 4, 4, 5, 5, 0, 5});
  REQUIRE_OK(launch(gpu.function("write_outside"), 1, 1, nullptr, surface));
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}

TEST_CASE("texture: a handle that names none is a fault") {
  Textures gpu;
  const CUdeviceptr out = upload(std::vector<float>(8));
  REQUIRE_OK(launch(gpu.function("linear"), 1, 1, nullptr, CUtexObject{0x1234}, out, out));
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}

TEST_CASE("texture: a texture whose array is gone is a fault") {
  Textures gpu;
  const CUarray array = make_array(4, 2, 0, CU_AD_FORMAT_FLOAT, 0, kRamp.data(), 4);
  const CUtexObject texture =
      make_texture(of_array(array), reads(CU_TR_ADDRESS_MODE_CLAMP, CU_TR_FILTER_MODE_POINT, 0));
  const CUdeviceptr at = upload(std::vector<float>(8));
  const CUdeviceptr out = upload(std::vector<float>(1 << 16));
  REQUIRE_OK(cuArrayDestroy(array));
  REQUIRE_OK(launch(gpu.function("plane"), 1, 1, nullptr, texture, at, out));
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}
