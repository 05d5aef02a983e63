#include "executor/image_bytes.hpp"

#include <elf.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>

#include "common/fatbin.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

using Bytes = std::span<const std::byte>;

/// What is unpacked of one image to be looked at.
constexpr u64 kMostUnpacked = fatbin::kMaxUnpackedBytes;

template <typename T>
bool read_at(Bytes bytes, u64 offset, T& value) noexcept {
  if (offset > bytes.size() || bytes.size() - offset < sizeof value) return false;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return true;
}

u64 added(u64 a, u64 b) noexcept { return a + b < a ? ~u64{0} : a + b; }

u64 elf_bytes(Bytes elf, bool code) noexcept {
  Elf64_Ehdr header;
  if (!read_at(elf, 0, header) || header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_shentsize < sizeof(Elf64_Shdr))
    return 0;
  u64 sum = 0;
  for (u32 i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    if (header.e_shoff > elf.size() || !read_at(elf, header.e_shoff + u64{i} * header.e_shentsize, section)) break;
    if ((section.sh_flags & SHF_ALLOC) == 0 || (!code && (section.sh_flags & SHF_EXECINSTR) != 0)) continue;
    sum = added(sum, section.sh_size);
  }
  return sum;
}

/// The bytes of a PTX type, such as ".b8" or ".v4.f32" before it.
u64 type_bytes(std::string_view type) noexcept {
  if (type == ".v2") return 2;
  if (type == ".v4") return 4;
  if (type.size() < 3 || std::string_view("busf").find(type[1]) == std::string_view::npos) return 0;
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(type.data() + 2, type.data() + type.size(), bits);
  return error == std::errc() && end == type.data() + type.size() ? bits / 8 : 0;
}

/// One declaration after ".global" or ".const", up to its ";" or "=": types and vectors multiply, so do dimensions.
u64 declared_bytes(std::string_view text) noexcept {
  u64 bytes = 1;
  bool typed = false;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    if (text[i] == '.') {
      while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) != 0)) ++end;
      if (const u64 unit = type_bytes(text.substr(i, end - i)); unit != 0) {
        bytes *= unit;
        typed = true;
      }
    } else if (text[i] == '[') {
      u64 count = 0;
      const auto [stop, error] = std::from_chars(text.data() + i + 1, text.data() + text.size(), count);
      if (error == std::errc() && __builtin_mul_overflow(bytes, count, &bytes)) return ~u64{0};
      end = static_cast<std::size_t>(stop - text.data());
    }
    i = std::max(end, i + 1);
  }
  return typed ? bytes : 0;
}

/// Within a function ".global" is part of an instruction's name, never a word of its own.
u64 ptx_bytes(std::string_view text) noexcept {
  u64 sum = 0;
  for (const std::string_view space : {std::string_view(".global"), std::string_view(".const")}) {
    for (std::size_t at = text.find(space); at != std::string_view::npos; at = text.find(space, at + space.size())) {
      const std::size_t after = at + space.size();
      const bool word = (at == 0 || std::isspace(static_cast<unsigned char>(text[at - 1])) != 0) &&
                        after < text.size() && std::isspace(static_cast<unsigned char>(text[after])) != 0;
      if (!word) continue;
      const std::size_t end = text.find_first_of(";={", after);
      if (end != std::string_view::npos) sum = added(sum, declared_bytes(text.substr(after, end - after)));
    }
  }
  return sum;
}

u64 plain_bytes(Bytes image, bool code) noexcept {
  if (image.size() > SELFMAG && std::memcmp(image.data(), ELFMAG, SELFMAG) == 0) return elf_bytes(image, code);
  return ptx_bytes({reinterpret_cast<const char*>(image.data()), image.size()});
}

/// The largest of the parts: one of them is loaded.
u64 fat_bytes(Bytes image, bool whole) {
  fatbin::Header header;
  if (!read_at(image, 0, header)) return 0;
  u64 most = 0;
  u64 unpacked = 0;
  fatbin::Entry entry;
  for (u64 at = header.header_bytes; read_at(image, at, entry);) {
    if (entry.header_bytes < sizeof entry || entry.header_bytes > image.size() - at) break;
    const u64 payload = at + entry.header_bytes;
    if (entry.stored_bytes > image.size() - payload) break;
    const Bytes stored = image.subspan(payload, entry.stored_bytes);
    at = payload + entry.stored_bytes;
    if (entry.compressed_bytes == 0) {
      most = std::max(most, plain_bytes(stored, whole));
      continue;
    }
    if (!whole || (unpacked = added(unpacked, entry.uncompressed_bytes)) > kMostUnpacked) continue;
    std::string text;
    std::string error;
    if (fatbin::unpack(entry, stored, text, error))
      most = std::max(most, plain_bytes(std::as_bytes(std::span(text)), true));
  }
  return most;
}

}  // namespace

u64 image_device_bytes(Bytes image, bool whole) {
  u32 magic = 0;
  return read_at(image, 0, magic) && magic == fatbin::kMagic ? fat_bytes(image, whole) : plain_bytes(image, whole);
}

}  // namespace vgpu::executor
