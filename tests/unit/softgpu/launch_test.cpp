#include "fixture.hpp"

using softgpu_test::download;
using softgpu_test::Gpu;
using softgpu_test::launch;
using softgpu_test::upload;

namespace {

struct Shape {
  char tag;
  double factor;
  int offset;
};

int multiprocessors() {
  int value = 0;
  REQUIRE_OK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
  return value;
}

}  // namespace

TEST_CASE("launch: parameters one by one and packed") {
  Gpu gpu;
  constexpr unsigned kCount = 10000;
  std::vector<float> a(kCount);
  std::vector<float> b(kCount);
  for (unsigned i = 0; i < kCount; ++i) {
    a[i] = static_cast<float>(i);
    b[i] = 0.5f;
  }
  const auto device_a = upload(a);
  const auto device_b = upload(b);
  const auto sum = upload(std::vector<float>(kCount));
  REQUIRE_OK(launch(gpu.function("add"), (kCount + 127) / 128, 128, nullptr, device_a, device_b, sum, kCount));
  const auto result = download<float>(sum, kCount);
  for (unsigned i = 0; i < kCount; ++i) REQUIRE(result[i] == a[i] + b[i]);

  const auto values = upload(std::vector<double>{1, 2, 3, 4});
  struct {
    Shape shape{2, 10, 3};
    CUdeviceptr values = 0;
  } packed;
  packed.values = values;
  std::size_t bytes = sizeof packed;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
  CUfunction apply = gpu.function("apply");
  REQUIRE_OK(cuLaunchKernel(apply, 1, 1, 1, 4, 1, 1, 0, nullptr, nullptr, extra));
  CHECK(download<double>(values, 4) == std::vector<double>{15, 25, 35, 45});
  void* parameters[] = {&packed.shape, &packed.values};
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(apply, 1, 1, 1, 4, 1, 1, 0, nullptr, parameters, extra));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(apply, 1, 1, 1, 4, 1, 1, 0, nullptr, nullptr, nullptr));
  bytes = 8;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(apply, 1, 1, 1, 4, 1, 1, 0, nullptr, nullptr, extra));
  extra[0] = reinterpret_cast<void*>(77);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(apply, 1, 1, 1, 4, 1, 1, 0, nullptr, nullptr, extra));
}

TEST_CASE("launch: dimensions and resources are checked") {
  Gpu gpu;
  CUfunction empty = gpu.function("empty");
  const auto with = [&](unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared) {
    return cuLaunchKernel(empty, gx, gy, gz, bx, by, bz, shared, nullptr, nullptr, nullptr);
  };
  CHECK_RESULT(CUDA_SUCCESS, with(1, 1, 1, 1024, 1, 1, 0));
  CHECK_RESULT(CUDA_SUCCESS, with(1, 1, 1, 1, 1, 64, 49152));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, with(0, 1, 1, 1, 1, 1, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, with(1, 1, 1, 1, 0, 1, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, with(1, 65536, 1, 1, 1, 1, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, with(0x80000000u, 1, 1, 1, 1, 1, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, with(1, 1, 1, 1025, 1, 1, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, with(1, 1, 1, 1, 1, 65, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, with(1, 1, 1, 32, 32, 2, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, with(1, 1, 1, 1, 1, 1, 49153));
  const auto value = upload(std::vector<int>(1));
  CHECK_RESULT(CUDA_SUCCESS, launch(gpu.function("at_most_128"), 1, 128, nullptr, value));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, launch(gpu.function("at_most_128"), 1, 129, nullptr, value));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, launch(nullptr, 1, 1, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, launch(empty, 1, 1, reinterpret_cast<CUstream>(0x10)));
  CHECK_RESULT(CUDA_SUCCESS, cuCtxSynchronize());
}

TEST_CASE("launch: dynamic shared memory, beyond 48 KiB when allowed") {
  Gpu gpu;
  CUfunction reverse = gpu.function("reverse");
  const auto values = upload(std::vector<int>{1, 2, 3, 4});
  void* parameters[] = {const_cast<CUdeviceptr*>(&values)};
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE,
               cuLaunchKernel(reverse, 1, 1, 1, 4, 1, 1, 100000, nullptr, parameters, nullptr));
  REQUIRE_OK(cuFuncSetAttribute(reverse, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100000));
  REQUIRE_OK(cuLaunchKernel(reverse, 1, 1, 1, 4, 1, 1, 100000, nullptr, parameters, nullptr));
  CHECK(download<int>(values, 4) == std::vector<int>{4, 3, 2, 1});
}

TEST_CASE("launch: attributes of cuLaunchKernelEx") {
  Gpu gpu;
  CUfunction set = gpu.function("set");
  const auto value = upload(std::vector<unsigned>{0});
  unsigned to = 11;
  void* parameters[] = {const_cast<CUdeviceptr*>(&value), &to};
  CUlaunchAttribute attributes[2]{};
  CUlaunchConfig config{};
  config.gridDimX = config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = config.blockDimY = config.blockDimZ = 1;
  config.attrs = attributes;
  config.numAttrs = 2;
  attributes[0].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  attributes[0].value.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  attributes[1].value.clusterDim = {1, 1, 1};
  REQUIRE_OK(cuLaunchKernelEx(&config, set, parameters, nullptr));
  CHECK(download<unsigned>(value, 1).front() == 11);
  attributes[1].value.clusterDim = {2, 1, 1};
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED, cuLaunchKernelEx(&config, set, parameters, nullptr));
  attributes[1].id = static_cast<CUlaunchAttributeID>(999);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernelEx(&config, set, parameters, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernelEx(nullptr, set, parameters, nullptr));
}

TEST_CASE("launch: cooperative grids must fit the device") {
  Gpu gpu;
  const auto value = upload(std::vector<unsigned>{0});
  unsigned to = 5;
  void* parameters[] = {const_cast<CUdeviceptr*>(&value), &to};
  CUfunction set = gpu.function("set");
  REQUIRE_OK(cuLaunchCooperativeKernel(set, 1, 1, 1, 32, 1, 1, 0, nullptr, parameters));
  CHECK(download<unsigned>(value, 1).front() == 5);
  CHECK_RESULT(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
               cuLaunchCooperativeKernel(set, 100000, 1, 1, 32, 1, 1, 0, nullptr, parameters));
}

TEST_CASE("launch: occupancy") {
  Gpu gpu;
  CUfunction empty = gpu.function("empty");
  int blocks = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, empty, 1024, 0));
  CHECK(blocks == 2);
  CHECK_RESULT(CUDA_SUCCESS, cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, empty, 32, 0));
  CHECK(blocks == 32);
  CHECK_RESULT(CUDA_SUCCESS, cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, empty, 32, 100 * 1024));
  CHECK(blocks == 2);
  CHECK_RESULT(CUDA_SUCCESS, cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, empty, 2048, 0));
  CHECK(blocks == 0);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, empty, 0, 0));
  int grid = 0;
  int block = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuOccupancyMaxPotentialBlockSize(&grid, &block, empty, nullptr, 0, 0));
  CHECK(block == 1024);
  CHECK(grid == 2 * multiprocessors());
  CHECK_RESULT(CUDA_SUCCESS, cuOccupancyMaxPotentialBlockSize(&grid, &block, empty, nullptr, 0, 200));
  CHECK(block <= 200);
  std::size_t bytes = 0;
  CHECK_RESULT(CUDA_SUCCESS, cuOccupancyAvailableDynamicSMemPerBlock(&bytes, empty, 2, 256));
  CHECK(bytes == 113 * 1024);
  CHECK_RESULT(CUDA_SUCCESS, cuOccupancyAvailableDynamicSMemPerBlock(&bytes, empty, 1, 256));
  CHECK(bytes == 227 * 1024);
  CUlaunchConfig config{};
  config.gridDimX = config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = 1024;
  config.blockDimY = config.blockDimZ = 1;
  int clusters = -1;
  CHECK_RESULT(CUDA_SUCCESS, cuOccupancyMaxActiveClusters(&clusters, empty, &config));
  CHECK(clusters == 2 * multiprocessors());
  CUlaunchAttribute attribute{};
  attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  attribute.value.clusterDim = {2, 1, 1};
  config.attrs = &attribute;
  config.numAttrs = 1;
  CHECK_RESULT(CUDA_SUCCESS, cuOccupancyMaxActiveClusters(&clusters, empty, &config));
  CHECK(clusters == 0);
}
