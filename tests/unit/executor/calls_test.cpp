// What each kind of record does, from the ring to the driver and back.
#include <catch2/catch.hpp>

#include "executor/capability_mask.hpp"
#include "guest.hpp"
#include "protocol/payload.hpp"

using namespace vgpu;
using namespace vgpu::test;

TEST_CASE("a session opens, and closes in order") {
  FakeCuda cuda;
  Guest guest(cuda);
  call::vgpuAttach::Reply attached{};
  REQUIRE(guest.call<call::vgpuAttach>({0, VGPU_VERSION, 0}, &attached) == CUDA_SUCCESS);
  CHECK(attached.driver_version == 13000);
  CHECK(attached.device_count == 2);
  CHECK(guest.call<call::vgpuBye>({0}) == CUDA_SUCCESS);
  CHECK(guest.stats->calls_processed.load() == 2);
  CHECK(guest.stats->sync_calls.load() == 2);
  CHECK(guest.stats->calls_by_name[call::vgpuBye::index].load() == 1);
}

TEST_CASE("another major version ends the session") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.call<call::vgpuAttach>({0, 2u << 16, 0});
  guest.join();
  CHECK(guest.reason() == VGPU_END_VERSION);
}

TEST_CASE("the arena is mapped where the guest says, if that is a good place") {
  FakeCuda cuda;
  Guest guest(cuda);
  const u64 good = kArena;
  CHECK(guest.call<call::vgpuAttach>({0x1000, VGPU_VERSION, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::vgpuAttach>({good + 8, VGPU_VERSION, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::vgpuAttach>({(u64{1} << 47) - VGPU_PAGE, VGPU_VERSION, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::vgpuAttach>({reinterpret_cast<u64>(guest.control), VGPU_VERSION, 0}) == CUDA_ERROR_MAP_FAILED);
  REQUIRE(guest.call<call::vgpuAttach>({good, VGPU_VERSION, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::vgpuAttach>({good, VGPU_VERSION, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::vgpuAttach>({good + VGPU_PAGE, VGPU_VERSION, 0}) == CUDA_ERROR_INVALID_VALUE);

  guest.make_context();
  const Offset extent{VGPU_ARENA_OFFSET + VGPU_ARENA_GRANULE};
  const std::size_t before = cuda.registrations();
  call::cuMemHostAlloc::Reply reply{};
  REQUIRE(guest.call<call::cuMemHostAlloc>({extent, 5000, 0, 0}, &reply) == CUDA_SUCCESS);
  CHECK(static_cast<u64>(reply.device_pointer) == good + VGPU_ARENA_GRANULE);
  CHECK(cuda.registrations() == before + 1);
  auto* memory = reinterpret_cast<char*>(good + VGPU_ARENA_GRANULE);
  std::strcpy(memory, "secret");
  REQUIRE(guest.call<call::cuMemFreeHost>({extent, 5000}) == CUDA_SUCCESS);
  CHECK(cuda.registrations() == before);
  CHECK(memory[0] == 0);
  CHECK(guest.call<call::cuMemFreeHost>({extent, 5000}) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("a guest without a place for the arena uses it by offset") {
  FakeCuda cuda;
  Guest guest(cuda);
  REQUIRE(guest.call<call::vgpuAttach>({0, VGPU_VERSION, 0}) == CUDA_SUCCESS);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const Offset last{kRegionBytes - 16};
  CHECK(guest.call<call::cuMemcpyDtoH>({Pointer{device}, {0}, last, 16}) == CUDA_SUCCESS);
  guest.publish<call::cuMemcpyDtoH>({Pointer{device}, {0}, last, 17}, 0);
  guest.join();
  CHECK(guest.reason() == VGPU_END_BAD_BULK);
}

TEST_CASE("device information is what the driver says, less what is not carried") {
  FakeCuda cuda;
  Guest guest(cuda);
  call::vgpuDeviceInfo::Reply reply{};
  const Offset into{VGPU_STAGING_OFFSET};
  REQUIRE(guest.call<call::vgpuDeviceInfo>({0, 0, into, sizeof(DeviceInfo)}, &reply) == CUDA_SUCCESS);
  CHECK(reply.written == sizeof(DeviceInfo));
  DeviceInfo info;
  std::memcpy(&info, guest.region.staging(), sizeof info);
  CHECK(std::string(info.name.data()) == "Fake GPU");
  CHECK(info.known[16] == 1);
  CHECK(info.attribute[16] == 17);
  CHECK(info.known[200] == 0);
  CHECK(info.known[CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY] == 1);
  for (CUdevice_attribute attribute : executor::kNotCarried) CHECK(info.attribute[attribute] == 0);
  CHECK(info.compute_major == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR + 1);
  CHECK(guest.call<call::vgpuDeviceInfo>({2, 0, into, sizeof(DeviceInfo)}) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(guest.call<call::vgpuDeviceInfo>({-1, 0, into, sizeof(DeviceInfo)}) == CUDA_ERROR_INVALID_DEVICE);
}

TEST_CASE("a session with one device sees that one as 0") {
  FakeCuda cuda;
  executor::SessionConfig config;
  config.device = 1;
  Guest guest(cuda, config);
  call::vgpuAttach::Reply attached{};
  guest.call<call::vgpuAttach>({0, VGPU_VERSION, 0}, &attached);
  CHECK(attached.device_count == 1);
  CHECK(guest.call<call::cuDevicePrimaryCtxRetain>({ContextHandle::make(1, 1), 1, 0}) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(guest.call<call::cuDevicePrimaryCtxRetain>({ContextHandle::make(1, 1), 0, 0}) == CUDA_SUCCESS);
}

TEST_CASE("memory is allocated, counted and freed") {
  FakeCuda cuda;
  Guest guest(cuda);
  call::cuMemAlloc::Reply reply{};
  CHECK(guest.call<call::cuMemAlloc>({4096}, &reply) == CUDA_ERROR_INVALID_CONTEXT);
  guest.make_context();
  REQUIRE(guest.call<call::cuMemAlloc>({4096}, &reply) == CUDA_SUCCESS);
  CHECK(guest.stats->memory_used_bytes.load() == 4096);
  call::cuMemAllocPitch::Reply pitched{};
  REQUIRE(guest.call<call::cuMemAllocPitch>({100, 4, 4, 0}, &pitched) == CUDA_SUCCESS);
  CHECK(pitched.pitch == 512);
  CHECK(guest.stats->memory_used_bytes.load() == 4096 + 2048);
  CHECK(guest.call<call::cuMemFree>({reply.pointer}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuMemFree>({reply.pointer}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.stats->memory_used_bytes.load() == 2048);
  call::cuMemAllocAsync::Reply async{};
  REQUIRE(guest.call<call::cuMemAllocAsync>({100, {0}}, &async) == CUDA_SUCCESS);
  CHECK(guest.stats->memory_used_bytes.load() == 2148);
  guest.publish<call::cuMemFreeAsync>({async.pointer, {0}});
  // What a pool has is looked at when work is known to be done.
  CHECK(guest.call<call::cuCtxSynchronize>({0}) == CUDA_SUCCESS);
  CHECK(guest.stats->memory_used_bytes.load() == 2048);
  CHECK(cuda.allocations() == 1);
}

TEST_CASE("copies go inline, through the staging area, and by rows") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(1 << 20);
  REQUIRE(device != 0);
  const auto text = bytes_of("seventeen letters");
  REQUIRE(guest.call<call::cuMemcpyHtoD>({Pointer{device}, {0}, kInline, text.size()}, nullptr, text) == CUDA_SUCCESS);
  std::byte* staging = guest.region.staging();
  REQUIRE(guest.call<call::cuMemcpyDtoH>({Pointer{device}, {0}, Offset{VGPU_STAGING_OFFSET + 64}, text.size()}) ==
          CUDA_SUCCESS);
  CHECK(std::memcmp(staging + 64, text.data(), text.size()) == 0);

  std::memset(staging, 5, 1000);
  guest.publish<call::cuMemcpyHtoDAsync>({Pointer{device + 100}, {0}, Offset{VGPU_STAGING_OFFSET}, 1000});
  guest.publish<call::cuMemcpyDtoDAsync>({Pointer{device + 5000}, Pointer{device + 100}, {0}, 1000});
  REQUIRE(guest.call<call::cuMemcpyDtoHAsync>(
              {Pointer{device + 5000}, {0}, Offset{VGPU_STAGING_OFFSET + 5000}, 1000}) == CUDA_SUCCESS);
  CHECK(std::memcmp(staging, staging + 5000, 1000) == 0);

  for (int i = 0; i < 64; ++i) staging[i] = std::byte(i);
  call::cuMemcpy3D::Request rows{};
  rows.source = {VGPU_STAGING_OFFSET, 0, 0, 0, 16, 4, CopySide::kRegion, 0};
  rows.destination = {device, 0, 0, 0, 100, 4, CopySide::kDevice, 0};
  rows.extent = {8, 4, 1};
  REQUIRE(guest.call<call::cuMemcpy3D>(rows) == CUDA_SUCCESS);
  REQUIRE(guest.call<call::cuMemcpyDtoH>({Pointer{device + 300}, {0}, Offset{VGPU_STAGING_OFFSET + 512}, 8}) ==
          CUDA_SUCCESS);
  CHECK(std::memcmp(staging + 48, staging + 512, 8) == 0);
  rows.destination = {VGPU_STAGING_OFFSET, 0, 0, 0, 100, 4, CopySide::kRegion, 0};
  CHECK(guest.call<call::cuMemcpy3D>(rows) == CUDA_ERROR_INVALID_VALUE);

  using S = SessionStats;
  CHECK(guest.stats->copied_bytes[S::host_to_device].load() == text.size() + 1000 + 32);
  CHECK(guest.stats->copied_bytes[S::device_to_host].load() == text.size() + 1000 + 8);
  CHECK(guest.stats->copied_bytes[S::device_to_device].load() == 1000);
}

TEST_CASE("a kernel gets its packed parameters") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const auto module = ModuleHandle::make(1, 1);
  const auto function = FunctionHandle::make(1, 1);
  const std::string ptx = ".version 8.0";
  std::memcpy(guest.region.staging(), ptx.data(), ptx.size());
  call::cuModuleLoadData::Request load{};
  load.module = module;
  load.image = Offset{VGPU_STAGING_OFFSET};
  load.image_bytes = ptx.size();
  load.logs = Offset{VGPU_STAGING_OFFSET + 4096};
  load.info_log_bytes = 100;
  load.error_log_bytes = 100;
  call::cuModuleLoadData::Reply loaded{};
  REQUIRE(guest.call<call::cuModuleLoadData>(load, &loaded) == CUDA_SUCCESS);
  CHECK(cuda.last_image() == ptx);
  CHECK(loaded.info_log_written == 3);
  CHECK(std::strcmp(reinterpret_cast<char*>(guest.region.staging() + 4096), "ok") == 0);

  call::cuModuleGetFunction::Reply found{};
  CHECK(guest.call<call::cuModuleGetFunction>({module, function}, &found, bytes_of("missing")) == CUDA_ERROR_NOT_FOUND);
  REQUIRE(guest.call<call::cuModuleGetFunction>({module, function}, &found, bytes_of("kernel")) == CUDA_SUCCESS);
  CHECK(found.parameter_count == 2);
  CHECK(found.parameter_bytes == 12);
  CHECK(found.parameters.layout[1].offset == 8);
  CHECK(found.parameters.layout[1].size == 4);

  const auto parameters = bytes_of("twelve bytes");
  call::cuLaunchKernel::Request launch{};
  launch.function = {function.value};
  launch.grid_x = launch.grid_y = launch.grid_z = launch.block_x = launch.block_y = launch.block_z = 1;
  launch.parameter_bytes = static_cast<u32>(parameters.size());
  guest.publish<call::cuLaunchKernel>(launch, VGPU_NO_SLOT, parameters);
  guest.settle();
  CHECK(cuda.last_parameters() == parameters);
  CHECK(guest.stats->kernels_launched.load() == 1);

  SECTION("with attributes") {
    call::cuLaunchKernelEx::Request ex{};
    ex.function = launch.function;
    ex.grid_x = ex.block_x = 1;
    ex.parameter_bytes = launch.parameter_bytes;
    ex.attribute_count = 1;
    LaunchAttribute attribute{};
    attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    std::vector<std::byte> tail(sizeof attribute);
    std::memcpy(tail.data(), &attribute, sizeof attribute);
    tail.insert(tail.end(), parameters.begin(), parameters.end());
    CHECK(guest.call<call::cuLaunchKernelEx>(ex, nullptr, tail) == CUDA_SUCCESS);
    CHECK(cuda.last_attribute_count() == 1);
    CHECK(cuda.last_parameters() == parameters);
    attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT;
    std::memcpy(tail.data(), &attribute, sizeof attribute);
    CHECK(guest.call<call::cuLaunchKernelEx>(ex, nullptr, tail) == CUDA_ERROR_NOT_SUPPORTED);
  }
  SECTION("cooperatively, without parameters") {
    call::cuLaunchCooperativeKernel::Request cooperative{};
    cooperative.function = launch.function;
    cooperative.grid_x = cooperative.block_x = 1;
    CHECK(guest.call<call::cuLaunchCooperativeKernel>(cooperative) == CUDA_SUCCESS);
    CHECK(cuda.last_attribute_count() == 1);
    CHECK(cuda.last_parameters().empty());
  }
  SECTION("a library's kernel is launched as it is") {
    const auto library = LibraryHandle::make(1, 1);
    const auto kernel = KernelHandle::make(1, 1);
    call::cuLibraryLoadData::Request library_load{};
    library_load.library = library;
    library_load.image = load.image;
    library_load.image_bytes = load.image_bytes;
    REQUIRE(guest.call<call::cuLibraryLoadData>(library_load) == CUDA_SUCCESS);
    REQUIRE(guest.call<call::cuLibraryGetKernel>({library, kernel}, nullptr, bytes_of("kernel")) == CUDA_SUCCESS);
    launch.function = {kernel.value};
    CHECK(guest.call<call::cuLaunchKernel>(launch, nullptr, parameters) == CUDA_SUCCESS);
    call::cuFuncGetAttribute::Reply attribute{};
    CHECK(guest.call<call::cuFuncGetAttribute>({{kernel.value}, 3, 0}, &attribute) == CUDA_SUCCESS);
    CHECK(attribute.value == 13);
    CHECK(cuda.calls("cuKernelGetFunction") == 1);
  }
  SECTION("the module's functions have names") {
    call::vgpuModuleFunctionNames::Reply names{};
    REQUIRE(guest.call<call::vgpuModuleFunctionNames>({module, Offset{VGPU_STAGING_OFFSET}, 100}, &names) ==
            CUDA_SUCCESS);
    CHECK(names.count == 2);
    CHECK(names.needed_bytes == 13);
    CHECK(std::memcmp(guest.region.staging(), "first\0second", 13) == 0);
    REQUIRE(guest.call<call::vgpuModuleFunctionNames>({module, Offset{VGPU_STAGING_OFFSET}, 12}, &names) ==
            CUDA_SUCCESS);
    CHECK(names.needed_bytes == 13);
  }
}

TEST_CASE("options that point somewhere never reach the driver") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  call::cuModuleLoadData::Request load{};
  load.module = ModuleHandle::make(1, 1);
  load.image = Offset{VGPU_STAGING_OFFSET};
  load.image_bytes = 16;
  load.option_count = 1;
  for (u32 option : {CU_JIT_INFO_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER, CU_JIT_GLOBAL_SYMBOL_NAMES,
                     CU_JIT_GLOBAL_SYMBOL_ADDRESSES, CU_JIT_REFERENCED_KERNEL_NAMES}) {
    const JitOption jit{option, 0, 0x1000};
    CHECK(guest.call<call::cuModuleLoadData>(load, nullptr, std::as_bytes(std::span(&jit, 1))) ==
          CUDA_ERROR_NOT_SUPPORTED);
  }
  CHECK(guest.unsupported("cuModuleLoadData") == 5);
  CHECK(cuda.calls("cuModuleLoadDataEx") == 0);
  const JitOption jit{CU_JIT_MAX_REGISTERS, 0, 32};
  CHECK(guest.call<call::cuModuleLoadData>(load, nullptr, std::as_bytes(std::span(&jit, 1))) == CUDA_SUCCESS);
}

TEST_CASE("an image of several fatbins reaches the driver as a wrapper; lies about the parts don't") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  call::cuLibraryLoadData::Request load{};
  load.library = LibraryHandle::make(1, 1);
  load.image = Offset{VGPU_STAGING_OFFSET};
  load.image_bytes = 2 * kImagePartAlign;
  load.part_count = 2;
  std::array<u64, 2> sizes{kImagePartAlign, 65};
  // Two fatbins without contents: magic, version and header's length, payload's length.
  for (const u64 part : {u64{0}, kImagePartAlign}) {
    constexpr std::array<u64, 2> kFatbin{0x0010'0001'ba55'ed50, 0};
    std::memcpy(guest.region.staging() + part, kFatbin.data(), sizeof kFatbin);
  }
  const auto send = [&] { return guest.call<call::cuLibraryLoadData>(load, nullptr, std::as_bytes(std::span(sizes))); };
  SECTION("good") {
    sizes[1] = 16;
    CHECK(send() == CUDA_SUCCESS);
    CHECK(cuda.last_image() == "\xb1\x43\x62\x46\x02");
  }
  SECTION("a part that is no fatbin, or shorter than it says") {
    sizes[1] = 8;
    CHECK(send() == CUDA_ERROR_INVALID_IMAGE);
    sizes[1] = 16;
    guest.region.staging()[kImagePartAlign + 8] = std::byte{1};
    CHECK(send() == CUDA_ERROR_INVALID_IMAGE);
    guest.region.staging()[kImagePartAlign] = std::byte{0};
    CHECK(send() == CUDA_ERROR_INVALID_IMAGE);
  }
  SECTION("a part beyond the image") {
    send();
    CHECK(guest.reason() == VGPU_END_BAD_REQUEST);
  }
  SECTION("parts of an image that is only named") {
    load.source = kImageNamed;
    send();
    CHECK(guest.reason() == VGPU_END_BAD_REQUEST);
  }
  SECTION("a source that does not exist") {
    load.source = 3;
    send();
    CHECK(guest.reason() == VGPU_END_BAD_REQUEST);
  }
  CHECK(cuda.calls("cuLibraryLoadData") <= 1);
}

TEST_CASE("a fat binary that is longer than it is is refused") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  call::cuModuleLoadData::Request load{};
  load.module = ModuleHandle::make(1, 1);
  load.image = Offset{VGPU_STAGING_OFFSET};
  load.image_bytes = 64;
  const u32 magic = 0xba55ed50;
  const u16 header = 16;
  u64 payload = 49;
  std::memcpy(guest.region.staging(), &magic, 4);
  std::memcpy(guest.region.staging() + 6, &header, 2);
  std::memcpy(guest.region.staging() + 8, &payload, 8);
  CHECK(guest.call<call::cuModuleLoadData>(load) == CUDA_ERROR_INVALID_IMAGE);
  payload = 48;
  std::memcpy(guest.region.staging() + 8, &payload, 8);
  CHECK(guest.call<call::cuModuleLoadData>(load) == CUDA_SUCCESS);
}

TEST_CASE("streams and events") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const auto stream = guest.make_stream(1);
  const auto event = EventHandle::make(1, 1);
  guest.publish<call::cuEventCreate>({event, 0, 0});
  guest.publish<call::cuEventRecordWithFlags>({event, stream, 0, 0});
  guest.publish<call::cuStreamWaitEvent>({{0}, event, 0, 0});
  CHECK(guest.call<call::cuEventQuery>({event}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuEventSynchronize>({event}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuStreamQuery>({stream}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuStreamSynchronize>({stream}) == CUDA_SUCCESS);
  call::cuEventElapsedTime::Reply elapsed{};
  CHECK(guest.call<call::cuEventElapsedTime>({event, event}, &elapsed) == CUDA_SUCCESS);
  CHECK(static_cast<u32>(elapsed.milliseconds) == 0x3fc00000);
  guest.publish<call::cuEventDestroy>({event});
  guest.publish<call::cuStreamDestroy>({stream});
  CHECK(guest.call<call::cuEventQuery>({event}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuStreamQuery>({stream}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(shared(guest.control->async_error).load() == 0);
}

TEST_CASE("handles that were never made, have ended or are of another kind are refused") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const auto stream = guest.make_stream(7);
  CHECK(guest.call<call::cuStreamQuery>({stream}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuStreamQuery>({StreamHandle::make(8, 1)}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuStreamQuery>({StreamHandle::make(7, 2)}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuStreamQuery>({{EventHandle::make(7, 1).value}}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuStreamQuery>({{7}}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuStreamQuery>({{~u64{0}}}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuStreamQuery>({StreamHandle::make(StreamHandle::kMaxIndex, 1)}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuModuleUnload>({ModuleHandle::make(1, 1)}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuLibraryUnload>({LibraryHandle::make(1, 1)}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuCtxDestroy>({ContextHandle::make(2, 1)}) == CUDA_ERROR_INVALID_CONTEXT);

  // A living handle is not overwritten: the driver's object behind it would be lost.
  const unsigned made = cuda.calls("cuStreamCreateWithPriority");
  CHECK(guest.call<call::cuStreamCreateWithPriority>({StreamHandle::make(7, 2), 0, 0}) == CUDA_ERROR_INVALID_HANDLE);
  const u32 most = handle_limit(Kind::stream);
  CHECK(guest.call<call::cuStreamCreateWithPriority>({StreamHandle::make(most, 1), 0, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuStreamCreateWithPriority>({StreamHandle::make(most + 1, 1), 0, 0}) ==
        CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuda.calls("cuStreamCreateWithPriority") == made + 1);
  guest.publish<call::cuStreamDestroy>({stream});
  CHECK(guest.call<call::cuStreamCreateWithPriority>({StreamHandle::make(7, 2), 0, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuStreamQuery>({stream}) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("a function that the driver lacks is not supported") {
  executor::Driver driver;
  CHECK(driver.cuMemGetInfo_v2(nullptr, nullptr) == CUDA_ERROR_NOT_SUPPORTED);
  std::string error;
  CHECK_FALSE(driver.load("/nonexistent/libcuda.so.1", error));
  CHECK_FALSE(error.empty());
  Guest guest(driver);
  CHECK(guest.call<call::cuMemGetInfo>({0}) == CUDA_ERROR_NOT_SUPPORTED);
}

TEST_CASE("what the shim refused is counted by name") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.publish<call::vgpuUnsupported>({0}, VGPU_NO_SLOT, bytes_of("cuGraphCreate"));
  guest.publish<call::vgpuUnsupported>({0}, VGPU_NO_SLOT, bytes_of("cuGraphCreate"));
  guest.publish<call::vgpuUnsupported>({0}, VGPU_NO_SLOT, bytes_of("no such name"));
  guest.settle();
  u64 all = 0;
  for (const auto& counter : guest.stats->unsupported_by_name) all += counter.load();
  CHECK(all == 2);
}

TEST_CASE("a call in several records counts once") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const u64 before = guest.stats->calls_processed.load();
  for (u16 more : {VGPU_RECORD_MORE, VGPU_RECORD_MORE, 0u})
    guest.publish<call::cuMemcpyHtoDAsync>({Pointer{device}, {0}, Offset{VGPU_STAGING_OFFSET}, 100}, VGPU_NO_SLOT, {},
                                           more);
  guest.settle();
  CHECK(guest.stats->calls_processed.load() == before + 2);
}
