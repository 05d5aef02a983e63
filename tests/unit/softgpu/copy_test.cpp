#include <numeric>

#include "fixture.hpp"

using softgpu_test::download;
using softgpu_test::Gpu;
using softgpu_test::upload;

namespace {

std::vector<unsigned> numbers(std::size_t count) {
  std::vector<unsigned> values(count);
  std::iota(values.begin(), values.end(), 1u);
  return values;
}

}  // namespace

TEST_CASE("copy: all directions, synchronous") {
  Gpu gpu(false);
  const auto values = numbers(100000);
  const std::size_t bytes = values.size() * sizeof(unsigned);
  const auto first = upload(values);
  const auto second = upload(std::vector<unsigned>(values.size()));
  REQUIRE_OK(cuMemcpyDtoD(second, first, bytes));
  CHECK(download<unsigned>(second, values.size()) == values);
  std::vector<unsigned> back(values.size());
  REQUIRE_OK(cuMemcpy(reinterpret_cast<CUdeviceptr>(back.data()), first, bytes));
  CHECK(back == values);
  REQUIRE_OK(cuMemcpy(second, reinterpret_cast<CUdeviceptr>(numbers(100000).data()), bytes));
  REQUIRE_OK(cuMemcpyPeer(second, gpu.context, first, gpu.context, bytes));
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuMemcpyPeer(second, nullptr, first, gpu.context, bytes));
}

TEST_CASE("copy: bad addresses") {
  Gpu gpu(false);
  const auto memory = upload(numbers(1024));
  std::vector<unsigned> host(4096);
  CHECK_RESULT(CUDA_SUCCESS, cuMemcpyHtoD(memory, host.data(), 4096));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(memory, host.data(), 4097));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(memory - 1, host.data(), 4));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(memory, nullptr, 4));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(0, host.data(), 4));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(memory, host.data(), SIZE_MAX));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(host.data(), reinterpret_cast<CUdeviceptr>(host.data()), 4));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoD(memory, memory + 4096, 4));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(memory, 0, 4097));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemsetD32(memory + 2, 0, 4));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemsetD32(memory, 0, SIZE_MAX / 2));
  CHECK_RESULT(CUDA_SUCCESS, cuMemcpyHtoD(memory, host.data(), 0));
}

TEST_CASE("copy: fills") {
  Gpu gpu(false);
  const auto memory = upload(std::vector<unsigned char>(4096));
  REQUIRE_OK(cuMemsetD8(memory, 0xab, 100));
  REQUIRE_OK(cuMemsetD16(memory + 100, 0x1234, 50));
  REQUIRE_OK(cuMemsetD32(memory + 200, 0xdeadbeef, 7));
  const auto bytes = download<unsigned char>(memory, 4096);
  CHECK(bytes[99] == 0xab);
  CHECK(bytes[100] == 0x34);
  CHECK(bytes[199] == 0x12);
  CHECK(bytes[224] == 0xef);
  CHECK(bytes[227] == 0xde);
  CHECK(bytes[228] == 0);
  REQUIRE_OK(cuMemsetD2D16(memory + 1024, 64, 0x5555, 3, 4));
  const auto rows = download<unsigned char>(memory + 1024, 256);
  for (std::size_t i = 0; i < rows.size(); ++i) CHECK(rows[i] == (i % 64 < 6 ? 0x55 : 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemsetD2D32(memory, 8, 0, 3, 2));
}

TEST_CASE("copy: rows in two and three dimensions") {
  Gpu gpu(false);
  const auto values = numbers(16 * 8 * 4);
  const auto memory = upload(values);
  std::vector<unsigned> host(5 * 3);
  CUDA_MEMCPY2D plan{};
  plan.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  plan.srcDevice = memory;
  plan.srcPitch = 16 * sizeof(unsigned);
  plan.srcXInBytes = 2 * sizeof(unsigned);
  plan.srcY = 1;
  plan.dstMemoryType = CU_MEMORYTYPE_HOST;
  plan.dstHost = host.data();
  plan.WidthInBytes = 5 * sizeof(unsigned);
  plan.Height = 3;
  REQUIRE_OK(cuMemcpy2D(&plan));
  for (unsigned y = 0; y < 3; ++y) {
    for (unsigned x = 0; x < 5; ++x) CHECK(host[y * 5 + x] == values[(y + 1) * 16 + x + 2]);
  }
  plan.srcPitch = 4;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D(&plan));
  plan.srcPitch = 16 * sizeof(unsigned);
  plan.srcY = 1000;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D(&plan));
  plan.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuMemcpy2D(&plan));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D(nullptr));

  std::vector<unsigned> box(2 * 3 * 2);
  CUDA_MEMCPY3D box_plan{};
  box_plan.srcMemoryType = CU_MEMORYTYPE_UNIFIED;
  box_plan.srcDevice = memory;
  box_plan.srcPitch = 16 * sizeof(unsigned);
  box_plan.srcHeight = 8;
  box_plan.srcXInBytes = 4 * sizeof(unsigned);
  box_plan.srcY = 2;
  box_plan.srcZ = 1;
  box_plan.dstMemoryType = CU_MEMORYTYPE_HOST;
  box_plan.dstHost = box.data();
  box_plan.WidthInBytes = 2 * sizeof(unsigned);
  box_plan.Height = 3;
  box_plan.Depth = 2;
  REQUIRE_OK(cuMemcpy3D(&box_plan));
  for (unsigned z = 0; z < 2; ++z) {
    for (unsigned y = 0; y < 3; ++y) {
      for (unsigned x = 0; x < 2; ++x) {
        CHECK(box[(z * 3 + y) * 2 + x] == values[((z + 1) * 8 + y + 2) * 16 + x + 4]);
      }
    }
  }
  box_plan.srcZ = UINT64_MAX / 16;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpy3D(&box_plan));
}

TEST_CASE("copy: pageable memory is read before an asynchronous copy returns") {
  Gpu gpu;
  for (const std::size_t count : {std::size_t{8}, std::size_t{10000}}) {
    CUstream stream = nullptr;
    REQUIRE_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    softgpu_test::Flag flag;
    const auto memory = upload(std::vector<unsigned>(count));
    REQUIRE_OK(softgpu_test::launch(gpu.function("wait_for"), 1, 1, stream, flag.device()));
    auto source = numbers(count);
    REQUIRE_OK(cuMemcpyHtoDAsync(memory, source.data(), count * sizeof(unsigned), stream));
    source.assign(count, 0);
    CHECK_RESULT(CUDA_ERROR_NOT_READY, cuStreamQuery(stream));
    flag.raise();
    REQUIRE_OK(cuStreamSynchronize(stream));
    CHECK(download<unsigned>(memory, count) == numbers(count));
    REQUIRE_OK(cuStreamDestroy(stream));
  }
}

TEST_CASE("copy: pinned memory is copied behind what the stream does") {
  Gpu gpu;
  CUstream stream = nullptr;
  REQUIRE_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  const auto memory = upload(numbers(1 << 20));
  void* pinned = nullptr;
  REQUIRE_OK(cuMemHostAlloc(&pinned, 4 << 20, 0));
  auto* words = static_cast<unsigned*>(pinned);
  words[0] = words[(1 << 20) - 1] = 0;
  softgpu_test::Flag flag;
  REQUIRE_OK(softgpu_test::launch(gpu.function("wait_for"), 1, 1, stream, flag.device()));
  REQUIRE_OK(cuMemcpyDtoHAsync(pinned, memory, 4 << 20, stream));
  CHECK(words[0] == 0);
  flag.raise();
  REQUIRE_OK(cuStreamSynchronize(stream));
  CHECK(words[0] == 1);
  CHECK(words[(1 << 20) - 1] == 1 << 20);
  // To pageable memory it is complete when the call returns.
  std::vector<unsigned> pageable(1 << 20);
  REQUIRE_OK(cuMemcpyDtoHAsync(pageable.data(), memory, 4 << 20, stream));
  CHECK(pageable == numbers(1 << 20));
}
