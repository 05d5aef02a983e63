// The executor on a whole driver: real kernels, through a real ring. VGPU_TEST_DRIVER names another driver than the
// software GPU, such as libcuda.so.1.
#include "whole_driver.hpp"

#include <catch2/catch.hpp>

#include "protocol/payload.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

constexpr const char* kPtx = R"(
.version 7.0
.target sm_70
.address_size 64
.visible .entry scale(.param .u64 data, .param .u32 factor, .param .u32 count)
{
  .reg .pred %p<2>;
  .reg .b32 %r<8>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [data];
  ld.param.u32 %r1, [factor];
  ld.param.u32 %r2, [count];
  mov.u32 %r3, %ctaid.x;
  mov.u32 %r4, %ntid.x;
  mov.u32 %r5, %tid.x;
  mad.lo.s32 %r6, %r3, %r4, %r5;
  setp.ge.u32 %p1, %r6, %r2;
  @%p1 bra DONE;
  mul.wide.u32 %rd2, %r6, 4;
  add.s64 %rd3, %rd1, %rd2;
  ld.global.u32 %r7, [%rd3];
  mul.lo.s32 %r7, %r7, %r1;
  st.global.u32 [%rd3], %r7;
DONE:
  ret;
}
)";

struct Parameters {
  u64 data;
  u32 factor;
  u32 count;
};

call::cuLaunchKernel::Request launch_of(FunctionHandle function, StreamHandle stream) {
  call::cuLaunchKernel::Request launch{};
  launch.function = {function.value};
  launch.stream = stream;
  launch.grid_x = 4;
  launch.block_x = 64;
  launch.grid_y = launch.grid_z = launch.block_y = launch.block_z = 1;
  launch.parameter_bytes = sizeof(Parameters);
  return launch;
}

FunctionHandle load_scale(Guest& guest) {
  call::cuModuleLoadData::Request load{};
  load.module = ModuleHandle::make(1, 1);
  load.image = Offset{VGPU_STAGING_OFFSET};
  load.image_bytes = std::strlen(kPtx);
  std::memcpy(guest.region.staging(), kPtx, load.image_bytes);
  REQUIRE(guest.call<call::cuModuleLoadData>(load) == CUDA_SUCCESS);
  const auto function = FunctionHandle::make(1, 1);
  call::cuModuleGetFunction::Reply found{};
  REQUIRE(guest.call<call::cuModuleGetFunction>({load.module, function}, &found, bytes_of("scale")) == CUDA_SUCCESS);
  REQUIRE(found.parameter_count == 3);
  REQUIRE(found.parameter_bytes == sizeof(Parameters));
  return function;
}

}  // namespace

TEST_CASE("whole driver: a kernel works on what was copied in, and the result comes back") {
  Guest guest(whole_driver());
  guest.make_context();
  const FunctionHandle function = load_scale(guest);
  const u64 device = guest.allocate(1024);
  REQUIRE(device != 0);
  std::array<u32, 256> numbers{};
  for (u32 i = 0; i < numbers.size(); ++i) numbers[i] = i;
  const auto stream = guest.make_stream(1);
  REQUIRE(guest.call<call::cuMemcpyHtoD>({Pointer{device}, stream, kInline, sizeof numbers}, nullptr,
                                         std::as_bytes(std::span(numbers))) == CUDA_SUCCESS);
  const Parameters parameters{device, 3, 200};
  for (int i = 0; i < 2; ++i)
    guest.publish<call::cuLaunchKernel>(launch_of(function, stream), VGPU_NO_SLOT,
                                        std::as_bytes(std::span(&parameters, 1)));
  REQUIRE(guest.call<call::cuStreamSynchronize>({stream}) == CUDA_SUCCESS);
  REQUIRE(guest.call<call::cuMemcpyDtoH>({Pointer{device}, {0}, Offset{VGPU_STAGING_OFFSET}, sizeof numbers}) ==
          CUDA_SUCCESS);
  std::memcpy(numbers.data(), guest.region.staging(), sizeof numbers);
  for (u32 i = 0; i < numbers.size(); ++i) CHECK(numbers[i] == (i < 200 ? 9 * i : i));
  CHECK(shared(guest.control->async_error).load() == 0);
  CHECK(guest.stats->kernels_launched.load() == 2);
}

TEST_CASE("whole driver: a kernel writes to the guest's pinned memory through the guest's pointer") {
  Guest guest(whole_driver());
  REQUIRE(guest.call<call::vgpuAttach>({kArena, VGPU_VERSION, 0}) == CUDA_SUCCESS);
  guest.make_context();
  const FunctionHandle function = load_scale(guest);
  call::cuMemHostAlloc::Reply pinned{};
  REQUIRE(guest.call<call::cuMemHostAlloc>({Offset{VGPU_ARENA_OFFSET}, 1024, 0, 0}, &pinned) == CUDA_SUCCESS);
  CHECK(static_cast<u64>(pinned.device_pointer) == kArena);
  auto* numbers = reinterpret_cast<u32*>(kArena);
  for (u32 i = 0; i < 256; ++i) numbers[i] = i;
  const Parameters parameters{kArena, 5, 256};
  guest.publish<call::cuLaunchKernel>(launch_of(function, {0}), VGPU_NO_SLOT, std::as_bytes(std::span(&parameters, 1)));
  REQUIRE(guest.call<call::cuStreamSynchronize>({StreamHandle{0}}) == CUDA_SUCCESS);
  for (u32 i = 0; i < 256; ++i) CHECK(numbers[i] == 5 * i);
  CHECK(guest.call<call::cuMemFreeHost>({Offset{VGPU_ARENA_OFFSET}, 1024}) == CUDA_SUCCESS);
  CHECK(numbers[1] == 0);
}

TEST_CASE("whole driver: copies of all sizes, synchronous and not") {
  Guest guest(whole_driver());
  guest.make_context();
  constexpr u64 kBytes = u64{4} << 20;
  const u64 device = guest.allocate(kBytes);
  REQUIRE(device != 0);
  std::byte* staging = guest.region.staging();
  for (u64 i = 0; i < kBytes; ++i) staging[i] = static_cast<std::byte>(i * 7 + i / 251);
  const std::vector<std::byte> sent(staging, staging + kBytes);
  const auto stream = guest.make_stream(1);
  REQUIRE(guest.call<call::cuMemcpyHtoDAsync>({Pointer{device}, stream, Offset{VGPU_STAGING_OFFSET}, kBytes}) ==
          CUDA_SUCCESS);
  std::memset(staging, 0, kBytes);
  REQUIRE(guest.call<call::cuMemcpyDtoHAsync>(
              {Pointer{device}, stream, Offset{VGPU_STAGING_OFFSET + kBytes}, kBytes}) == CUDA_SUCCESS);
  CHECK(std::memcmp(staging + kBytes, sent.data(), kBytes) == 0);
  guest.publish<call::cuMemsetD8Async>({Pointer{device}, 1000, stream, 0x5a, 0});
  call::cuMemcpy3D::Request rows{};
  rows.source = {device, 0, 0, 0, 500, 4, CopySide::kDevice, 0};
  rows.destination = {VGPU_STAGING_OFFSET, 0, 0, 0, 100, 4, CopySide::kRegion, 0};
  rows.extent = {50, 4, 1};
  rows.stream = stream;
  REQUIRE(guest.call<call::cuMemcpy3D>(rows) == CUDA_SUCCESS);
  CHECK(staging[0] == std::byte{0x5a});
  CHECK(staging[149] == std::byte{0x5a});
  CHECK(staging[150] == std::byte{0});
  CHECK(staging[200] == sent[1000]);
  CHECK(staging[349] == sent[1549]);
  CHECK(guest.call<call::cuMemFree>({Pointer{device}}) == CUDA_SUCCESS);
}

TEST_CASE("whole driver: host functions run between the work of their stream") {
  Guest guest(whole_driver());
  guest.make_context();
  const auto stream = guest.make_stream(1);
  const auto event = EventHandle::make(1, 1);
  guest.publish<call::cuEventCreate>({event, 0, 0});
  guest.publish<call::cuLaunchHostFunc>({stream, 9});
  guest.publish<call::cuEventRecordWithFlags>({event, stream, 0, 0});
  guest.publish<call::vgpuServeHostFunctions>({0}, 7);
  const u32 asked = guest.ticket();
  REQUIRE(guest.wait(7, asked));
  CHECK(guest.call<call::cuEventQuery>({event}) == CUDA_ERROR_NOT_READY);
  shared(guest.control->host_functions_done).store(asked);
  CHECK(guest.call<call::cuEventSynchronize>({event}) == CUDA_SUCCESS);
}
