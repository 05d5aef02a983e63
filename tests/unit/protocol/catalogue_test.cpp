#include "protocol/catalogue.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "protocol/end_reason.hpp"

using namespace vgpu::protocol;

extern "C" unsigned vgpu_c_size_of_control(void);

TEST_CASE("C and C++ see the same layout") { CHECK(vgpu_c_size_of_control() == sizeof(vgpu_control)); }

TEST_CASE("numbers lead to their calls and to nothing else") {
  u32 known = 0;
  for (u32 number = 0; number < 0x20000; ++number) {
    const u16 index = index_of_number(number);
    if (index == kUnknownCall) continue;
    ++known;
    CHECK(kCalls[index].number == number);
  }
  CHECK(known == kCallCount);
  CHECK(index_of_number(VGPU_CALL_PAD) == kUnknownCall);
}

TEST_CASE("visit shows the fields in wire order") {
  std::string seen;
  call::visit(call::cuMemAllocPitch::Request{1, 2, 3, 0},
              [&](const char* name, auto) { seen += std::string(name) + " "; });
  CHECK(seen == "width height element_bytes zero ");
  seen.clear();
  call::visit(call::cuMemAlloc::Reply{Pointer{7}}, [&](const char* name, auto) { seen += name; });
  CHECK(seen == "pointer");
}

TEST_CASE("handles tell their kind, index and generation") {
  const auto stream = StreamHandle::make(5, 9);
  CHECK(stream.well_formed());
  CHECK(stream.index() == 5);
  CHECK(stream.generation() == 9);
  CHECK_FALSE(EventHandle{stream.value}.well_formed());
  CHECK_FALSE(StreamHandle{0}.well_formed());
  CHECK_FALSE(StreamHandle{2}.well_formed());
  CHECK_FALSE(StreamHandle{stream.value | (u64{1} << 50)}.well_formed());
}

TEST_CASE("each reason has a text of its own") {
  CHECK(std::string(end_reason_text(VGPU_END_BAD_CHECK)) == "bad_check");
  CHECK(std::string(end_reason_text(static_cast<vgpu_end_reason>(9999))) == "unknown");
}
