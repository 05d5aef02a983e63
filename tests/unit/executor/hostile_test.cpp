// Records that no shim would write: each ends its session, with a reason.
#include <catch2/catch.hpp>

#include "guest.hpp"
#include "protocol/payload.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

/// What the guest and the daemon must see when the guest broke a rule.
void check_ended(Guest& guest, std::optional<vgpu_end_reason> reason = {}) {
  guest.join();
  CHECK(guest.state() == VGPU_STATE_ENDED);
  CHECK(guest.reason() != VGPU_END_NONE);
  if (reason) CHECK(guest.reason() == *reason);
  CHECK(shared(guest.control->end_result).load() == CUDA_ERROR_UNKNOWN);
  const auto event = guest.event(ExecutorEvent::Type::ended);
  REQUIRE(event);
  CHECK(event->reason == static_cast<u32>(guest.reason()));
  CHECK(std::string(event->text.data()).find("position=") != std::string::npos);
  // Whoever sleeps is woken.
  CHECK(guest.waker.woken.load() >= VGPU_SLOT_COUNT);
}

/// A whole record of a call, as a guest would write it at the ring's start.
template <typename Call>
std::vector<std::byte> make_record(const typename Call::Request& request, std::span<const std::byte> tail = {}) {
  const u32 request_bytes = wire_bytes<typename Call::Request>();
  vgpu_record header{};
  header.bytes = record_bytes(request_bytes, tail.size());
  header.call = Call::number;
  header.slot = 1;
  header.ticket = 1;
  header.tail_bytes = static_cast<u32>(tail.size());
  header.check = check_word(header, &request, request_bytes);
  std::vector<std::byte> record(header.bytes);
  std::memcpy(record.data(), &header, sizeof header);
  std::memcpy(record.data() + sizeof header, &request, request_bytes);
  if (!tail.empty()) std::memcpy(record.data() + sizeof header + request_bytes, tail.data(), tail.size());
  return record;
}

/// Puts bytes into the ring and sets head, as someone who does not use RingWriter.
void write_raw(Guest& guest, std::span<const std::byte> bytes, u64 head) {
  std::memcpy(const_cast<std::byte*>(guest.region.ring()), bytes.data(), bytes.size());
  shared(guest.control->head).store(head, std::memory_order_release);
  guest.send(ExecutorCommand::Type::run);
}

/// The header of a record, to be changed; its check word is made right again.
template <typename Change>
std::vector<std::byte> changed(std::vector<std::byte> record, Change change) {
  vgpu_record header;
  std::memcpy(&header, record.data(), sizeof header);
  change(header);
  const u16 index = index_of_number(header.call);
  const u32 request_bytes = index == kUnknownCall ? 0 : kCalls[index].request_bytes;
  record.resize(std::max<std::size_t>(record.size(), sizeof header + request_bytes));
  header.check = check_word(header, record.data() + sizeof header, request_bytes);
  std::memcpy(record.data(), &header, sizeof header);
  return record;
}

const call::cuMemAlloc::Request kAlloc{4096};

}  // namespace

TEST_CASE("a record that is cut at any byte ends the session") {
  const auto record = make_record<call::cuModuleGetFunction>({ModuleHandle::make(1, 1), FunctionHandle::make(1, 1)},
                                                             bytes_of("some kernel's name"));
  // head itself counts bytes: one that lies within the record publishes a part of it.
  for (std::size_t bytes = 1; bytes < record.size(); ++bytes) {
    FakeCuda cuda;
    Guest guest(cuda, {}, false);
    write_raw(guest, std::span(record).first(bytes), bytes);
    check_ended(guest, bytes % VGPU_RECORD_ALIGN != 0 ? VGPU_END_BAD_RING : VGPU_END_BAD_RECORD);
  }
}

TEST_CASE("a record whose end is missing ends the session, wherever it is cut") {
  const auto record = make_record<call::cuMemAlloc>(kAlloc);
  // The bytes behind the cut are zeros, but head says that all of it is there.
  for (std::size_t bytes = 0; bytes < sizeof(vgpu_record) + sizeof kAlloc; ++bytes) {
    auto cut = record;
    for (std::size_t i = bytes; i < cut.size(); ++i) cut[i] = std::byte{0};
    if (cut == record) continue;
    FakeCuda cuda;
    Guest guest(cuda, {}, false);
    write_raw(guest, cut, record.size());
    check_ended(guest);
  }
}

TEST_CASE("one flipped bit in header or request ends the session") {
  const auto record = make_record<call::cuMemAlloc>(kAlloc);
  for (std::size_t bit = 0; bit < (sizeof(vgpu_record) + sizeof kAlloc) * 8; ++bit) {
    auto flipped = record;
    flipped[bit / 8] ^= std::byte(1 << (bit % 8));
    FakeCuda cuda;
    Guest guest(cuda, {}, false);
    write_raw(guest, flipped, record.size());
    check_ended(guest);
    CHECK(cuda.calls("cuMemAlloc_v2") == 0);
  }
}

TEST_CASE("an intact record does not end the session") {
  FakeCuda cuda;
  Guest guest(cuda, {}, false);
  const auto record = make_record<call::cuMemAlloc>(kAlloc);
  write_raw(guest, record, record.size());
  CHECK(guest.wait(1, 1));
  CHECK(guest.state() != VGPU_STATE_ENDED);
}

TEST_CASE("records that lie about themselves") {
  FakeCuda cuda;
  Guest guest(cuda, {}, false);
  const auto record = make_record<call::cuMemAlloc>(kAlloc);
  const auto try_with = [&](auto change, vgpu_end_reason reason) {
    const auto lie = changed(record, change);
    write_raw(guest, lie, lie.size());
    check_ended(guest, reason);
  };
  SECTION("unknown call") {
    try_with([](auto& h) { h.call = 0x7fff; }, VGPU_END_UNKNOWN_CALL);
  }
  SECTION("oversized") {
    try_with([](auto& h) { h.bytes = VGPU_RECORD_MAX_BYTES + 32; }, VGPU_END_BAD_RECORD);
  }
  SECTION("longer than what was published") {
    try_with([](auto& h) { h.bytes = 128; }, VGPU_END_BAD_RECORD);
  }
  SECTION("no length") {
    try_with([](auto& h) { h.bytes = 0; }, VGPU_END_BAD_RECORD);
  }
  SECTION("crooked length") {
    try_with([](auto& h) { h.bytes = 63; }, VGPU_END_BAD_RECORD);
  }
  SECTION("wrong sequence") {
    try_with([](auto& h) { h.sequence = 64; }, VGPU_END_BAD_RECORD);
  }
  SECTION("tail that is not there") {
    try_with([](auto& h) { h.tail_bytes = 1000; }, VGPU_END_BAD_REQUEST);
  }
  SECTION("endless tail") {
    try_with([](auto& h) { h.tail_bytes = 0xffffffff; }, VGPU_END_BAD_REQUEST);
  }
  SECTION("unknown flag") {
    try_with([](auto& h) { h.flags = 0x8000; }, VGPU_END_BAD_REQUEST);
  }
  SECTION("slot that does not exist") {
    try_with([](auto& h) { h.slot = VGPU_SLOT_COUNT; }, VGPU_END_BAD_REQUEST);
  }
  SECTION("no slot for an answer") {
    try_with([](auto& h) { h.slot = VGPU_NO_SLOT; }, VGPU_END_BAD_REQUEST);
  }
  SECTION("no ticket") {
    try_with([](auto& h) { h.ticket = 0; }, VGPU_END_BAD_REQUEST);
  }
  SECTION("context that can't be") {
    try_with([](auto& h) { h.context = 0xffffff; }, VGPU_END_BAD_REQUEST);
  }
}

TEST_CASE("a head that moves where it may not") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.settle();
  const u64 head = guest.writer.head();
  SECTION("backwards") { shared(guest.control->head).store(head - 32); }
  SECTION("too far") { shared(guest.control->head).store(head + VGPU_RING_BYTES + 32); }
  SECTION("to a crooked place") { shared(guest.control->head).store(head + 33); }
  SECTION("to the end of numbers") { shared(guest.control->head).store(~u64{31}); }
  guest.send(ExecutorCommand::Type::run);
  check_ended(guest, VGPU_END_BAD_RING);
}

TEST_CASE("bulk data outside of the region") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  constexpr u64 kEnd = VGPU_STAGING_OFFSET + VGPU_STAGING_BYTES;
  SECTION("in the control page") { guest.publish<call::cuMemcpyHtoD>({Pointer{device}, {0}, Offset{0}, 16}, 0); }
  SECTION("in the ring") { guest.publish<call::cuMemcpyDtoH>({Pointer{device}, {0}, Offset{VGPU_RING_OFFSET}, 16}, 0); }
  SECTION("over the staging area's end") {
    guest.publish<call::cuMemcpyDtoH>({Pointer{device}, {0}, Offset{kEnd - 8}, 16}, 0);
  }
  SECTION("between staging and arena") {
    guest.publish<call::cuMemcpyDtoH>({Pointer{device}, {0}, Offset{kEnd + 4096}, 16}, 0);
  }
  SECTION("in an arena that is not mapped") {
    guest.publish<call::cuMemcpyDtoH>({Pointer{device}, {0}, Offset{VGPU_ARENA_OFFSET}, 16}, 0);
  }
  SECTION("past everything, with overflow") {
    guest.publish<call::cuMemcpyDtoH>({Pointer{device}, {0}, Offset{VGPU_STAGING_OFFSET}, ~u64{0}}, 0);
  }
  SECTION("inline, where there is no inline") {
    guest.publish<call::cuMemcpyDtoH>({Pointer{device}, {0}, kInline, 16}, 0);
  }
  SECTION("rows that overflow") {
    call::cuMemcpy3D::Request rows{};
    rows.source = {VGPU_STAGING_OFFSET, 0, 0, 0, u64{1} << 62, 5, CopySide::kRegion, 0};
    rows.destination = {device, 0, 0, 0, 16, 5, CopySide::kDevice, 0};
    rows.extent = {16, 5, 1};
    guest.publish<call::cuMemcpy3D>(rows, 0);
  }
  SECTION("planes that overflow") {
    call::cuMemcpy3D::Request planes{};
    planes.source = {VGPU_STAGING_OFFSET, 0, 0, 0, u64{1} << 32, u64{1} << 32, CopySide::kRegion, 0};
    planes.destination = {device, 0, 0, 0, 16, 1, CopySide::kDevice, 0};
    planes.extent = {16, 1, 2};
    guest.publish<call::cuMemcpy3D>(planes, 0);
  }
  SECTION("planes that lead out of the region") {
    call::cuMemcpy3D::Request planes{};
    planes.source = {device, 0, 0, 0, 16, 1, CopySide::kDevice, 0};
    planes.destination = {VGPU_STAGING_OFFSET, 0, 0, 0, 4096, 1u << 20, CopySide::kRegion, 0};
    planes.extent = {16, 1, 3};
    guest.publish<call::cuMemcpy3D>(planes, 0);
  }
  SECTION("an image, on a worker") {
    call::cuModuleLoadData::Request load{};
    load.module = ModuleHandle::make(1, 1);
    load.image = Offset{kEnd};
    load.image_bytes = 16;
    guest.publish<call::cuModuleLoadData>(load, 0);
  }
  SECTION("logs of a module") {
    call::cuModuleLoadData::Request load{};
    load.module = ModuleHandle::make(1, 1);
    load.image = Offset{VGPU_STAGING_OFFSET};
    load.image_bytes = 16;
    load.logs = Offset{kEnd - 10};
    load.info_log_bytes = 100;
    load.error_log_bytes = 100;
    guest.publish<call::cuModuleLoadData>(load, 0);
  }
  SECTION("device information") {
    guest.publish<call::vgpuDeviceInfo>({0, 0, Offset{kEnd - 8}, sizeof(DeviceInfo)}, 0);
  }
  SECTION("pinned memory in the staging area") {
    guest.publish<call::cuMemHostAlloc>({Offset{VGPU_STAGING_OFFSET}, 4096, 0, 0}, 0);
  }
  check_ended(guest, VGPU_END_BAD_BULK);
}

TEST_CASE("requests that no shim makes") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  SECTION("reserved field") { guest.publish<call::cuCtxSetCacheConfig>({0, 1}); }
  SECTION("reserved field of a call without fields") { guest.publish<call::cuCtxSynchronize>({1}, 0); }
  SECTION("length of inline data") {
    guest.publish<call::cuMemcpyHtoDAsync>({Pointer{device}, {0}, kInline, 100}, VGPU_NO_SLOT, bytes_of("short"));
  }
  SECTION("parameters longer than the tail") {
    call::cuLaunchKernel::Request launch{};
    launch.parameter_bytes = 100;
    guest.publish<call::cuLaunchKernel>(launch, VGPU_NO_SLOT, bytes_of("short"));
  }
  SECTION("more parameters than any kernel takes") {
    call::cuLaunchKernel::Request launch{};
    launch.parameter_bytes = kMaxParameterBytes + 1;
    const std::vector<std::byte> tail(kMaxParameterBytes + 1);
    guest.publish<call::cuLaunchKernel>(launch, VGPU_NO_SLOT, tail);
  }
  SECTION("attributes that are not there") {
    call::cuLaunchKernelEx::Request launch{};
    launch.attribute_count = 3;
    guest.publish<call::cuLaunchKernelEx>(launch);
  }
  SECTION("a number of attributes that overflows") {
    call::cuOccupancyMaxActiveClusters::Request ask{};
    ask.attribute_count = 0xffffffff;
    guest.publish<call::cuOccupancyMaxActiveClusters>(ask, 0);
  }
  SECTION("options that are not there, on a worker") {
    call::cuModuleLoadData::Request load{};
    load.module = ModuleHandle::make(1, 1);
    load.option_count = 0x10000001;
    guest.publish<call::cuModuleLoadData>(load, 0);
  }
  SECTION("no name") { guest.publish<call::cuModuleGetGlobal>({ModuleHandle::make(1, 1)}, 0); }
  SECTION("a NUL within a name") {
    guest.publish<call::vgpuUnsupported>({0}, VGPU_NO_SLOT, bytes_of(std::string_view("cu\0Init", 7)));
  }
  SECTION("a name without end") {
    const std::vector<std::byte> tail(kMaxNameBytes + 1, std::byte{'x'});
    guest.publish<call::vgpuUnsupported>({0}, VGPU_NO_SLOT, tail);
  }
  SECTION("one slot for two answers") {
    guest.publish<call::vgpuServeHostFunctions>({0}, 4);
    guest.publish<call::vgpuServeHostFunctions>({0}, 4);
  }
  check_ended(guest, VGPU_END_BAD_REQUEST);
}

TEST_CASE("a violation leaves another session alone") {
  FakeCuda cuda;
  Guest good(cuda);
  good.make_context();
  {
    Guest bad(cuda);
    bad.publish<call::cuCtxSetCacheConfig>({0, 1});
    check_ended(bad, VGPU_END_BAD_REQUEST);
  }
  CHECK(good.call<call::cuMemGetInfo>({0}) == CUDA_SUCCESS);
}
