#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "kernels_fixture.hpp"

/// How a kernel ends that does what it must not.
namespace vgpu::softgpu::ptx::test {
namespace {

Loaded kernel(std::string_view body) {
  Loaded loaded(
      ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p)\n{\n"
      ".reg .pred %p<4>;\n.reg .b32 %r<10>;\n.reg .b64 %rd<10>;\n.shared .align 8 .b8 s[64];\n"
      ".local .align 8 .b8 l[64];\nld.param.u64 %rd0, [p];\n" +
      std::string(body) + "\nret;\n}\n");
  INFO(loaded.diagnostic().message << loaded.diagnostic().line);
  REQUIRE(loaded.good());
  REQUIRE(loaded.module().broken(0) == nullptr);
  return loaded;
}

Outcome run_with(std::string_view body, std::uint64_t parameter) {
  const Loaded loaded = kernel(body);
  return run(loaded, "k", {1, 1, 1}, {32, 1, 1}, Arguments().add(parameter));
}

}  // namespace

TEST_CASE("a stray global access is an illegal address", "[faults]") {
  const Memory memory(512);
  for (const char* body :
       {"st.global.u32 [%rd0+512], %r0;", "ld.global.u64 %rd1, [%rd0+512];", "ld.u32 %r1, [%rd0+-4];",
        "atom.global.add.u32 %r1, [%rd0+512], 1;", "st.global.u32 [16], %r0;",
        "ld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%rd0+512];", "red.add.f32 [%rd0+1024], 0f00000000;"}) {
    const Outcome outcome = run_with(body, memory.address());
    INFO(body);
    REQUIRE(outcome.fault == Fault::illegal_address);
    REQUIRE(outcome.kernel == "k");
    REQUIRE(outcome.line == 12);
    REQUIRE(outcome.detail.find("thread (0,0,0)") != std::string::npos);
    REQUIRE(outcome.detail.find(std::string(body).substr(0, 8)) != std::string::npos);
  }
  const Outcome outcome = run_with("st.global.u32 [%rd0+512], %r0;", memory.address());
  REQUIRE(outcome.address == memory.address() + 512);
}

TEST_CASE("one lane that strays is named", "[faults]") {
  const Memory memory(512);
  const Outcome outcome =
      run_with("mov.u32 %r1, %tid.x; mul.wide.u32 %rd1, %r1, 32; add.u64 %rd2, %rd0, %rd1; st.global.u32 [%rd2], %r1;",
               memory.address());
  REQUIRE(outcome.fault == Fault::illegal_address);
  REQUIRE(outcome.detail.find("thread (16,0,0)") != std::string::npos);
}

TEST_CASE("misaligned accesses", "[faults]") {
  const Memory memory(512);
  REQUIRE(run_with("ld.global.u32 %r1, [%rd0+2];", memory.address()).fault == Fault::misaligned_address);
  REQUIRE(run_with("ld.global.v2.u32 {%r1,%r2}, [%rd0+4];", memory.address()).fault == Fault::misaligned_address);
  REQUIRE(run_with("st.shared.u64 [s+4], %rd0;", memory.address()).fault == Fault::misaligned_address);
}

TEST_CASE("bounds of shared and local memory and of parameters", "[faults]") {
  REQUIRE(run_with("st.shared.u32 [s+60], %r0; ld.shared.u32 %r1, [s];", 0).fault == Fault::none);
  REQUIRE(run_with("st.shared.u32 [s+64], %r0;", 0).fault == Fault::illegal_address);
  REQUIRE(run_with("mov.u64 %rd1, s; ld.shared.u32 %r1, [%rd1+-4];", 0).fault == Fault::illegal_address);
  REQUIRE(run_with("mov.u64 %rd1, s; cvta.shared.u64 %rd1, %rd1; st.u32 [%rd1+4096], %r1;", 0).fault ==
          Fault::illegal_address);
  REQUIRE(run_with("mov.u64 %rd1, l; st.local.u32 [%rd1+524288], %r1;", 0).fault == Fault::illegal_address);
  REQUIRE(run_with("mov.u64 %rd1, p; cvta.param.u64 %rd1, %rd1; ld.u32 %r1, [%rd1+8];", 0).fault ==
          Fault::illegal_address);
  REQUIRE(run_with("mov.u64 %rd1, p; cvta.param.u64 %rd1, %rd1; st.u32 [%rd1], %r1;", 0).fault ==
          Fault::illegal_address);
  REQUIRE(run_with("mov.u64 %rd1, -8; ld.u64 %rd2, [%rd1];", 0).fault == Fault::illegal_address);
}

TEST_CASE("trap, and what has no meaning", "[faults]") {
  REQUIRE(run_with("trap;", 0).fault == Fault::trap);
  REQUIRE(run_with("mov.u32 %r1, 99; barrier.sync %r1;", 0).fault == Fault::illegal_instruction);
  REQUIRE(run_with("mov.u64 %rd1, 12345; q: .callprototype _ (); call %rd1, q;", 0).fault == Fault::invalid_pc);
}

TEST_CASE("threads that wait for ever are told so", "[faults]") {
  const Outcome outcome = run_with("mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 4; @%p1 bar.sync 1; bar.sync 0;", 0);
  REQUIRE(outcome.fault == Fault::trap);
  REQUIRE(outcome.detail.find("waits") != std::string::npos);
}

TEST_CASE("endless recursion overflows the stack", "[faults]") {
  const Loaded loaded(R"(.version 8.0
.target sm_80
.address_size 64
.func f(.param .b32 a)
{
  .reg .b32 %r<3>;
  ld.param.u32 %r1, [a];
  { .param .b32 q; st.param.b32 [q], %r1; call f, (q); }
  ret;
}
.visible .entry k(.param .u64 p)
{
  .param .b32 q;
  st.param.b32 [q], 1;
  call f, (q);
  ret;
}
)");
  REQUIRE(loaded.good());
  const Outcome outcome = run(loaded, "k", {1, 1, 1}, {32, 1, 1}, Arguments().add(std::uint64_t{0}));
  REQUIRE(outcome.fault == Fault::illegal_address);
  REQUIRE(outcome.detail.find("stack") != std::string::npos);
}

TEST_CASE("an endless kernel can be cancelled, and others run beside it", "[faults]") {
  const char* body = GENERATE("L: bra L;", "mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 0; L: @%p1 bra L; bar.sync 0;",
                              "L: nanosleep.u32 100; bar.sync 0; bra L;");
  const Loaded loaded = kernel(body);
  const Loaded other = load("basic", "O3");
  std::atomic<bool> cancel{false};
  const std::uint64_t zero = 0;
  const Arguments arguments = Arguments().add(zero);
  Launch launch;
  launch.module = &loaded.module();
  launch.grid = {8, 1, 1};
  launch.block = {64, 1, 1};
  launch.parameters = arguments.span();
  launch.memory = &map();
  launch.cancel = &cancel;
  Outcome outcome;
  std::thread thread([&] { outcome = pool().run(launch); });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const Memory out(64 * 4);
  require_good(run(other, "recursion", {1, 1, 1}, {64, 1, 1}, Arguments().add(out.address())));
  const auto start = std::chrono::steady_clock::now();
  cancel = true;
  thread.join();
  const auto took = std::chrono::steady_clock::now() - start;
  REQUIRE(outcome.fault == Fault::cancelled);
  REQUIRE(took < std::chrono::seconds(2));
}

TEST_CASE("a failed assertion is told apart", "[faults]") {
  const Loaded loaded(R"(.version 8.0
.target sm_80
.address_size 64
.extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e) .noreturn;
.global .align 1 .b8 text[5] = {120, 32, 62, 32, 121};
.visible .entry k(.param .u64 p)
{
  .reg .b64 %rd<3>;
  mov.u64 %rd1, text;
  { .param .b64 a; st.param.b64 [a], %rd1; .param .b64 b; st.param.b64 [b], %rd1; .param .b32 c; st.param.b32 [c], 12;
    .param .b64 d; st.param.b64 [d], %rd1; .param .b64 e; st.param.b64 [e], 1; call.uni __assertfail, (a, b, c, d, e); }
  ret;
}
)");
  INFO(loaded.diagnostic().message);
  REQUIRE(loaded.good());
  const Outcome outcome = run(loaded, "k", {1, 1, 1}, {1, 1, 1}, Arguments().add(std::uint64_t{0}));
  INFO(outcome.detail);
  REQUIRE(outcome.fault == Fault::assertion);
}

TEST_CASE("an instruction that is not carried breaks its own kernel only", "[faults]") {
  const Loaded loaded(R"(.version 8.0
.target sm_80
.address_size 64
.func helper() {
  .reg .b32 %r<9>;
  frobnicate.u32 %r1, %r2;
  ret;
}
.visible .entry good() { ret; }
.visible .entry bad() {
  .reg .b32 %r<9>;
  add.sparkling.u32 %r1, %r2, %r3;
  ret;
}
.visible .entry calls_bad() { call helper; ret; }
)");
  REQUIRE(loaded.good());
  REQUIRE(loaded.module().broken(loaded.kernel("good")) == nullptr);
  const std::uint32_t bad = loaded.module().kernels()[1].name == "bad" ? 1 : 0;
  const Diagnostic* diagnostic = loaded.module().broken(bad);
  REQUIRE(diagnostic != nullptr);
  REQUIRE(diagnostic->function == "bad");
  REQUIRE(diagnostic->line == 12);
  REQUIRE(diagnostic->column == 3);
  REQUIRE(diagnostic->instruction == "add.sparkling.u32 %r1, %r2, %r3");
  REQUIRE(diagnostic->message.find("sparkling") != std::string::npos);
  const Diagnostic* called = loaded.module().broken(loaded.kernel("calls_bad"));
  REQUIRE(called != nullptr);
  REQUIRE(called->function == "helper");
  REQUIRE(run(loaded, "calls_bad", {1, 1, 1}, {1, 1, 1}, Arguments()).fault == Fault::illegal_instruction);
  REQUIRE(run(loaded, "good", {1, 1, 1}, {1, 1, 1}, Arguments()).fault == Fault::none);
}

TEST_CASE("a function that only a pointer could reach breaks nothing until it is called", "[faults]") {
  const Loaded loaded(R"(.version 8.0
.target sm_80
.address_size 64
.func fine() { ret; }
.func odd() {
  .reg .b32 %r<9>;
  frobnicate.u32 %r1, %r2;
  ret;
}
.global .align 8 .u64 pointers[2] = {fine, odd};
.func through(.param .b64 which) {
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [which];
  proto: .callprototype _ ();
  call %rd1, proto;
  ret;
}
.visible .entry k(.param .u64 offset) {
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [offset];
  mov.u64 %rd2, pointers;
  add.u64 %rd2, %rd2, %rd1;
  ld.global.u64 %rd3, [%rd2];
  { .param .b64 which; st.param.b64 [which], %rd3; call through, (which); }
  ret;
}
)");
  INFO(loaded.diagnostic().message);
  REQUIRE(loaded.good());
  REQUIRE(loaded.module().broken(0) == nullptr);
  REQUIRE(run(loaded, "k", {1, 1, 1}, {32, 1, 1}, Arguments().add(std::uint64_t{0})).fault == Fault::none);
  REQUIRE(run(loaded, "k", {1, 1, 1}, {32, 1, 1}, Arguments().add(std::uint64_t{8})).fault ==
          Fault::illegal_instruction);
}

}  // namespace vgpu::softgpu::ptx::test
