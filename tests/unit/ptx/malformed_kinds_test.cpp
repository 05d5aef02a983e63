#include <catch2/catch.hpp>
#include <cctype>
#include <string>
#include <variant>
#include <vector>

#include "kernels_fixture.hpp"

/// Each kind of mistake that a text may hold is told with its place. What spoils the text as a whole refuses it; what
/// spoils one function is told when a kernel that needs it is asked for, since the others are good.
namespace vgpu::softgpu::ptx::test {
namespace {

const std::string kHead = ".version 8.0\n.target sm_80\n.address_size 64\n";  // lines 1 to 3

/// The diagnostic of the text or of its first kernel; an empty message if there is none.
Diagnostic told(const std::string& text) {
  // A copy without anything behind it, so that a sanitizer sees a read past the end.
  const std::vector<char> copy(text.begin(), text.end());
  const auto result = compile({copy.data(), copy.size()});
  if (const auto* diagnostic = std::get_if<Diagnostic>(&result)) return *diagnostic;
  const auto& module = std::get<std::unique_ptr<Module>>(result);
  if (!module->kernels().empty() && module->broken(0) != nullptr) return *module->broken(0);
  return {};
}

/// Of an instruction on line 9, column 3, in a kernel with registers of each type.
Diagnostic told_of(const std::string& instruction) {
  return told(kHead +
              ".visible .entry k(.param .u64 p)\n{\n  .reg .pred %p<4>;\n  .reg .b32 %r<4>; .reg .b16 %h<4>;\n"
              "  .reg .b64 %rd<4>; .reg .f32 %f<4>; .reg .f64 %fd<4>;\n  " +
              instruction + "\n  ret;\n}\n");
}

}  // namespace

TEST_CASE("what is wrong with an instruction is told with line and column", "[malformed]") {
  struct Case {
    const char* instruction;
    const char* says;
  };
  const Case cases[] = {
      {"frobnicate.b32 %r1, %r2;", "frobnicate"},           // no such instruction
      {"add.u32 %r1, %r2, %q7;", "%q7"},                    // no such register
      {"add.u32 %r1, %r2, %r9;", "%r9"},                    // beyond %r<4>
      {"add.u32 %r1, %rd2, %r3;", "%rd2"},                  // too wide for the type
      {"add.f32 %f1, %r2;", ""},                            // an operand is missing
      {"add.u32 %r1, %r2, %r3, %r1;", ""},                  // one too many
      {"add.u32.bogus %r1, %r2, %r3;", "bogus"},            // no such modifier
      {"add.q32 %r1, %r2, %r3;", ""},                       // no such type
      {"add %r1, %r2, %r3;", ""},                           // no type at all
      {"mov.u32 %r1, nowhere;", "nowhere"},                 // no such symbol
      {"bra $nowhere;", "$nowhere"},                        // no such label
      {"@%p9 mov.u32 %r1, 1;", "%p9"},                      // no such guard
      {"@%r1 mov.u32 %r1, 1;", "%r1"},                      // a guard that is no predicate
      {"setp.lt.u32 %r1, %r2, %r3;", "%r1"},                // a result that is no predicate
      {"ld.global.u32 %r1, [nowhere];", "nowhere"},         //
      {"ld.param.u32 %r1, [q];", "q"},                      //
      {"ld.nowhere.u32 %r1, [%rd1];", "nowhere"},           // no such space
      {"ld.global.v3.u32 {%r1, %r2, %r3}, [%rd1];", "v3"},  //
      {"ld.global.v2.u32 {%r1}, [%rd1];", ""},              // a vector with too few registers
      {"st.global.u32 [%rd1];", ""},                        //
      {"mov.u32 5, %r1;", ""},                              // a result that is no register
      {"call nowhere, (%r1);", "nowhere"},                  //
      {"shfl.sync.bogus.b32 %r1, %r2, 1, 31, -1;", ""},     //
      {"bar.sync 16;", ""},                                 // there are 16 barriers
      {"brx.idx %r1, nowhere;", "nowhere"},                 //
  };
  for (const Case& one : cases) {
    const Diagnostic diagnostic = told_of(one.instruction);
    INFO(one.instruction << " -> " << diagnostic.message << " " << diagnostic.line << ":" << diagnostic.column);
    CHECK_FALSE(diagnostic.message.empty());
    CHECK(diagnostic.line == 9);
    CHECK(diagnostic.column >= 3);
    CHECK(diagnostic.function == "k");
    const std::string all = diagnostic.message + " " + diagnostic.instruction;
    CHECK(all.find(one.says) != std::string::npos);
  }
  CHECK(told_of("add.u32 %r1, %r2, %r3;").message.empty());
}

TEST_CASE("what is wrong with a declaration is told with line and column", "[malformed]") {
  struct Case {
    const char* text;
    unsigned line;
  };
  const Case cases[] = {
      {".globl .u32 x;", 4},
      {"\n.global .u99 x;", 5},
      {".global .u32 x[0x7fffffffffffffff];", 4},
      {".global .u32 x[4] = {1, 2, 3, 4, 5};", 4},
      {".global .align 7 .u32 x;", 4},
      {".global .u32 x\n.global .u32 y;", 5},
      {".visible .entry k(.param .u64 p", 4},
      {".visible .entry k(.param .u64)\n{ ret; }", 4},
      {".visible .entry k()\n{\n  ret;\n", 7},
      {".visible .entry k()\n{\n  .reg .b32 %r<99999999999>;\n  ret; }", 6},
      {".visible .entry k()\n{\n  .reg .b32 %r<2>;\n  mov.u32 %r1, \"text\";\n  ret; }", 7},
      {".visible .entry k()\n.maxntid\n{ ret; }", 6},
      {"}", 4},
      {".func f(.param .b32 a) { ret; } }", 4},
  };
  for (const Case& one : cases) {
    const Diagnostic diagnostic = told(kHead + one.text);
    INFO(one.text << " -> " << diagnostic.message << " " << diagnostic.line << ":" << diagnostic.column);
    CHECK_FALSE(diagnostic.message.empty());
    CHECK(diagnostic.line == one.line);
    CHECK(diagnostic.column >= 1);
  }
}

TEST_CASE("a text that ends in the middle is told at each token", "[malformed]") {
  const std::string text = kHead +
                           ".global .align 4 .u32 x[2] = {1, 2};\n"
                           ".visible .entry k(.param .u64 p, .param .align 8 .b8 q[16])\n.maxntid 128, 1, 1\n{\n"
                           "  .reg .pred %p<3>;\n  .reg .b32 %r<5>;\n  .reg .b64 %rd<3>;\n"
                           "  ld.param.v2.u32 {%r1, %r2}, [q+8];\n  setp.ne.s32 %p1|%p2, %r1, %r2;\n"
                           "  @!%p1 bra $out;\n  ld.param.u64 %rd1, [p];\n  st.global.u32 [%rd1+4], %r2;\n$out:\n"
                           "  ret;\n}\n";
  REQUIRE(told(text).message.empty());
  std::size_t cuts = 0;
  // Within the kernel nothing may be missing; before it a whole declaration may end the text.
  const std::size_t kernel = text.find(".visible");
  const std::size_t end = text.rfind('}');
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '%'; };
  for (std::size_t at = kernel + 1; at <= end; ++at) {
    if (is_word(text[at - 1]) && is_word(text[at])) continue;
    const Diagnostic diagnostic = told(text.substr(0, at));
    INFO(text.substr(kernel, at - kernel) << "\n-> " << diagnostic.message);
    REQUIRE_FALSE(diagnostic.message.empty());
    REQUIRE(diagnostic.line >= 5);
    REQUIRE(diagnostic.column >= 1);
    ++cuts;
  }
  REQUIRE(cuts > 150);
}

}  // namespace vgpu::softgpu::ptx::test
