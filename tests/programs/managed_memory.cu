// Managed memory: one address for the host and kernels, advice and prefetches, and words that streams write and wait
// for.

#include "driver.hpp"

__global__ void square(int* values, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) values[i] *= values[i];
}

static void share_a_list() {
  constexpr int kCount = 100000;
  int* values = nullptr;
  CHECK(cudaMallocManaged(&values, kCount * sizeof(int)));
  for (int i = 0; i < kCount; ++i) values[i] = i % 1000;
  square<<<(kCount + 255) / 256, 256>>>(values, kCount);
  CHECK(cudaDeviceSynchronize());
  for (int i = 0; i < kCount; ++i) REQUIRE(values[i] == (i % 1000) * (i % 1000), "value %d is %d", i, values[i]);

  cudaPointerAttributes attributes{};
  CHECK(cudaPointerGetAttributes(&attributes, values + 5));
  REQUIRE(attributes.type == cudaMemoryTypeManaged, "a pointer of type %d", static_cast<int>(attributes.type));
  REQUIRE(attributes.devicePointer == values + 5 && attributes.hostPointer == values + 5, "not one address");

  // Copies know it from both sides, and in both directions.
  int word = -1;
  CHECK(cudaMemcpy(&word, values + 3, sizeof word, cudaMemcpyDefault));
  REQUIRE(word == 9, "a copied word of %d", word);
  int* device = nullptr;
  CHECK(cudaMalloc(&device, kCount * sizeof(int)));
  CHECK(cudaMemcpy(device, values, kCount * sizeof(int), cudaMemcpyDefault));
  CHECK(cudaMemset(values, 0, kCount * sizeof(int)));
  CHECK(cudaDeviceSynchronize());
  REQUIRE(values[7] == 0, "memory set by the GPU");
  CHECK(cudaMemcpy(values, device, kCount * sizeof(int), cudaMemcpyDefault));
  CHECK(cudaDeviceSynchronize());
  REQUIRE(values[7] == 49, "memory copied by the GPU");

  CUmemLocation gpu{};
  gpu.type = CU_MEM_LOCATION_TYPE_DEVICE;
  gpu.id = 0;
  const auto address = reinterpret_cast<CUdeviceptr>(values);
  CU_CHECK(cuMemAdvise, address, kCount * sizeof(int), CU_MEM_ADVISE_SET_READ_MOSTLY, gpu);
  int mostly_read = 0;
  CU_CHECK(cuMemRangeGetAttribute, &mostly_read, sizeof mostly_read, CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, address,
           kCount * sizeof(int));
  REQUIRE(mostly_read == 1, "advice");
  CU_CHECK(cuMemPrefetchAsync, address, kCount * sizeof(int), gpu, 0, nullptr);
  CHECK(cudaDeviceSynchronize());
  CU_EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAdvise, reinterpret_cast<CUdeviceptr>(device), 4,
            CU_MEM_ADVISE_SET_READ_MOSTLY, gpu);
  CHECK(cudaFree(device));
  CHECK(cudaFree(values));
}

static void wait_for_words() {
  int able = 0;
  CU_CHECK(cuDeviceGetAttribute, &able, CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS, 0);
  REQUIRE(able == 1, "the device has no memory operations of streams");
  CUdeviceptr words = 0;
  CU_CHECK(cuMemAlloc, &words, 64);
  CU_CHECK(cuMemsetD8, words, 0, 64);
  CUstream first = nullptr;
  CUstream second = nullptr;
  CU_CHECK(cuStreamCreate, &first, CU_STREAM_NON_BLOCKING);
  CU_CHECK(cuStreamCreate, &second, CU_STREAM_NON_BLOCKING);
  // The first stream goes on when the second has written both words.
  CU_CHECK(cuStreamWaitValue32, first, words, 5, CU_STREAM_WAIT_VALUE_EQ);
  CU_CHECK(cuStreamWaitValue64, first, words + 8, 1ull << 40, CU_STREAM_WAIT_VALUE_GEQ);
  CU_CHECK(cuMemsetD32Async, words + 16, 77, 1, first);
  CU_EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery, first);
  CUstreamBatchMemOpParams operations[2]{};
  operations[0].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_64;
  operations[0].writeValue.address = words + 8;
  operations[0].writeValue.value64 = (1ull << 40) + 3;
  operations[1].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
  operations[1].writeValue.address = words;
  operations[1].writeValue.value = 5;
  CU_CHECK(cuStreamBatchMemOp, second, 2, operations, 0);
  CU_CHECK(cuStreamSynchronize, first);
  unsigned word = 0;
  CU_CHECK(cuMemcpyDtoH, &word, words + 16, sizeof word);
  REQUIRE(word == 77, "the word behind the waits is %u", word);
  CU_CHECK(cuStreamWriteValue64, second, words + 24, 0x123456789abcdefull, 0);
  CU_CHECK(cuStreamWriteValue32, second, words + 32, 9, CU_STREAM_WRITE_VALUE_DEFAULT);
  CU_CHECK(cuStreamSynchronize, second);
  unsigned long long wide = 0;
  CU_CHECK(cuMemcpyDtoH, &wide, words + 24, sizeof wide);
  REQUIRE(wide == 0x123456789abcdefull, "a wide word of %llx", wide);
  CU_CHECK(cuStreamDestroy, first);
  CU_CHECK(cuStreamDestroy, second);
  CU_CHECK(cuMemFree, words);
}

int main() {
  CHECK(cudaSetDevice(0));
  CHECK(cudaFree(nullptr));
  int able = 0;
  CHECK(cudaDeviceGetAttribute(&able, cudaDevAttrManagedMemory, 0));
  if (able == 1) share_a_list();
  wait_for_words();
  std::printf("managed_memory: ok managed=%d\n", able);
  return 0;
}
