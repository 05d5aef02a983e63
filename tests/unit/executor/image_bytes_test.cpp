// What images say of the device memory that they take.
#include "executor/image_bytes.hpp"

#include <elf.h>
#include <lz4.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string_view>
#include <vector>

#include "common/fatbin.hpp"

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

std::vector<std::byte> fat(const std::vector<std::byte>& payload, u32 unpacked = 0) {
  vgpu::fatbin::Header header{vgpu::fatbin::kMagic, 1, sizeof(vgpu::fatbin::Header), 0};
  vgpu::fatbin::Entry entry{};
  header.bytes = sizeof entry + payload.size();
  entry.kind = vgpu::fatbin::kKindElf;
  entry.header_bytes = sizeof entry;
  entry.stored_bytes = payload.size();
  if (unpacked != 0) {
    entry.flags = vgpu::fatbin::kFlagLz4;
    entry.compressed_bytes = static_cast<u32>(payload.size());
    entry.uncompressed_bytes = unpacked;
  }
  std::vector<std::byte> bytes(sizeof header + sizeof entry + payload.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &entry, sizeof entry);
  std::memcpy(bytes.data() + sizeof header + sizeof entry, payload.data(), payload.size());
  return bytes;
}

std::vector<std::byte> packed(const std::vector<std::byte>& plain) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(plain.size()))));
  const int length =
      LZ4_compress_default(reinterpret_cast<const char*>(plain.data()), reinterpret_cast<char*>(bytes.data()),
                           static_cast<int>(plain.size()), static_cast<int>(bytes.size()));
  REQUIRE(length > 0);
  bytes.resize(static_cast<std::size_t>(length));
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
  const auto plain = cubin(1000, 20, 7);
  const auto size = static_cast<u32>(plain.size());
  CHECK(image_device_bytes(fat(packed(plain), size), true) == 1020);
  CHECK(image_device_bytes(fat(packed(plain), size), false) == 0);
  // One that is not what it says it is counts nothing; no driver loads it.
  CHECK(image_device_bytes(fat(packed(plain), size - 1), true) == 0);
  CHECK(image_device_bytes(fat(packed(plain), ~u32{0}), true) == 0);
}

TEST_CASE("image bytes: no image makes it read outside of it") {
  const auto whole = fat(cubin(1000, 20, 7));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::vector<std::byte> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK(image_device_bytes(part, true) <= 1020);
  }
}
