#include "machine_fixture.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace vgpu::softgpu::ptx::test {

AddressMap& map() {
  static AddressMap one;
  return one;
}

Pool& pool() {
  static const std::unique_ptr<Pool> one = make_pool(2);
  return *one;
}

Memory::Memory(std::size_t bytes) : bytes_((bytes + 511) / 512 * 512) {
  data_ = static_cast<std::byte*>(std::aligned_alloc(512, bytes_));
  std::memset(data_, 0, bytes_);
  REQUIRE(map().add_host(address(), bytes_));
}

Memory::~Memory() {
  map().remove_host(address());
  std::free(data_);
}

Loaded::Loaded(std::string_view text) {
  auto result = compile(text);
  if (auto* diagnostic = std::get_if<Diagnostic>(&result)) {
    diagnostic_ = *diagnostic;
    return;
  }
  module_ = std::move(std::get<std::unique_ptr<Module>>(result));
  std::vector<std::uint64_t> addresses;
  for (const Variable& variable : module_->variables()) {
    variables_.push_back(std::make_unique<Memory>(variable.bytes));
    addresses.push_back(variables_.back()->address());
  }
  module_->link(addresses);
}

std::uint32_t Loaded::kernel(std::string_view word) const {
  const auto kernels = module_->kernels();
  for (std::uint32_t i = 0; i < kernels.size(); ++i) {
    if (kernels[i].name.find(word) != std::string::npos) return i;
  }
  FAIL("no kernel " << word);
  return 0;
}

std::uint64_t Loaded::variable(std::string_view word) const {
  const auto variables = module_->variables();
  for (std::size_t i = 0; i < variables.size(); ++i) {
    if (variables[i].name.find(word) != std::string::npos) return variables_[i]->address();
  }
  FAIL("no variable " << word);
  return 0;
}

Outcome run(const Loaded& loaded, std::string_view kernel, Dim3 grid, Dim3 block, const Arguments& arguments,
            std::uint32_t dynamic_shared, bool cooperative) {
  Launch launch;
  launch.module = &loaded.module();
  launch.kernel = loaded.kernel(kernel);
  launch.grid = grid;
  launch.block = block;
  launch.dynamic_shared_bytes = dynamic_shared;
  launch.cooperative = cooperative;
  launch.parameters = arguments.span();
  launch.memory = &map();
  return pool().run(launch);
}

std::vector<std::uint64_t> lanes(std::string_view instructions) {
  std::string text = R"(.version 8.4
.target sm_90
.address_size 64
.visible .entry wrapped(.param .u64 result, .param .u64 buffer)
{
  .reg .pred %p<10>;
  .reg .b16 %h<20>;
  .reg .b32 %r<30>;
  .reg .b64 %rd<30>;
  .reg .f32 %f<20>;
  .reg .f64 %fd<20>;
  .reg .b32 %out;
  .reg .b64 %outd, %at;
  .shared .align 16 .b8 scratch[1024];
  mov.u32 %r0, %tid.x;
  ld.param.u64 %rd0, [buffer];
  mov.b32 %out, 0;
  mov.b64 %outd, 0;
)";
  text += instructions;
  text += R"(
  cvt.u64.u32 %at, %out;
  or.b64 %outd, %outd, %at;
  ld.param.u64 %at, [result];
  mad.wide.u32 %at, %r0, 8, %at;
  st.global.u64 [%at], %outd;
  ret;
}
)";
  const Loaded loaded(text);
  INFO(instructions);
  INFO(loaded.diagnostic().message << " line " << loaded.diagnostic().line);
  REQUIRE(loaded.good());
  if (const Diagnostic* broken = loaded.module().broken(0)) {
    FAIL(broken->message << ": " << broken->instruction);
  }
  const Memory result(32 * 8);
  const Memory buffer(8192);
  for (std::size_t i = 0; i < 8192; ++i) buffer.as<unsigned char>()[i] = static_cast<unsigned char>(i);
  const Outcome outcome =
      run(loaded, "wrapped", {1, 1, 1}, {32, 1, 1}, Arguments().add(result.address()).add(buffer.address()));
  INFO(outcome.detail);
  REQUIRE(outcome.fault == Fault::none);
  return {result.as<std::uint64_t>(), result.as<std::uint64_t>() + 32};
}

std::uint64_t value(std::string_view instructions) { return lanes(instructions)[0]; }

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  INFO(path);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace vgpu::softgpu::ptx::test
