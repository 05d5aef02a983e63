// Virtual memory: one range of addresses over several pieces of memory, one piece at two addresses, growth in place,
// and what is refused.
#include <algorithm>
#include <vector>

#include "driver.hpp"

__global__ void fill(unsigned* to, size_t count, unsigned first) {
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count; i += size_t{gridDim.x} * blockDim.x)
    to[i] = first + static_cast<unsigned>(i);
}

static CUmemAllocationProp properties_of(int device) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = device;
  return properties;
}

static unsigned word_at(CUdeviceptr address) {
  unsigned word = 0;
  CHECK(cudaMemcpy(&word, reinterpret_cast<void*>(address), sizeof word, cudaMemcpyDeviceToHost));
  return word;
}

int main() {
  CHECK(cudaSetDevice(0));
  CHECK(cudaFree(nullptr));
  int able = 0;
  CU_CHECK(cuDeviceGetAttribute, &able, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0);
  REQUIRE(able == 1, "the device has no virtual memory management");

  const CUmemAllocationProp properties = properties_of(0);
  size_t granularity = 0;
  CU_CHECK(cuMemGetAllocationGranularity, &granularity, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
  REQUIRE(granularity != 0 && (granularity & (granularity - 1)) == 0, "a granularity of %zu", granularity);
  const size_t piece = std::max(granularity, size_t{2} << 20);
  const size_t words = piece / sizeof(unsigned);

  // Three pieces in one range: a kernel sees one array.
  CUdeviceptr range = 0;
  CU_CHECK(cuMemAddressReserve, &range, 4 * piece, 0, 0, 0);
  REQUIRE(range % granularity == 0, "a range at %#llx", range);
  CUmemAccessDesc access{};
  access.location = properties.location;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  std::vector<CUmemGenericAllocationHandle> pieces(3);
  for (size_t i = 0; i < pieces.size(); ++i) {
    CU_CHECK(cuMemCreate, &pieces[i], piece, &properties, 0);
    CU_CHECK(cuMemMap, range + i * piece, piece, 0, pieces[i], 0);
  }
  unsigned long long flags = 1;
  CU_CHECK(cuMemGetAccess, &flags, &access.location, range);
  REQUIRE(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE, "access %llu before it is set", flags);
  CU_CHECK(cuMemSetAccess, range, 3 * piece, &access, 1);
  CU_CHECK(cuMemGetAccess, &flags, &access.location, range);
  REQUIRE(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE, "access %llu", flags);
  fill<<<64, 256>>>(reinterpret_cast<unsigned*>(range), 3 * words, 7);
  CHECK(cudaDeviceSynchronize());
  std::vector<unsigned> read(3 * words);
  CHECK(
      cudaMemcpy(read.data(), reinterpret_cast<void*>(range), read.size() * sizeof(unsigned), cudaMemcpyDeviceToHost));
  for (size_t i = 0; i < read.size(); ++i)
    REQUIRE(read[i] == 7 + static_cast<unsigned>(i), "word %zu is %u", i, read[i]);

  // It grows in place, and what was there stays.
  CUmemGenericAllocationHandle more = 0;
  CU_CHECK(cuMemCreate, &more, piece, &properties, 0);
  CU_CHECK(cuMemMap, range + 3 * piece, piece, 0, more, 0);
  CU_CHECK(cuMemSetAccess, range + 3 * piece, piece, &access, 1);
  CHECK(cudaMemset(reinterpret_cast<void*>(range + 3 * piece), 0x11, piece));
  REQUIRE(word_at(range + 4 * piece - 4) == 0x11111111, "the new piece");
  REQUIRE(word_at(range + 3 * piece - 4) == 7 + static_cast<unsigned>(3 * words - 1), "the word before the new piece");

  // One piece at a second address.
  CUdeviceptr again = 0;
  CU_CHECK(cuMemAddressReserve, &again, piece, 0, 0, 0);
  CU_CHECK(cuMemMap, again, piece, 0, pieces[1], 0);
  CU_CHECK(cuMemSetAccess, again, piece, &access, 1);
  fill<<<64, 256>>>(reinterpret_cast<unsigned*>(again), words, 1000);
  CHECK(cudaDeviceSynchronize());
  REQUIRE(word_at(range + piece) == 1000, "what was written at the other address");

  // Who holds what: handles are found by address, properties by handle.
  CUmemGenericAllocationHandle found = 0;
  CU_CHECK(cuMemRetainAllocationHandle, &found, reinterpret_cast<void*>(again + 100));
  CUmemAllocationProp kept{};
  CU_CHECK(cuMemGetAllocationPropertiesFromHandle, &kept, found);
  REQUIRE(kept.type == properties.type && kept.location.id == 0, "properties of another memory");
  CU_CHECK(cuMemRelease, found);
  // Released memory lives while it is mapped.
  for (const CUmemGenericAllocationHandle handle : pieces) CU_CHECK(cuMemRelease, handle);
  CU_CHECK(cuMemRelease, more);
  REQUIRE(word_at(range) == 7, "released memory that is mapped");

  // Bad requests change nothing.
  CU_EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemCreate, &found, piece, &properties, 1);
  CU_EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemCreate, &found, 0, &properties, 0);
  CU_EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAddressReserve, &again, 0, 0, 0, 0);
  CUmemAllocationProp nowhere = properties_of(77);
  CU_EXPECT(CUDA_ERROR_INVALID_DEVICE, cuMemCreate, &found, piece, &nowhere, 0);

  CU_CHECK(cuMemUnmap, again, piece);
  CU_CHECK(cuMemAddressFree, again, piece);
  CU_CHECK(cuMemUnmap, range, 4 * piece);
  CU_CHECK(cuMemAddressFree, range, 4 * piece);
  std::printf("virtual_memory: ok pieces of %zu\n", piece);
  return 0;
}
