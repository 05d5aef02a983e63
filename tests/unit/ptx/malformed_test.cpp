#include <catch2/catch.hpp>
#include <random>

#include "kernels_fixture.hpp"

/// Texts that are no PTX: each gives a Diagnostic, or compiles after all; none ends the process.
namespace vgpu::softgpu::ptx::test {
namespace {

void compile_any(std::string_view text) {
  // A copy without anything behind it, so that a sanitizer sees a read past the end.
  const std::vector<char> copy(text.begin(), text.end());
  const auto result = compile({copy.data(), copy.size()});
  if (const auto* diagnostic = std::get_if<Diagnostic>(&result)) {
    REQUIRE_FALSE(diagnostic->message.empty());
    REQUIRE(diagnostic->line >= 1);
  }
}

}  // namespace

TEST_CASE("truncation at every byte", "[malformed]") {
  // The tail is where the variety is: whole texts would take minutes, so the long ones are cut at a stride.
  const std::string text = read_file(std::string(VGPU_PTX_DIR) + "/grid.O3.ptx");
  for (std::size_t length = 0; length < text.size(); ++length) compile_any(std::string_view(text).substr(0, length));
  for (const char* file : {"basic.O3", "half.O3", "basic.G"}) {
    const std::string other = read_file(std::string(VGPU_PTX_DIR) + "/" + file + ".ptx");
    const std::size_t stride = other.size() / 150 + 1;
    for (std::size_t length = 0; length < other.size(); length += stride) {
      compile_any(std::string_view(other).substr(0, length));
    }
  }
}

TEST_CASE("random damage", "[malformed]") {
  const std::string text = read_file(std::string(VGPU_PTX_DIR) + "/grid.O3.ptx");
  std::mt19937 random(12345);
  const auto below = [&](std::size_t n) { return random() % n; };
  for (int round = 0; round < 1500; ++round) {
    std::string damaged = text;
    for (std::size_t k = below(4) + 1; k > 0; --k) {
      const std::size_t at = below(damaged.size());
      switch (below(5)) {
        case 0: {
          // A token goes.
          std::size_t end = at;
          while (end < damaged.size() && damaged[end] != ' ' && damaged[end] != ',' && damaged[end] != '\n') ++end;
          damaged.erase(at, end - at + below(2));
          break;
        }
        case 1:
          damaged[at] = static_cast<char>(below(256));
          break;
        case 2:
          damaged.insert(at, damaged.substr(below(damaged.size()), below(60)));
          break;
        case 3:
          damaged.insert(at, 1, "{}()[];,.%<>@!-0123456789"[below(25)]);
          break;
        default:
          damaged.erase(at, below(40));
          break;
      }
    }
    compile_any(damaged);
  }
}

TEST_CASE("sizes out of all reason", "[malformed]") {
  const std::string head = ".version 8.0\n.target sm_80\n.address_size 64\n";
  const std::string entry = head + ".visible .entry k(.param .u64 p)\n{\n";
  for (const std::string& text :
       {head + ".global .b8 x[18446744073709551615];", head + ".global .b32 x[4294967296][4294967296][4294967296];",
        head + ".global .align 3 .b8 x;", head + ".global .b8 x[2] = {1,2,3};",
        head + ".entry k(.param .b8 p[999999999]) {ret;}", entry + ".local .b8 x[999999999]; ret; }",
        entry + ".shared .b8 x[999999999]; ret; }", entry + ".reg .b32 %r<4294967295>; ret; }",
        entry + std::string(5000, '{'), head + ".global .b32 x = " + std::string(100000, '(') + "1;",
        head + ".global .b32 x = " + std::string(100000, '-') + "1;",
        head + ".global .b32 x[2] = " + std::string(100000, '{') + "1;",
        entry + "mov.u32 " + std::string(100000, '{') + ";}", std::string("x"), std::string(), std::string("\0\0\0", 3),
        std::string(100000, '.')}) {
    const auto result = compile(text);
    INFO(text.substr(0, 200));
    REQUIRE(std::holds_alternative<Diagnostic>(result));
  }
}

TEST_CASE("a diagnostic says where", "[malformed]") {
  const auto result = compile(
      ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k()\n{\n  .reg .b32 %r<4>;\n  add.u32 %r1, "
      ";\n}\n");
  const auto* diagnostic = std::get_if<Diagnostic>(&result);
  REQUIRE(diagnostic != nullptr);
  REQUIRE(diagnostic->line == 7);
  REQUIRE(diagnostic->column == 16);
  REQUIRE(diagnostic->function == "k");
}

}  // namespace vgpu::softgpu::ptx::test
