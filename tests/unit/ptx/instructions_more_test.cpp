#include <bit>
#include <catch2/catch.hpp>

#include "machine_fixture.hpp"

/// Moves, memory, atomics, branches, exchange between lanes.
namespace vgpu::softgpu::ptx::test {

TEST_CASE("moves and special registers", "[instructions]") {
  CHECK(value("mov.b64 %outd, {1, 2};") == 0x200000001u);
  CHECK(value("mov.b64 {%r1, %r2}, 0x200000001; add.u32 %out, %r1, %r2;") == 3);
  CHECK(value("mov.b32 {%h1, %h2}, 0x00020001; cvt.u32.u16 %out, %h2;") == 2);
  CHECK(value("mov.b64 %rd1, 0x0004000300020001; mov.b64 {%h1,%h2,%h3,%h4}, %rd1; mov.b32 %out, {%h4, %h1};") ==
        0x00010004u);
  CHECK(value("mov.u32 %r1, 7; mov.u32 %r2, 9; mov.b64 %rd1, {%r1, %r2}; mov.b64 {%r2, %r1}, %rd1; sub.u32 %out, %r1, "
              "%r2;") == 2);
  CHECK(value("mov.u32 %out, %ntid.x;") == 32);
  CHECK(value("mov.u32 %out, %nwarpid;") == 1);
  CHECK(value("mov.u32 %out, WARP_SZ;") == 32);
  CHECK(value("mov.u32 %r1, scratch; mov.u32 %out, %total_smem_size;") == 1024);
  CHECK(
      value(
          "mov.u64 %rd1, %clock64; mov.u64 %rd2, %globaltimer; setp.ne.u64 %p1, %rd2, 0; selp.u32 %out, 1, 0, %p1;") ==
      1);
  const auto ids =
      lanes("mov.u32 %out, %laneid; mov.u32 %r1, %lanemask_lt; popc.b32 %r1, %r1; sub.u32 %out, %out, %r1;");
  for (const auto id : ids) CHECK(id == 0);
  const auto masks = lanes("mov.u32 %r1, %lanemask_ge; mov.u32 %r2, %lanemask_eq; and.b32 %out, %r1, %r2;");
  for (unsigned i = 0; i < 32; ++i) CHECK(masks[i] == 1u << i);
  CHECK(value("cvta.to.global.u64 %rd1, %rd0; isspacep.global %p1, %rd1; selp.u32 %out, 1, 0, %p1;") == 1);
  CHECK(
      value("mov.u64 %rd1, scratch; cvta.shared.u64 %rd1, %rd1; isspacep.shared %p1, %rd1; isspacep.global %p2, %rd1; "
            "selp.u32 %r1, 1, 0, %p1; selp.u32 %r2, 2, 0, %p2; add.u32 %out, %r1, %r2;") == 1);
}

TEST_CASE("loads and stores", "[instructions]") {
  CHECK(value("ld.global.u8 %r1, [%rd0+200]; mov.b32 %out, %r1;") == 200);
  CHECK(value("ld.global.s8 %r1, [%rd0+200]; mov.b32 %out, %r1;") == 0xffffffc8u);
  CHECK(value("ld.global.s8 %outd, [%rd0+200];") == 0xffffffffffffffc8u);
  CHECK(value("ld.global.u16 %h1, [%rd0+2]; cvt.u32.u16 %out, %h1;") == 0x0302);
  CHECK(value("ld.global.nc.v2.u32 {%r1, %r2}, [%rd0+8]; mov.b32 %out, %r2;") == 0x0f0e0d0cu);
  CHECK(value("ld.volatile.global.v4.u16 {%h1,%h2,%h3,%h4}, [%rd0+8]; cvt.u32.u16 %out, %h4;") == 0x0f0e);
  CHECK(value("ld.relaxed.gpu.global.u64 %outd, [%rd0+8];") == 0x0f0e0d0c0b0a0908u);
  CHECK(value("ld.acquire.sys.u32 %out, [%rd0];") == 0x03020100u);
  CHECK(value("ld.global.ca.L2::128B.u32 %out, [%rd0];") == 0x03020100u);
  CHECK(value("ld.global.L1::no_allocate.L2::256B.u32 %out, [%rd0];") == 0x03020100u);
  CHECK(value("st.release.gpu.global.u32 [%rd0], 77; fence.acq_rel.gpu; membar.gl; ld.u32 %out, [%rd0];") == 77);
  CHECK(value("st.global.v2.b64 [%rd0], {5, 6}; ld.global.u64 %outd, [%rd0+8];") == 6);
  CHECK(value("mov.u32 %r1, 0x12345; st.global.u8 [%rd0], %r1; ld.global.u32 %out, [%rd0];") == 0x03020145u);
  CHECK(value("st.shared.u32 [scratch+16], 99; mov.u32 %r1, scratch; ld.shared.u32 %out, [%r1+16];") == 99);
  CHECK(value("st.shared.u32 [scratch], 98; mov.u64 %rd1, scratch; cvta.shared.u64 %rd2, %rd1; ld.u32 %out, [%rd2];") ==
        98);
  const auto spread =
      lanes("mul.wide.u32 %rd1, %r0, 4; add.u64 %rd1, %rd0, %rd1; ld.global.u8 %r1, [%rd1]; mov.b32 %out, %r1;");
  for (unsigned i = 0; i < 32; ++i) CHECK(spread[i] == 4 * i);
  const auto local = lanes(
      "{ .local .align 4 .b8 mine[16]; mov.u64 %rd1, mine; st.local.u32 [%rd1+4], %r0; "
      "cvta.local.u64 %rd2, %rd1; ld.u32 %r1, [%rd2+4]; st.local.u32 [mine], 100; ld.local.u32 %r2, [mine]; "
      "add.u32 %out, %r1, %r2; }");
  for (unsigned i = 0; i < 32; ++i) CHECK(local[i] == 100 + i);
  CHECK(value("mov.u64 %rd1, scratch; cp.async.ca.shared.global [%rd1], [%rd0+4], 4; cp.async.commit_group; "
              "cp.async.wait_group 0; ld.shared.u32 %out, [scratch];") == 0x07060504u);
  CHECK(value("mov.u32 %r1, scratch; mov.u32 %r2, 2; cp.async.cg.shared.global.L2::128B [%r1], [%rd0], 16, %r2; "
              "cp.async.wait_all; ld.shared.u32 %out, [scratch];") == 0x0100u);
}

TEST_CASE("atomics", "[instructions]") {
  const auto all = [](const char* code) { return lanes(code); };
  CHECK(value("st.global.u32 [%rd0], 0; atom.global.add.u32 %r1, [%rd0], 2; bar.warp.sync -1; ld.global.u32 %out, "
              "[%rd0];") == 64);
  CHECK(value("red.shared.add.u32 [scratch], 3; bar.sync 0; ld.shared.u32 %out, [scratch];") == 96);
  CHECK(value("st.shared.u64 [scratch], 0; bar.sync 0; cvt.u64.u32 %rd1, %r0; atom.shared.max.u64 %rd2, [scratch], "
              "%rd1; bar.sync 0; "
              "ld.shared.u64 %outd, [scratch];") == 31);
  CHECK(
      value("st.shared.s32 [scratch], 0; bar.sync 0; neg.s32 %r1, %r0; red.shared.min.s32 [scratch], %r1; bar.sync 0; "
            "ld.shared.u32 %out, [scratch];") == 0xffffffe1u);
  CHECK(value("st.shared.f32 [scratch], 0f00000000; bar.sync 0; atom.shared.add.f32 %f1, [scratch], 0f3F000000; "
              "bar.sync 0; "
              "ld.shared.u32 %out, [scratch];") == std::bit_cast<std::uint32_t>(16.0f));
  CHECK(
      value(
          "st.global.u64 [%rd0], 0; bar.sync 0; red.relaxed.gpu.global.add.f64 [%rd0], 0d3FF0000000000000; bar.sync 0; "
          "ld.global.u64 %outd, [%rd0];") == std::bit_cast<std::uint64_t>(32.0));
  CHECK(value("st.shared.u32 [scratch], 0; bar.sync 0; atom.shared.inc.u32 %r1, [scratch], 9; bar.sync 0; "
              "ld.shared.u32 %out, [scratch];") == 2);
  CHECK(value("st.shared.u32 [scratch], 5; bar.sync 0; atom.shared.dec.u32 %r1, [scratch], 7; bar.sync 0; "
              "ld.shared.u32 %out, [scratch];") == 5);
  CHECK(value("mov.b16 %h1, 0x0504; st.shared.u32 [scratch], 0x05040504; mov.b16 %h2, 0x1111; bar.sync 0; "
              "atom.shared.cas.b16 %h3, "
              "[scratch+2], %h1, %h2; bar.sync 0; ld.shared.u32 %out, [scratch];") == 0x11110504u);
  CHECK(
      value(
          "st.shared.u32 [scratch], 0; bar.sync 0; atom.shared.add.noftz.f16x2 %r1, [scratch], 0x3c003800; bar.sync 0; "
          "ld.shared.u32 %out, [scratch];") == 0x50004c00u);
  CHECK(value("st.shared.u32 [scratch], 0; bar.sync 0; shl.b32 %r1, 1, %r0; atom.or.b32 %r2, [%rd0], %r1; "
              "atom.shared.xor.b32 %r2, [scratch], %r1; bar.sync 0; ld.shared.u32 %out, [scratch];") == 0xffffffffu);
  std::uint64_t seen = 0;
  for (const std::uint64_t old :
       all("st.shared.u32 [scratch], 32; bar.sync 0; atom.shared.exch.b32 %out, [scratch], %r0;"))
    seen |= std::uint64_t{1} << old;
  CHECK(std::popcount(seen) == 32);
}

TEST_CASE("branches and calls", "[instructions]") {
  const auto table = lanes(R"(
    ts: .branchtargets A, B, C;
    rem.u32 %r1, %r0, 3;
    brx.idx %r1, ts;
    A: mov.u32 %out, 10; bra.uni E;
    B: mov.u32 %out, 20; bra.uni E;
    C: mov.u32 %out, 30;
    E: add.u32 %out, %out, 1;)");
  for (unsigned i = 0; i < 32; ++i) CHECK(table[i] == 10 * (i % 3 + 1) + 1);
  const auto loop =
      lanes("mov.u32 %r1, 0; L: add.u32 %out, %out, %r1; add.u32 %r1, %r1, 1; setp.le.u32 %p1, %r1, %r0; @%p1 bra L;");
  for (unsigned i = 0; i < 32; ++i) CHECK(loop[i] == i * (i + 1) / 2);
  // The same label in two blocks.
  CHECK(value("{ bra M; add.u32 %out, %out, 1; M: } { bra M; add.u32 %out, %out, 2; M: } add.u32 %out, %out, 4;") == 4);
}

TEST_CASE("exchange between lanes", "[instructions]") {
  auto got = lanes("shfl.sync.up.b32 %out|%p1, %r0, 3, 0, -1; selp.u32 %r1, 100, 0, %p1; add.u32 %out, %out, %r1;");
  for (unsigned i = 0; i < 32; ++i) CHECK(got[i] == (i >= 3 ? i - 3 + 100 : i));
  got = lanes("shfl.sync.down.b32 %out, %r0, 3, 0x1f, -1;");
  for (unsigned i = 0; i < 32; ++i) CHECK(got[i] == (i + 3 < 32 ? i + 3 : i));
  got = lanes("shfl.sync.bfly.b32 %out, %r0, 5, 0x1f, -1;");
  for (unsigned i = 0; i < 32; ++i) CHECK(got[i] == (i ^ 5));
  got = lanes("shfl.sync.idx.b32 %out, %r0, 2, 0x181f, -1;");  // segments of 8
  for (unsigned i = 0; i < 32; ++i) CHECK(got[i] == i / 8 * 8 + 2);
  got = lanes("setp.lt.u32 %p1, %r0, 5; vote.sync.ballot.b32 %out, %p1, -1;");
  CHECK(got[9] == 31);
  got = lanes(
      "setp.lt.u32 %p1, %r0, 5; vote.sync.all.pred %p2, %p1, -1; vote.sync.any.pred %p3, !%p1, -1; "
      "selp.u32 %r1, 1, 0, %p2; selp.u32 %r2, 2, 0, %p3; add.u32 %out, %r1, %r2;");
  CHECK(got[9] == 2);
  got = lanes("shr.u32 %r1, %r0, 3; match.any.sync.b32 %out, %r1, -1;");
  for (unsigned i = 0; i < 32; ++i) CHECK(got[i] == 0xffu << i / 8 * 8);
  got = lanes("match.all.sync.b32 %out|%p1, %r0, -1; selp.u32 %r1, 1, 0, %p1; add.u32 %out, %out, %r1;");
  CHECK(got[0] == 0);
  got = lanes("redux.sync.add.s32 %out, %r0, -1;");
  CHECK(got[7] == 31 * 16);
  got = lanes("neg.s32 %r1, %r0; redux.sync.min.s32 %out, %r1, -1;");
  CHECK(got[7] == 0xffffffe1u);
  got = lanes("setp.lt.u32 %p1, %r0, 7; @%p1 activemask.b32 %out;");
  CHECK(got[3] == 0x7f);
  got = lanes("elect.sync %r1|%p1, -1; selp.u32 %out, 1, 0, %p1;");
  CHECK(got[0] == 1);
  CHECK(got[1] == 0);
  // Both sides of a branch meet in one exchange that each lane names.
  got = lanes(
      "setp.lt.u32 %p1, %r0, 16; @%p1 bra A; add.u32 %r1, %r0, 50; bra B; A: add.u32 %r1, %r0, 10; B: "
      "shfl.sync.bfly.b32 %out, %r1, 16, 0x1f, -1;");
  for (unsigned i = 0; i < 32; ++i) CHECK(got[i] == (i < 16 ? i + 16 + 50 : i - 16 + 10));
  // Lanes wait for each other at different instructions.
  got = lanes(
      "setp.lt.u32 %p1, %r0, 16; @%p1 bra A; st.shared.u32 [scratch], 5; bar.warp.sync -1; bra B; "
      "A: bar.warp.sync -1; ld.shared.u32 %out, [scratch]; B:");
  CHECK(got[3] == 5);
}

TEST_CASE("barrier objects in shared memory", "[instructions]") {
  const auto got = lanes(R"(
    setp.eq.u32 %p1, %r0, 0;
    @%p1 mbarrier.init.shared.b64 [scratch], 32;
    bar.sync 0;
    mov.u32 %r3, 0;
    loop:
    setp.lt.u32 %p2, %r0, 7;
    @%p2 st.shared.u32 [scratch+8], %r3;
    mbarrier.arrive.shared.b64 %rd1, [scratch];
    wait: mbarrier.test_wait.shared.b64 %p3, [scratch], %rd1;
    @!%p3 bra wait;
    ld.shared.u32 %r4, [scratch+8];
    add.u32 %out, %out, %r4;
    bar.sync 0;
    add.u32 %r3, %r3, 1;
    setp.lt.u32 %p4, %r3, 5;
    @%p4 bra loop;
    mbarrier.try_wait.parity.shared.b64 %p5, [scratch], 0;
    @%p5 add.u32 %out, %out, 100;)");
  for (const auto one : got) CHECK(one == 110);
  CHECK(value("fns.b32 %out, 0xf0, 0, 2;") == 5);
  CHECK(value("fns.b32 %out, 0xf0, 31, -1;") == 7);
  CHECK(value("fns.b32 %out, 0xf0, 0, 9;") == 0xffffffffu);
}

TEST_CASE("barriers that count", "[instructions]") {
  CHECK(value("setp.lt.u32 %p1, %r0, 5; barrier.cta.red.popc.aligned.u32 %out, 0, %p1;") == 5);
  CHECK(value("setp.lt.u32 %p1, %r0, 5; bar.red.and.pred %p2, 1, 32, %p1; selp.u32 %out, 1, 0, %p2;") == 0);
  CHECK(value("setp.lt.u32 %p1, %r0, 5; bar.red.or.pred %p2, 1, %p1; selp.u32 %out, 1, 0, %p2;") == 1);
  // Half of the warp only arrives; the other half waits for it.
  CHECK(lanes("setp.lt.u32 %p1, %r0, 16; @%p1 bra A; bar.sync 2, 32; ld.shared.u32 %out, [scratch]; bra B; "
              "A: st.shared.u32 [scratch], 6; bar.arrive 2, 32; B:")[20] == 6);
}

}  // namespace vgpu::softgpu::ptx::test
