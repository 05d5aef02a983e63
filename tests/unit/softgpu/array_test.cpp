#include "fixture.hpp"

using softgpu_test::download;
using softgpu_test::Gpu;
using softgpu_test::upload;

TEST_CASE("array: descriptions come back, bad ones are refused") {
  Gpu gpu(false);
  CUarray array = nullptr;
  CUDA_ARRAY3D_DESCRIPTOR descriptor{16, 8, 4, CU_AD_FORMAT_HALF, 2, CUDA_ARRAY3D_SURFACE_LDST};
  REQUIRE_OK(cuArray3DCreate(&array, &descriptor));
  CUDA_ARRAY3D_DESCRIPTOR back{};
  REQUIRE_OK(cuArray3DGetDescriptor(&back, array));
  CHECK(back.Width == 16);
  CHECK(back.Height == 8);
  CHECK(back.Depth == 4);
  CHECK(back.Format == CU_AD_FORMAT_HALF);
  CHECK(back.NumChannels == 2);
  CHECK(back.Flags == CUDA_ARRAY3D_SURFACE_LDST);
  CHECK_RESULT(CUDA_SUCCESS, cuArrayDestroy(array));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuArrayDestroy(array));

  const auto create = [&](std::size_t width, std::size_t height, std::size_t depth, CUarray_format format,
                          unsigned channels, unsigned flags) {
    const CUDA_ARRAY3D_DESCRIPTOR one{width, height, depth, format, channels, flags};
    return cuArray3DCreate(&array, &one);
  };
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, create(0, 1, 0, CU_AD_FORMAT_FLOAT, 1, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, create(4, 4, 0, CU_AD_FORMAT_FLOAT, 3, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, create(4, 0, 4, CU_AD_FORMAT_FLOAT, 1, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, create(4, 2, 6, CU_AD_FORMAT_FLOAT, 1, CUDA_ARRAY3D_CUBEMAP));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, create(1 << 18, 1, 0, CU_AD_FORMAT_FLOAT, 1, 0));
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED, create(4, 4, 0, CU_AD_FORMAT_NV12, 1, 0));
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED, create(4, 4, 0, CU_AD_FORMAT_FLOAT, 1, CUDA_ARRAY3D_SPARSE));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuArrayCreate(&array, nullptr));
}

TEST_CASE("array: copies in one dimension") {
  Gpu gpu(false);
  const CUDA_ARRAY_DESCRIPTOR descriptor{8, 0, CU_AD_FORMAT_SIGNED_INT32, 1};
  CUarray first = nullptr;
  CUarray second = nullptr;
  REQUIRE_OK(cuArrayCreate(&first, &descriptor));
  REQUIRE_OK(cuArrayCreate(&second, &descriptor));
  const std::vector<int> values = {1, 2, 3, 4, 5, 6, 7, 8};
  REQUIRE_OK(cuMemcpyHtoA(first, 0, values.data(), 32));
  REQUIRE_OK(cuMemcpyAtoA(second, 8, first, 0, 24));
  std::vector<int> back(8, -1);
  REQUIRE_OK(cuMemcpyAtoH(back.data(), second, 0, 32));
  CHECK(back == std::vector<int>{0, 0, 1, 2, 3, 4, 5, 6});
  const CUdeviceptr memory = upload(values);
  REQUIRE_OK(cuMemcpyDtoA(second, 0, memory + 16, 16));
  REQUIRE_OK(cuMemcpyAtoD(memory, second, 0, 16));
  CHECK(download<int>(memory, 4) == std::vector<int>{5, 6, 7, 8});
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoA(first, 4, values.data(), 32));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoA(first, 2, values.data(), 4));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuMemcpyHtoA(nullptr, 0, values.data(), 4));
  CUstream stream = nullptr;
  REQUIRE_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  REQUIRE_OK(cuMemcpyHtoAAsync(first, 0, back.data(), 32, stream));
  REQUIRE_OK(cuMemcpyAtoHAsync(back.data(), first, 8, 8, stream));
  REQUIRE_OK(cuStreamSynchronize(stream));
  CHECK(back[0] == 1);
}

TEST_CASE("array: its memory counts, and comes back") {
  Gpu gpu(false);
  std::size_t before = 0;
  std::size_t now = 0;
  std::size_t total = 0;
  REQUIRE_OK(cuMemGetInfo(&before, &total));
  CUDA_ARRAY3D_DESCRIPTOR descriptor{256, 256, 16, CU_AD_FORMAT_FLOAT, 4, 0};
  CUmipmappedArray array = nullptr;
  REQUIRE_OK(cuMipmappedArrayCreate(&array, &descriptor, 3));
  REQUIRE_OK(cuMemGetInfo(&now, &total));
  CHECK(before - now >= 256 * 256 * 16 * 16);
  REQUIRE_OK(cuMipmappedArrayDestroy(array));
  REQUIRE_OK(cuMemGetInfo(&now, &total));
  CHECK(before == now);
  descriptor.Width = descriptor.Height = descriptor.Depth = 16384;
  CUarray huge = nullptr;
  CHECK_RESULT(CUDA_ERROR_OUT_OF_MEMORY, cuArray3DCreate(&huge, &descriptor));
}
