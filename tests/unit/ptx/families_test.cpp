#include <bit>
#include <catch2/catch.hpp>
#include <cmath>

#include "machine_fixture.hpp"

/// Families of instructions that compilers emit rarely, or only for some intrinsics.
namespace vgpu::softgpu::ptx::test {

TEST_CASE("video instructions", "[instructions]") {
  CHECK(value("mov.u32 %r1, 0x01ff8005; mov.u32 %r2, 0x02017f07; mov.u32 %r3, 0; "
              "vabsdiff4.u32.u32.u32 %out, %r1, %r2, %r3;") == 0x01fe0102u);
  CHECK(value("mov.u32 %r1, 0x01ff8005; mov.u32 %r2, 0x02017f07; mov.u32 %r3, 10; "
              "vabsdiff4.u32.u32.u32.add %out, %r1, %r2, %r3;") == 10 + 1 + 0xfe + 1 + 2);
  CHECK(value("mov.u32 %r1, 0x7fff0001; mov.u32 %r2, 0x0001fffe; mov.u32 %r3, 0; "
              "vadd2.s32.s32.s32.sat %out, %r1, %r2, %r3;") == 0x7fffffffu);
  CHECK(value("mov.u32 %r1, 0x00050001; mov.u32 %r2, 0x00030002; mov.u32 %r3, 0xaaaabbbb; "
              "vmax2.u32.u32.u32 %out.h1, %r1.h10, %r2.h32, %r3;") == 0x0005bbbbu);
  CHECK(value("mov.u32 %r1, 0x04030201; mov.u32 %r2, 0x01030305; mov.u32 %r3, 0; "
              "vset4.u32.u32.gt %out, %r1, %r2, %r3;") == 0x01000000u);
  CHECK(value("mov.u32 %r1, 0x80ff; mov.u32 %r2, 3; vadd.s32.s32.s32 %out, %r1.b0, %r2;") == 2);
  CHECK(value("mov.u32 %r1, 0x80ff; mov.u32 %r2, 3; mov.u32 %r3, 100; vmin.u32.u32.u32.add %out, %r1, %r2, %r3;") ==
        103);
  CHECK(value("mov.u32 %r1, 7; mov.u32 %r2, 5; mov.u32 %r3, 0x11111111; vsub.u32.u32.u32 %out.b2, %r1, %r2, %r3;") ==
        0x11021111u);
  CHECK(value("mov.u32 %r1, 3; mov.u32 %r2, 35; vshl.u32.u32.u32.wrap %out, %r1, %r2;") == 24);
  CHECK(value("mov.u32 %r1, 1000; mov.u32 %r2, 256; mov.u32 %r3, 128; vmad.u32.u32.u32.shr7 %out, %r1, %r2, %r3;") ==
        2001);
}

TEST_CASE("a block runs on one of the multiprocessors", "[instructions]") {
  CHECK(value("mov.u32 %out, %nsmid;") == 2);  // as many as the fixture's pool runs blocks at once
  for (const std::uint64_t one : lanes("mov.u32 %out, %smid;")) CHECK(one < 2);
}

TEST_CASE("packed conversions", "[instructions]") {
  CHECK(value("mov.u32 %r1, 70000; mov.u32 %r2, -5; cvt.pack.sat.u16.s32 %out, %r1, %r2;") == 0xffff0000u);
  CHECK(
      value("mov.u32 %r1, 300; mov.u32 %r2, -300; mov.u32 %r3, 0x1234; cvt.pack.sat.s8.s32.b32 %out, %r1, %r2, %r3;") ==
      0x12347f80u);
  const auto eights = [](const char* format, float high, float low) {
    const auto bits = [](float f) { return std::to_string(std::bit_cast<std::uint32_t>(f)); };
    return value("mov.b32 %f1, " + bits(high) + "; mov.b32 %f2, " + bits(low) + "; cvt.rn.satfinite." + format +
                 ".f32 %h1, %f1, %f2; cvt.u32.u16 %out, %h1;");
  };
  CHECK(eights("e4m3x2", 1.0f, -2.0f) == 0x38c0u);
  CHECK(eights("e4m3x2", 1000.0f, 0x1p-9f) == 0x7e01u);
  CHECK(eights("e4m3x2", 464.0f, 0x1p-10f) == 0x7e00u);  // half of the least rounds to even
  CHECK(eights("e4m3x2", 1.0625f, 1.1875f) == 0x383au);
  CHECK(eights("e4m3x2", NAN, 0.01171875f) == 0x7f06u);
  CHECK(eights("e5m2x2", 1.0f, 60000.0f) == 0x3c7bu);
  CHECK(eights("e5m2x2", 0x1p-16f, -0x1p-14f) == 0x0184u);
  // What was widened narrows to itself, for every number of both formats.
  for (const char* format : {"e4m3x2", "e5m2x2"}) {
    const auto back = lanes(
        "shl.b32 %r1, %r0, 3; mul.lo.u32 %r1, %r1, 0x0101; add.u32 %r1, %r1, 0x0300; "
        "cvt.u16.u32 %h1, %r1; cvt.rn.f16x2." +
        std::string(format) +
        " %r2, %h1; "
        "cvt.rn.satfinite." +
        format +
        ".f16x2 %h2, %r2; cvt.u32.u16 %r3, %h2; "
        "and.b32 %r1, %r1, 0xffff; xor.b32 %out, %r1, %r3;");
    const bool wide_range = std::string(format) == "e5m2x2";
    for (unsigned i = 0; i < 32; ++i) {
      const unsigned low = i * 8;
      const unsigned high = (low + 3) & 0xff;
      const auto special = [&](unsigned one) {
        return wide_range ? (one & 0x7c) == 0x7c : (one & 0x7f) == 0x7f;  // infinities and NaN do not come back
      };
      if (!special(low) && !special(high)) CHECK(back[i] == 0);
    }
  }
  CHECK(value("mov.b32 %f1, 0f7F7FFFFF; mov.b32 %f2, 0fBF800000; cvt.rn.relu.satfinite.f16x2.f32 %out, %f1, %f2;") ==
        0x7bff0000u);
}

TEST_CASE("forms of common instructions that compilers seldom emit", "[instructions]") {
  CHECK(value("mov.u32 %r1, 12; setp.eq.u32 %p1, %r1, 12; lop3.and.b32 %r2|%p2, %r1, 3, 0, 0xc0, %p1; "
              "selp.u32 %out, 1, 2, %p2;") == 2);
  CHECK(value("mov.u32 %r1, 12; setp.eq.u32 %p1, %r1, 12; lop3.or.b32 _|%p2, %r1, 4, 0, 0xc0, !%p1; "
              "selp.u32 %out, 1, 2, %p2;") == 1);
  CHECK(value("mov.u32 %r1, -7; max.s32.relu %out, %r1, -3;") == 0);
  CHECK(value("mov.u32 %r1, 0xfff90005; mov.u32 %r2, 0xfffd0003; max.s16x2.relu %out, %r1, %r2;") == 5);
  CHECK(value("mov.b32 %f1, 0fC0000000; mov.b32 %f2, 0f3F800000; max.xorsign.abs.f32 %f3, %f1, %f2; "
              "mov.b32 %out, %f3;") == 0xc0000000u);
  CHECK(value("mov.b32 %r1, 0xc000c000; mov.b32 %r2, 0x3c00bc00; min.xorsign.abs.f16x2 %out, %r1, %r2;") ==
        0xbc003c00u);
  CHECK(value("mov.b32 %f1, 0f80000001; slct.ftz.u32.f32 %out, 5, 6, %f1;") == 5);
  CHECK(value("mov.b32 %f1, 0f80000001; slct.u32.f32 %out, 5, 6, %f1;") == 6);
  CHECK(value("createpolicy.fractional.L2::evict_first.b64 %rd1, 1.0; ld.global.L2::cache_hint.u32 %out, [%rd0], "
              "%rd1; discard.global.L2 [%rd0+128], 128; applypriority.global.L2::evict_normal [%rd0], 128;") ==
        0x03020100u);
  CHECK(value("getctarank.u64 %out, %rd0; isspacep.const %p1, %rd0; @%p1 add.u32 %out, %out, 1;") == 0);
  CHECK(value("mov.f64 %fd1, 0d380FFFFFFFFFFFFF; cvt.rz.ftz.f32.f64 %f1, %fd1; mov.b32 %out, %f1;") == 0);
  const auto added = lanes(
      "mov.b32 %f1, 0f3F800000; mov.b32 %f2, 0f40000000; setp.eq.u32 %p1, %r0, 0; "
      "@%p1 st.global.v4.u32 [%rd0], {0, 0, 0, 0}; bar.sync 0; "
      "red.global.add.v4.f32 [%rd0], {%f1, %f2, %f1, %f2}; bar.sync 0; ld.global.u32 %out, [%rd0+4];");
  CHECK(added[5] == std::bit_cast<std::uint32_t>(64.0f));
}

TEST_CASE("bulk copies count their bytes at a barrier", "[instructions]") {
  const auto copied = lanes(R"(
    mov.u32 %r1, scratch; add.u32 %r2, %r1, 256; setp.eq.u32 %p1, %r0, 0;
    @%p1 mbarrier.init.shared.b64 [%r1], 32; bar.sync 0;
    @!%p1 bra OTHERS;
    mbarrier.arrive.expect_tx.shared.b64 %rd1, [%r1], 64;
    cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r2], [%rd0+16], 64, [%r1];
    bra WAIT;
    OTHERS: mbarrier.arrive.shared.b64 %rd1, [%r1];
    WAIT: mbarrier.try_wait.parity.shared.b64 %p2, [%r1], 0; @!%p2 bra WAIT;
    add.u32 %r3, %r2, %r0; ld.shared.u8 %out, [%r3];)");
  for (unsigned i = 0; i < 32; ++i) CHECK(copied[i] == 16 + i);
  // Without the bytes that were announced the phase is not over.
  CHECK(value("mov.u32 %r1, scratch; setp.ne.u32 %p3, %r0, 0; @%p3 bra END; mbarrier.init.shared.b64 [%r1], 1; "
              "mbarrier.arrive.expect_tx.shared.b64 %rd1, [%r1], 64; mbarrier.test_wait.shared.b64 %p1, [%r1], %rd1; "
              "selp.u32 %out, 1, 0, %p1; mbarrier.complete_tx.shared.b64 [%r1], 64; "
              "mbarrier.test_wait.shared.b64 %p1, [%r1], %rd1; selp.u32 %r2, 2, 0, %p1; add.u32 %out, %out, %r2; "
              "END:") == 2);
}

TEST_CASE("the stack grows by alloca and shrinks again", "[instructions]") {
  const auto sums = lanes(R"(
    stacksave.u64 %rd1; mov.u32 %r2, 0;
    AGAIN: stacksave.u64 %rd4; add.u32 %r1, %r0, 100; cvt.u64.u32 %rd2, %r1; alloca.u64 %rd3, %rd2, 32;
    st.local.u32 [%rd3+96], %r0; ld.local.u32 %r3, [%rd3+96]; add.u32 %out, %out, %r3; stackrestore.u64 %rd4;
    add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, 20000; @%p1 bra AGAIN;
    stacksave.u64 %rd5; setp.ne.u64 %p2, %rd1, %rd5; @%p2 mov.u32 %out, 0;)");
  for (unsigned i = 0; i < 32; ++i) CHECK(sums[i] == 20000 * i);
}

TEST_CASE("a fault names the line of the CUDA source where the text tells it", "[faults]") {
  const std::string text = R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry before() { .loc 2 7 1
 ret; }
.visible .entry faulty(.param .u64 at)
{
  .reg .b64 %rd<3>;
  .loc 1 11 3
  ld.param.u64 %rd1, [at];
  .loc 2 42 5, function_name $L__info, inlined_at 1 11 3
  st.global.u64 [%rd1], %rd1;
  .loc 1 13 1
  ret;
}
.file 1 "/src/main.cu"
.file 2 "/src/inlined.cuh", 1700000000, 200
)";
  const Loaded loaded(text);
  INFO(loaded.diagnostic().message << " line " << loaded.diagnostic().line);
  REQUIRE(loaded.good());
  const Outcome outcome = run(loaded, "faulty", {1, 1, 1}, {1, 1, 1}, Arguments().add(std::uint64_t{64}));
  CHECK(outcome.fault == Fault::illegal_address);
  CHECK(outcome.line == 12);
  CHECK(outcome.detail.find("/src/inlined.cuh:42, line 12") != std::string::npos);
}

}  // namespace vgpu::softgpu::ptx::test
