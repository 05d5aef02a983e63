// cuLink*: what the driver gets, where the logs go, and how what was linked comes out.
#include <catch2/catch.hpp>

#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

/// One link at a time.
struct FakeLink {
  void** values = nullptr;
  char* log = nullptr;
  std::string added;
  std::string name;
  unsigned alive = 0;
};
FakeLink fake;
const CUlinkState kNative = reinterpret_cast<CUlinkState>(0x7000);

CUresult create(unsigned count, CUjit_option* options, void** values, CUlinkState* state) {
  fake = {};
  fake.values = values;
  for (unsigned i = 0; i < count; ++i)
    if (options[i] == CU_JIT_INFO_LOG_BUFFER) fake.log = static_cast<char*>(values[i]);
  *state = kNative;
  ++fake.alive;
  return CUDA_SUCCESS;
}

CUresult add(CUlinkState state, CUjitInputType, void* data, size_t size, const char* name, unsigned, CUjit_option*,
             void**) {
  if (state != kNative) return CUDA_ERROR_INVALID_HANDLE;
  fake.added.append(static_cast<const char*>(data), size);
  fake.name = name != nullptr ? name : "";
  if (fake.log != nullptr) std::strcpy(fake.log, "added");
  fake.values[1] = reinterpret_cast<void*>(5);  // the log's length, behind the log itself
  return size > 100 ? CUDA_ERROR_INVALID_PTX : CUDA_SUCCESS;
}

CUresult complete(CUlinkState, void** image, size_t* size) {
  *image = fake.added.data();
  *size = fake.added.size();
  return CUDA_SUCCESS;
}

CUresult destroy(CUlinkState) {
  --fake.alive;
  return CUDA_SUCCESS;
}

executor::Driver with_links(const FakeCuda& cuda) {
  executor::Driver driver = cuda.driver();
  driver.cuLinkCreate_v2 = create;
  driver.cuLinkAddData_v2 = add;
  driver.cuLinkComplete = complete;
  driver.cuLinkDestroy = destroy;
  return driver;
}

const Offset kData{VGPU_STAGING_OFFSET};
const Offset kLogs{VGPU_STAGING_OFFSET + 4096};

}  // namespace

TEST_CASE("inputs are linked, logs come with each step, the image is fetched") {
  FakeCuda cuda;
  const executor::Driver driver = with_links(cuda);
  Guest guest(driver);
  guest.make_context();
  const auto link = LinkHandle::make(1, 1);
  REQUIRE(guest.call<call::cuLinkCreate>({link, 64, 0, 0, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuLinkCreate>({link, 64, 0, 0, 0}) == CUDA_ERROR_INVALID_HANDLE);
  REQUIRE(guest.call<call::cuLinkCreate>({LinkHandle::make(2, 1), 64, 0, 0, 0}) == CUDA_SUCCESS);

  std::memcpy(guest.region.span(kData, 4), "ptx", 4);
  call::cuLinkAddData::Reply added{};
  const auto tail = bytes_of("a.ptx");
  REQUIRE(guest.call<call::cuLinkAddData>({LinkHandle::make(2, 1), kData, 4, kLogs, CU_JIT_INPUT_PTX, 0}, &added,
                                          tail) == CUDA_SUCCESS);
  CHECK(fake.name == "a.ptx");
  CHECK(added.info_log_written == 5);
  CHECK(std::memcmp(guest.region.span(kLogs, 5), "added", 5) == 0);
  // A failed step, too, has its logs.
  std::memset(guest.region.span(kLogs, 5), 0, 5);
  CHECK(guest.call<call::cuLinkAddData>({LinkHandle::make(2, 1), kData, 101, kLogs, CU_JIT_INPUT_PTX, 0}, &added) ==
        CUDA_ERROR_INVALID_PTX);
  CHECK(added.info_log_written == 5);
  CHECK(std::memcmp(guest.region.span(kLogs, 5), "added", 5) == 0);

  CHECK(guest.call<call::vgpuLinkImage>({LinkHandle::make(2, 1), kData, 4}) == CUDA_ERROR_INVALID_VALUE);
  call::cuLinkComplete::Reply completed{};
  REQUIRE(guest.call<call::cuLinkComplete>({LinkHandle::make(2, 1), kLogs}, &completed) == CUDA_SUCCESS);
  CHECK(completed.image_bytes == 105);
  CHECK(guest.call<call::vgpuLinkImage>({LinkHandle::make(2, 1), kData, 106}) == CUDA_ERROR_INVALID_VALUE);
  std::memset(guest.region.span(kData, 4), 0, 4);
  REQUIRE(guest.call<call::vgpuLinkImage>({LinkHandle::make(2, 1), kData, 105}) == CUDA_SUCCESS);
  CHECK(std::memcmp(guest.region.span(kData, 4), "ptx", 4) == 0);
  const unsigned alive = fake.alive;
  CHECK(guest.call<call::cuLinkDestroy>({LinkHandle::make(2, 1)}) == CUDA_SUCCESS);
  CHECK(fake.alive == alive - 1);
  CHECK(guest.call<call::cuLinkDestroy>({LinkHandle::make(2, 1)}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuLinkComplete>({LinkHandle::make(2, 1), kLogs}) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("inputs and logs outside of the region end the session") {
  FakeCuda cuda;
  const executor::Driver driver = with_links(cuda);
  const auto link = LinkHandle::make(1, 1);
  const Offset outside{~u64{0} - 64};
  SECTION("data") {
    Guest guest(driver);
    guest.call<call::cuLinkCreate>({link, 64, 0, 0, 0});
    guest.call<call::cuLinkAddData>({link, outside, 32, kLogs, CU_JIT_INPUT_PTX, 0});
    guest.join();
    CHECK(guest.reason() == VGPU_END_BAD_BULK);
  }
  SECTION("logs") {
    Guest guest(driver);
    guest.call<call::cuLinkCreate>({link, 64, 0, 0, 0});
    guest.call<call::cuLinkComplete>({link, outside});
    guest.join();
    CHECK(guest.reason() == VGPU_END_BAD_BULK);
  }
  SECTION("length of logs") {
    Guest guest(driver);
    guest.call<call::cuLinkCreate>({link, 0xffffffff, 0, 0, 0});
    guest.join();
    CHECK(guest.reason() == VGPU_END_BAD_REQUEST);
  }
  SECTION("options beyond the tail") {
    Guest guest(driver);
    guest.call<call::cuLinkCreate>({link, 0, 0, 0, 0});
    guest.call<call::cuLinkAddData>({link, kData, 32, kLogs, CU_JIT_INPUT_PTX, 3});
    guest.join();
    CHECK(guest.reason() == VGPU_END_BAD_REQUEST);
  }
}
