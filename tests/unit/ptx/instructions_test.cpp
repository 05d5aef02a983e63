#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <span>

#include "machine_fixture.hpp"

/// Instruction families, each with results worked out by hand or by the host.
namespace vgpu::softgpu::ptx::test {
namespace {

constexpr std::uint64_t f32(float value) { return std::bit_cast<std::uint32_t>(value); }
constexpr std::uint64_t f64(double value) { return std::bit_cast<std::uint64_t>(value); }

struct Case {
  const char* code;
  std::uint64_t expected;
};
void check(std::span<const Case> cases) {
  for (const Case& one : cases) {
    INFO(one.code);
    CHECK(value(one.code) == one.expected);
  }
}

}  // namespace

TEST_CASE("integer arithmetic", "[instructions]") {
  // Constant data: built when the program is compiled.
  static constexpr Case kCases[] = {
      {"add.s32 %out, 7, -9;", 0xfffffffeu},
      {"add.sat.s32 %out, 2147483647, 5;", 0x7fffffffu},
      {"sub.sat.s32 %out, -2147483648, 5;", 0x80000000u},
      {"add.u64 %outd, 0xffffffffffffffff, 3;", 2},
      {"add.u16 %h1, 0xffff, 3; cvt.u32.u16 %out, %h1;", 2},
      {"sub.u32 %out, 3, 5;", 0xfffffffeu},
      {"mul.lo.s32 %out, -3, 5;", 0xfffffff1u},
      {"mul.hi.s32 %out, -3, 5;", 0xffffffffu},
      {"mul.hi.u32 %out, 0xffffffff, 0xffffffff;", 0xfffffffeu},
      {"mul.wide.s32 %outd, -3, 5;", 0xfffffffffffffff1u},
      {"mul.wide.u32 %outd, 0xffffffff, 2;", 0x1fffffffeu},
      {"mul.wide.s16 %out, 0xffff, 5;", 0xfffffffbu},
      {"mul.hi.u64 %outd, 0xffffffffffffffff, 16;", 15},
      {"mul.hi.s64 %outd, -1, 16;", ~std::uint64_t{0}},
      {"mad.lo.u32 %out, 3, 5, 7;", 22},
      {"mad.hi.u32 %out, 0x80000000, 4, 7;", 9},
      {"mad.hi.sat.s32 %out, 0x7fffffff, 0x7fffffff, 0x7fffffff;", 0x7fffffffu},
      {"mad.wide.u32 %outd, 0xffffffff, 2, 2;", 0x200000000u},
      {"mul24.lo.u32 %out, 0xff000003, 5;", 15},
      {"mul24.hi.s32 %out, 0x00ffffff, 0x00010000;", 0xffffffffu},
      {"mad24.lo.s32 %out, 3, 4, 5;", 17},
      {"sad.u32 %out, 3, 10, 5;", 12},
      {"sad.s32 %out, -3, 10, 5;", 18},
      {"div.s32 %out, -7, 2;", 0xfffffffdu},
      {"div.u32 %out, 0xfffffff9, 2;", 0x7ffffffcu},
      {"div.s32 %out, 0x80000000, -1;", 0x80000000u},
      {"mov.u32 %r1, 0; div.u32 %out, 5, %r1;", 0xffffffffu},
      {"rem.s32 %out, -7, 2;", 0xffffffffu},
      {"rem.s64 %outd, -7, 4;", static_cast<std::uint64_t>(-3)},
      {"abs.s32 %out, -7;", 7},
      {"neg.s64 %outd, 5;", static_cast<std::uint64_t>(-5)},
      {"min.s32 %out, -1, 1;", 0xffffffffu},
      {"min.u32 %out, -1, 1;", 1},
      {"max.s64 %outd, -1, 1;", 1},
      {"popc.b32 %out, 0xf0f0;", 8},
      {"popc.b64 %out, 0xf0f000000000;", 8},
      {"clz.b32 %out, 0x00010000;", 15},
      {"clz.b64 %out, 1;", 63},
      {"clz.b32 %out, 0;", 32},
      {"bfind.u32 %out, 0x00010000;", 16},
      {"bfind.s32 %out, -1;", 0xffffffffu},
      {"bfind.s32 %out, -5;", 2},
      {"bfind.shiftamt.u32 %out, 0x00010000;", 15},
      {"bfind.u64 %out, 0x100000000;", 32},
      {"brev.b32 %out, 1;", 0x80000000u},
      {"brev.b64 %outd, 1;", 0x8000000000000000u},
      {"bfe.u32 %out, 0x12345678, 8, 8;", 0x56},
      {"bfe.s32 %out, 0x0000f000, 12, 4;", 0xffffffffu},
      {"bfe.s32 %out, 0x80000000, 28, 8;", 0xfffffff8u},
      {"bfe.u32 %out, 0xffffffff, 40, 8;", 0},
      {"bfe.s32 %out, 0x80000000, 40, 8;", 0xffffffffu},
      {"bfe.u64 %outd, 0x123456789abcdef0, 32, 16;", 0x5678},
      {"bfi.b32 %out, 0xff, 0x12345678, 8, 8;", 0x1234ff78u},
      {"bfi.b64 %outd, 0xabcd, 0, 32, 32;", 0xabcd00000000u},
      {"bfi.b32 %out, 0xff, 0x12345678, 8, 0;", 0x12345678u},
      {"prmt.b32 %out, 0x33221100, 0x77665544, 0x7250;", 0x77225500u},
      {"prmt.b32 %out, 0x80, 0, 0x0008;", 0x808080ffu},
      {"prmt.b32.f4e %out, 0x33221100, 0x77665544, 1;", 0x44332211u},
      {"prmt.b32.rc16 %out, 0x33221100, 0, 1;", 0x33223322u},
      {"lop3.b32 %out, 0xf0f0f0f0, 0xcccccccc, 0xaaaaaaaa, 0x1b;",
       (~0xf0f0f0f0u & ~0xccccccccu) | (~0xf0f0f0f0u & 0xccccccccu & 0xaaaaaaaau & 0) |
           [] {
             std::uint32_t out = 0;
             for (unsigned i = 0; i < 32; ++i) {
               const unsigned k = (0xf0f0f0f0u >> i & 1) << 2 | (0xccccccccu >> i & 1) << 1 | (0xaaaaaaaau >> i & 1);
               out |= (0x1bu >> k & 1) << i;
             }
             return out;
           }()},
      {"shf.l.wrap.b32 %out, 0x80000000, 1, 33;", 3},
      {"shf.l.clamp.b32 %out, 0x80000001, 1, 40;", 0x80000001u},
      {"shf.r.wrap.b32 %out, 0x80000000, 1, 31;", 3},
      {"shf.r.clamp.b32 %out, 0x80000000, 7, 35;", 7},
      {"shl.b32 %out, 1, 40;", 0},
      {"shl.b64 %outd, 1, 40;", 0x10000000000u},
      {"shl.b16 %h1, 0xffff, 4; cvt.u32.u16 %out, %h1;", 0xfff0},
      {"shr.s32 %out, -8, 1;", 0xfffffffcu},
      {"shr.s32 %out, -8, 99;", 0xffffffffu},
      {"shr.u32 %out, -8, 99;", 0},
      {"shr.b64 %outd, 0x8000000000000000, 63;", 1},
      {"and.b32 %out, 0xff, 0x3c;", 0x3c},
      {"or.b64 %outd, 0xff, 0x300;", 0x3ff},
      {"xor.b32 %out, 0xff, 0x3c;", 0xc3},
      {"not.b32 %out, 0xff;", 0xffffff00u},
      {"cnot.b32 %out, 0xff;", 0},
      {"cnot.b32 %out, 0;", 1},
      {"szext.clamp.s32 %out, 0xff, 8;", 0xffffffffu},
      {"szext.wrap.u32 %out, 0x1ff, 8;", 0xff},
      {"bmsk.clamp.b32 %out, 4, 8;", 0xff0},
      {"dp4a.u32.u32 %out, 0x01020304, 0x05060708, 9;", 5 + 12 + 21 + 32 + 9},
      {"dp4a.s32.s32 %out, 0xff020304, 0x05060708, 9;", 9 - 5 + 12 + 21 + 32},
      {"dp2a.lo.u32.u32 %out, 0x00020003, 0x05060708, 1;", 3 * 8 + 2 * 7 + 1},
      {"dp2a.hi.s32.s32 %out, 0xffff0003, 0x05060708, 1;", 3 * 6 - 5 + 1},
      {"add.u16x2 %out, 0x0001ffff, 0x00020001;", 0x00030000u},
      {"add.cc.u32 %r1, 0xffffffff, 1; addc.u32 %out, 5, 6;", 12},
      {"add.cc.u32 %r1, 0xffffffff, 0xffffffff; addc.cc.u32 %r2, 0xffffffff, 0; addc.u32 %out, 0, 0;", 1},
      {"sub.cc.u32 %r1, 1, 2; subc.u32 %out, 10, 3;", 6},
      {"sub.cc.u32 %r1, 1, 2; addc.u32 %out, 10, 3;", 13},  // a borrow leaves the flag clear
      {"sub.cc.u32 %r1, 2, 1; addc.u32 %out, 10, 3;", 14},
      {"add.cc.u32 %r1, -1, 1; subc.u32 %out, 10, 3;", 7},
      {"mad.lo.cc.u32 %r1, 0x10000, 0x10000, 1; madc.hi.u32 %out, 0x10000, 0x10000, 4;", 5},
      {"mad.lo.cc.u64 %rd1, 0xffffffffffffffff, 2, 2; madc.hi.u64 %outd, 0xffffffffffffffff, 2, 0;", 2},
  };
  check(kCases);
}

TEST_CASE("float arithmetic", "[instructions]") {
  // Constant data: built when the program is compiled.
  static constexpr Case kCases[] = {
      {"add.f32 %f1, 0f3F800000, 0f33800000; mov.b32 %out, %f1;", f32(1.0f)},
      {"add.rp.f32 %f1, 0f3F800000, 0f33800000; mov.b32 %out, %f1;", 0x3f800001u},
      {"add.rz.f32 %f1, 0fBF800000, 0f33800000; mov.b32 %out, %f1;", 0xbf7fffffu},
      {"add.rm.f32 %f1, 0fBF800000, 0fB2800000; mov.b32 %out, %f1;", 0xbf800001u},
      {"sub.f64 %fd1, 0d3FF0000000000000, 0d4000000000000000; mov.b64 %outd, %fd1;", f64(-1.0)},
      {"mul.rn.f32 %f1, 0f40000000, 0f40400000; mov.b32 %out, %f1;", f32(6.0f)},
      {"mul.ftz.f32 %f1, 0f00000001, 0f40400000; mov.b32 %out, %f1;", 0},
      {"mul.f32 %f1, 0f00000001, 0f40400000; mov.b32 %out, %f1;", 3},
      {"add.sat.f32 %f1, 0f40000000, 0f40400000; mov.b32 %out, %f1;", f32(1.0f)},
      {"sub.sat.f32 %f1, 0f40000000, 0f40400000; mov.b32 %out, %f1;", 0},
      {"fma.rn.f32 %f1, 0f3F800001, 0f3F800001, 0fBF800002; mov.b32 %out, %f1;", f32(0x1p-46f)},
      {"fma.rz.f32 %f1, 0f3F800001, 0f3F800001, 0f00000000; mov.b32 %out, %f1;", 0x3f800002u},
      {"fma.rp.f64 %fd1, 0d3FF0000000000001, 0d3FF0000000000001, 0d0000000000000000; mov.b64 %outd, %fd1;",
       0x3ff0000000000003u},
      {"div.rn.f32 %f1, 0f3F800000, 0f40400000; mov.b32 %out, %f1;", f32(1.0f / 3.0f)},
      {"div.rz.f64 %fd1, 0d3FF0000000000000, 0d4008000000000000; mov.b64 %outd, %fd1;", 0x3fd5555555555555u},
      {"div.full.f32 %f1, 0f40C00000, 0f40400000; mov.b32 %out, %f1;", f32(2.0f)},
      {"rcp.rn.f64 %fd1, 0d4010000000000000; mov.b64 %outd, %fd1;", f64(0.25)},
      {"rcp.approx.ftz.f64 %fd1, 0d4010000000000001; mov.b64 %outd, %fd1;", f64(0.25)},
      {"sqrt.rn.f32 %f1, 0f40000000; mov.b32 %out, %f1;", f32(1.41421356f)},
      {"sqrt.rp.f32 %f1, 0f40000000; mov.b32 %out, %f1;", 0x3fb504f4u},
      {"rsqrt.approx.f32 %f1, 0f40800000; mov.b32 %out, %f1;", f32(0.5f)},
      {"ex2.approx.f32 %f1, 0f40400000; mov.b32 %out, %f1;", f32(8.0f)},
      {"lg2.approx.f32 %f1, 0f41000000; mov.b32 %out, %f1;", f32(3.0f)},
      {"sin.approx.f32 %f1, 0f00000000; mov.b32 %out, %f1;", 0},
      {"cos.approx.ftz.f32 %f1, 0f00000001; mov.b32 %out, %f1;", f32(1.0f)},
      {"tanh.approx.f32 %f1, 0f00000000; mov.b32 %out, %f1;", 0},
      {"min.f32 %f1, 0f7FC00000, 0f40400000; mov.b32 %out, %f1;", f32(3.0f)},
      {"min.NaN.f32 %f1, 0f7FC00000, 0f40400000; mov.b32 %out, %f1;", 0x7fffffffu},
      {"min.f32 %f1, 0f00000000, 0f80000000; mov.b32 %out, %f1;", 0x80000000u},
      {"max.f64 %fd1, 0d8000000000000000, 0d0000000000000000; mov.b64 %outd, %fd1;", 0},
      {"neg.f32 %f1, 0f3F800000; mov.b32 %out, %f1;", f32(-1.0f)},
      {"abs.f64 %fd1, 0dBFF0000000000000; mov.b64 %outd, %fd1;", f64(1.0)},
      {"copysign.f32 %f1, 0fBF800000, 0f40000000; mov.b32 %out, %f1;", f32(-2.0f)},
      {"sub.f32 %f1, 0f7F800000, 0f7F800000; mov.b32 %out, %f1;", 0x7fffffffu},
      {"mov.f32 %f1, 1.5; mov.b32 %out, %f1;", f32(1.5f)},
      {"testp.subnormal.f32 %p1, 0f00000001; selp.b32 %out, 1, 0, %p1;", 1},
      {"testp.notanumber.f64 %p1, 0d7FF8000000000000; selp.b32 %out, 1, 0, %p1;", 1},
      {"mov.b16 %h1, 0x3c00; mov.b16 %h2, 0x4000; add.f16 %h3, %h1, %h2; cvt.u32.u16 %out, %h3;", 0x4200},
      {"mov.b16 %h1, 0x3c01; fma.rn.f16 %h3, %h1, %h1, %h1; cvt.u32.u16 %out, %h3;", 0x4002},
      {"mul.f16x2 %out, 0x40003c00, 0x42004400;", 0x46004400u},
      {"mul.bf16x2 %out, 0x40003f80, 0x40404080;", 0x40c04080u},
      {"max.f16x2 %out, 0x7e003c00, 0x3c004000;", 0x3c004000u},
      {"neg.f16x2 %out, 0x40003c00;", 0xc000bc00u},
      {"ex2.approx.f16x2 %out, 0x40003c00;", 0x44004000u},
  };
  check(kCases);
}

TEST_CASE("conversions", "[instructions]") {
  // Constant data: built when the program is compiled.
  static constexpr Case kCases[] = {
      {"cvt.s64.s32 %outd, -5;", static_cast<std::uint64_t>(-5)},
      {"cvt.u64.u32 %outd, -5;", 0xfffffffbu},
      {"mov.u32 %r1, 0x1ff; cvt.u8.u32 %h1, %r1; cvt.u32.u16 %out, %h1;", 0xff},
      {"mov.u32 %r1, 0x80; cvt.s8.u32 %r2, %r1; mov.b32 %out, %r2;", 0xffffff80u},
      {"mov.u32 %r1, 0x80; cvt.s32.s8 %out, %r1;", 0xffffff80u},
      {"mov.u64 %rd1, 0x80; cvt.s32.s8 %out, %rd1;", 0xffffff80u},
      {"mov.u32 %r1, 0x8000; cvt.s64.s16 %outd, %r1;", 0xffffffffffff8000u},
      {"cvt.sat.u8.s32 %r1, 300; mov.b32 %out, %r1;", 255},
      {"cvt.sat.s8.s32 %r1, -300; cvt.s32.s8 %out, %r1;", 0xffffff80u},
      {"cvt.sat.u32.s64 %out, -300;", 0},
      {"cvt.rzi.s32.f32 %out, 0fC0200000;", 0xfffffffeu},
      {"cvt.rni.s32.f32 %out, 0f40200000;", 2},
      {"cvt.rmi.s32.f32 %out, 0fC0200000;", 0xfffffffdu},
      {"cvt.rpi.s32.f64 %out, 0d4002000000000000;", 3},
      {"cvt.rzi.u32.f32 %out, 0fC0200000;", 0},
      {"cvt.rzi.s32.f32 %out, 0f7F800000;", 0x7fffffffu},
      {"cvt.rzi.s32.f32 %out, 0f7FC00000;", 0},
      {"cvt.rzi.u64.f64 %outd, 0d43F0000000000000;", ~std::uint64_t{0}},
      {"cvt.rzi.u8.f32 %r1, 0f43FA0000; mov.b32 %out, %r1;", 255},
      {"cvt.rn.f32.s32 %f1, -7; mov.b32 %out, %f1;", f32(-7.0f)},
      {"cvt.rz.f32.u32 %f1, 0xffffffff; mov.b32 %out, %f1;", 0x4f7fffffu},
      {"cvt.rn.f32.u64 %f1, 0xffffffffffffffff; mov.b32 %out, %f1;", 0x5f800000u},
      {"cvt.rn.f64.s64 %fd1, -7; mov.b64 %outd, %fd1;", f64(-7.0)},
      {"mov.u32 %r1, 0xff; cvt.rn.f32.s8 %f1, %r1; mov.b32 %out, %f1;", f32(-1.0f)},
      {"cvt.f64.f32 %fd1, 0f3FC00000; mov.b64 %outd, %fd1;", f64(1.5)},
      {"cvt.rn.f32.f64 %f1, 0d3FF0000010000001; mov.b32 %out, %f1;", 0x3f800001u},
      {"cvt.rz.f32.f64 %f1, 0d3FF0000010000001; mov.b32 %out, %f1;", 0x3f800000u},
      {"cvt.rni.f32.f32 %f1, 0f40200000; mov.b32 %out, %f1;", f32(2.0f)},
      {"cvt.rpi.f64.f64 %fd1, 0d4002000000000000; mov.b64 %outd, %fd1;", f64(3.0)},
      {"cvt.sat.f32.f32 %f1, 0f40200000; mov.b32 %out, %f1;", f32(1.0f)},
      {"cvt.ftz.f32.f32 %f1, 0f80000001; mov.b32 %out, %f1;", 0x80000000u},
      {"cvt.rn.f16.f32 %h1, 0f477FF000; cvt.u32.u16 %out, %h1;", 0x7c00},
      {"cvt.rz.f16.f32 %h1, 0f477FF000; cvt.u32.u16 %out, %h1;", 0x7bff},
      {"cvt.rn.f16.f32 %h1, 0f33800000; cvt.u32.u16 %out, %h1;", 1},
      {"cvt.rn.f16.f32 %h1, 0f3F801000; cvt.u32.u16 %out, %h1;", 0x3c00},
      {"mov.b16 %h1, 0x0001; cvt.f32.f16 %f1, %h1; mov.b32 %out, %f1;", 0x33800000u},
      {"mov.b16 %h1, 0xfc00; cvt.f32.f16 %f1, %h1; mov.b32 %out, %f1;", 0xff800000u},
      {"cvt.rn.bf16.f32 %h1, 0f3F808000; cvt.u32.u16 %out, %h1;", 0x3f80},
      {"cvt.rn.bf16.f32 %h1, 0f3F818000; cvt.u32.u16 %out, %h1;", 0x3f82},
      {"cvt.rn.f16x2.f32 %out, 0f40000000, 0f3F800000;", 0x40003c00u},
      {"cvt.rn.bf16x2.f32 %out, 0f40000000, 0f3F800000;", 0x40003f80u},
      {"cvt.rn.relu.bf16x2.f32 %out, 0fC0000000, 0f3F800000;", 0x3f80u},
      {"cvt.rna.tf32.f32 %out, 0f3F801000;", 0x3f802000u},
      {"cvt.rn.f16.s32 %h1, 3; cvt.u32.u16 %out, %h1;", 0x4200},
      {"mov.b16 %h1, 0x4248; cvt.rzi.s32.f16 %out, %h1;", 3},
  };
  check(kCases);
}

TEST_CASE("comparisons", "[instructions]") {
  // Constant data: built when the program is compiled.
  static constexpr Case kCases[] = {
      {"setp.lt.s32 %p1, -1, 1; selp.b32 %out, 1, 0, %p1;", 1},
      {"setp.lo.u32 %p1, -1, 1; selp.b32 %out, 1, 0, %p1;", 0},
      {"setp.hs.u32 %p1, -1, 1; selp.b32 %out, 1, 0, %p1;", 1},
      {"setp.ne.b64 %p1|%p2, 4, 4; selp.b32 %out, 1, 2, %p2;", 1},
      {"setp.lt.f32 %p1, 0f7FC00000, 0f3F800000; selp.b32 %out, 1, 0, %p1;", 0},
      {"setp.ltu.f32 %p1, 0f7FC00000, 0f3F800000; selp.b32 %out, 1, 0, %p1;", 1},
      {"setp.ne.f32 %p1, 0f7FC00000, 0f3F800000; selp.b32 %out, 1, 0, %p1;", 0},
      {"setp.neu.f64 %p1, 0d7FF8000000000000, 0d3FF0000000000000; selp.b32 %out, 1, 0, %p1;", 1},
      {"setp.nan.f32 %p1, 0f7FC00000, 0f3F800000; selp.b32 %out, 1, 0, %p1;", 1},
      {"setp.num.f32 %p1, 0f40000000, 0f3F800000; selp.b32 %out, 1, 0, %p1;", 1},
      {"setp.eq.ftz.f32 %p1, 0f00000001, 0f00000000; selp.b32 %out, 1, 0, %p1;", 1},
      {"setp.eq.s32 %p1, 1, 1; setp.eq.and.s32 %p2, 1, 2, %p1; selp.b32 %out, 1, 0, %p2;", 0},
      {"setp.eq.s32 %p1, 1, 1; setp.eq.or.s32 %p2, 1, 2, %p1; selp.b32 %out, 1, 0, %p2;", 1},
      {"setp.eq.s32 %p1, 1, 1; setp.eq.and.s32 %p2, 1, 1, !%p1; selp.b32 %out, 1, 0, %p2;", 0},
      {"setp.eq.s32 %p1, 1, 1; setp.eq.xor.s32 %p2|%p3, 1, 2, %p1; selp.b32 %out, 1, 0, %p2;", 1},
      {"set.lt.u32.s32 %out, -1, 1;", 0xffffffffu},
      {"set.lt.f32.s32 %f1, -1, 1; mov.b32 %out, %f1;", 0x3f800000u},
      {"slct.u32.s32 %out, 1, 2, -1;", 2},
      {"slct.u64.f32 %outd, 1, 2, 0f3F800000;", 1},
      {"mov.b16 %h1, 0x3c00; mov.b16 %h2, 0x4000; setp.lt.f16 %p1, %h1, %h2; selp.b32 %out, 1, 0, %p1;", 1},
      {"setp.lt.f16x2 %p1|%p2, 0x40003c00, 0x3c004000; selp.b32 %out, 1, 0, %p1;", 1},
      {"set.lt.f16x2.f16x2 %out, 0x40003c00, 0x3c004000;", 0x3c00},
      {"setp.eq.s32 %p1, 1, 2; not.pred %p2, %p1; and.pred %p3, %p2, %p2; xor.pred %p3, %p3, %p1; selp.b32 %out, 1, 0, "
       "%p3;",
       1},
      {"setp.eq.s32 %p1, 1, 2; mov.pred %p2, %p1; @!%p2 mov.u32 %out, 5;", 5},
  };
  check(kCases);
}

}  // namespace vgpu::softgpu::ptx::test
