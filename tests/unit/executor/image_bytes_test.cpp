// What images say of the device memory that they take.
#include "executor/image_bytes.hpp"

#include <elf.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string_view>
#include <vector>

using namespace vgpu::protocol;
using vgpu::executor::image_device_bytes;

namespace {

u64 of_text(std::string_view text) { return image_device_bytes(std::as_bytes(std::span(text)), true); }

std::vector<std::byte> cubin(u64 code, u64 data, u64 unloaded) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_shoff = sizeof header;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 3;
  Elf64_Shdr sections[3]{};
  sections[0].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
  sections[0].sh_size = code;
  sections[1].sh_flags = SHF_ALLOC | SHF_WRITE;
  sections[1].sh_type = SHT_NOBITS;
  sections[1].sh_size = data;
  sections[2].sh_size = unloaded;
  std::vector<std::byte> bytes(sizeof header + sizeof sections);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, sections, sizeof sections);
  return bytes;
}

std::vector<std::byte> fat(const std::vector<std::byte>& payload) {
  std::vector<std::byte> bytes(16 + 64);
  const auto put = [&](std::size_t at, auto value) { std::memcpy(bytes.data() + at, &value, sizeof value); };
  put(0, u32{0xba55ed50});
  put(4, u16{1});
  put(6, u16{16});
  put(8, u64{64 + payload.size()});
  put(16, u16{2});
  put(20, u32{64});
  put(24, u64{payload.size()});
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

}  // namespace

TEST_CASE("image bytes: variables that PTX declares") {
  CHECK(of_text(".visible .global .align 4 .b8 big[1048576];\n") == 1048576);
  CHECK(of_text(".global .v4 .f32 table[10][20];\n .const .u16 one = 5;\n") == 16 * 200 + 2);
  CHECK(of_text(".visible .entry f() { ld.global.u32 %r1, [%rd1]; st.global.v4.f32 [%rd1], {}; }") == 0);
  CHECK(of_text(".global .b64 x[0xffffffffffffffff];") != 1);
  CHECK(of_text(".global .b64 x[18446744073709551615][3];") == ~u64{0});
  CHECK(of_text("") == 0);
}

TEST_CASE("image bytes: sections of a cubin, within a fat binary too") {
  CHECK(image_device_bytes(cubin(1000, 20, 7), true) == 1020);
  CHECK(image_device_bytes(cubin(1000, 20, 7), false) == 20);
  CHECK(image_device_bytes(fat(cubin(1000, 20, 7)), true) == 1020);
}

TEST_CASE("image bytes: no image makes it read outside of it") {
  const auto whole = fat(cubin(1000, 20, 7));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::vector<std::byte> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK(image_device_bytes(part, true) <= 1020);
  }
}
