#include "shim/image.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "shim/refuse_as.hpp"

namespace vgpu::shim {
namespace {

using protocol::u16;
using protocol::u32;
using protocol::u64;

constexpr u32 kWrapperMagic = 0x466243b1;
constexpr u32 kFatbinMagic = 0xba55ed50;

/// What __cudaRegisterFatBinary's argument points to (as nvcc's output has it).
struct FatbinWrapper {
  u32 magic;
  u32 version;
  const void* data;
  const void* const* prelinked;  ///< version 2: NULL-terminated list; version 1: a file's name, unused
};
static_assert(sizeof(FatbinWrapper) == 24);

struct FatbinHeader {
  u32 magic;
  u16 version;
  u16 header_bytes;
  u64 bytes;  ///< without the header
};
static_assert(sizeof(FatbinHeader) == 16);

CUresult measure_fatbin(const void* image, std::span<const std::byte>& bytes) {
  FatbinHeader header;
  std::memcpy(&header, image, sizeof header);
  if (header.magic != kFatbinMagic || header.header_bytes < sizeof header || header.bytes > protocol::kMaxImageBytes)
    return CUDA_ERROR_INVALID_IMAGE;
  bytes = {static_cast<const std::byte*>(image), header.header_bytes + header.bytes};
  return CUDA_SUCCESS;
}

CUresult measure_wrapper(const void* image, ImageParts& parts) {
  FatbinWrapper wrapper;
  std::memcpy(&wrapper, image, sizeof wrapper);
  if ((wrapper.version != 1 && wrapper.version != 2) || !wrapper.data) return CUDA_ERROR_INVALID_IMAGE;
  parts.resize(1);
  CUresult result = measure_fatbin(wrapper.data, parts[0]);
  if (wrapper.version != 2 || !wrapper.prelinked) return result;
  for (u64 i = 0; result == CUDA_SUCCESS && wrapper.prelinked[i]; ++i) {
    if (parts.size() == protocol::kMaxImageParts)
      return refuse_as("cuLibraryLoadData", "an image of so many linked parts");
    result = measure_fatbin(wrapper.prelinked[i], parts.emplace_back());
  }
  return result;
}

/// The end of what the ELF's tables, segments and sections occupy. Any of them may come last.
CUresult measure_elf(const void* image, std::span<const std::byte>& bytes) {
  const auto* base = static_cast<const std::byte*>(image);
  Elf64_Ehdr header;
  std::memcpy(&header, base, sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) return CUDA_ERROR_INVALID_IMAGE;
  u64 end = sizeof header;
  bool sane = true;
  const auto reach = [&](u64 offset, u64 length) {
    if (offset > protocol::kMaxImageBytes || length > protocol::kMaxImageBytes - offset)
      sane = false;
    else
      end = std::max(end, offset + length);
  };
  if (header.e_phnum != 0) {
    if (header.e_phentsize < sizeof(Elf64_Phdr)) return CUDA_ERROR_INVALID_IMAGE;
    reach(header.e_phoff, u64{header.e_phnum} * header.e_phentsize);
  }
  if (header.e_shnum != 0) {
    if (header.e_shentsize < sizeof(Elf64_Shdr)) return CUDA_ERROR_INVALID_IMAGE;
    reach(header.e_shoff, u64{header.e_shnum} * header.e_shentsize);
  }
  if (!sane) return CUDA_ERROR_INVALID_IMAGE;
  for (u64 i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, base + header.e_phoff + i * header.e_phentsize, sizeof segment);
    reach(segment.p_offset, segment.p_filesz);
  }
  for (u64 i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    std::memcpy(&section, base + header.e_shoff + i * header.e_shentsize, sizeof section);
    if (section.sh_type != SHT_NOBITS && section.sh_type != SHT_NULL) reach(section.sh_offset, section.sh_size);
  }
  if (!sane) return CUDA_ERROR_INVALID_IMAGE;
  bytes = {base, end};
  return CUDA_SUCCESS;
}

CUresult measure_text(const void* image, std::span<const std::byte>& bytes) {
  const auto* text = static_cast<const char*>(image);
  const std::size_t length = ::strnlen(text, protocol::kMaxImageBytes);
  // PTX begins with a directive or a comment, after white space.
  const std::size_t start = std::strspn(text, " \t\r\n");
  if (length == protocol::kMaxImageBytes || (text[start] != '.' && text[start] != '/')) return CUDA_ERROR_INVALID_IMAGE;
  bytes = {static_cast<const std::byte*>(image), length + 1};
  return CUDA_SUCCESS;
}

}  // namespace

CUresult measure_image(const void* image, ImageParts& parts) {
  if (!image) return CUDA_ERROR_INVALID_VALUE;
  const auto* start = static_cast<const char*>(image);
  // Byte by byte: a text may be shorter than a magic number.
  u32 magic = 0;
  for (u32 i = 0; i < 4; ++i) {
    magic |= u32{static_cast<unsigned char>(start[i])} << (8 * i);
    if (start[i] == 0) break;
  }
  if (magic == kWrapperMagic) return measure_wrapper(image, parts);
  parts.resize(1);
  if (magic == kFatbinMagic) return measure_fatbin(image, parts[0]);
  if (std::memcmp(&magic, ELFMAG, SELFMAG) == 0) return measure_elf(image, parts[0]);
  return measure_text(image, parts[0]);
}

CUresult read_file(const char* path, std::vector<std::byte>& memory) {
  if (!path) return CUDA_ERROR_INVALID_VALUE;
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return CUDA_ERROR_FILE_NOT_FOUND;
  struct stat file {};
  const bool usable = ::fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_size > 0 &&
                      static_cast<u64>(file.st_size) < protocol::kMaxImageBytes;
  std::size_t read = 0;
  if (usable) {
    memory.resize(static_cast<std::size_t>(file.st_size) + 1);
    while (read + 1 < memory.size()) {
      const ssize_t some = ::read(fd, memory.data() + read, memory.size() - 1 - read);
      if (some <= 0) break;
      read += static_cast<std::size_t>(some);
    }
  }
  ::close(fd);
  if (!usable || read + 1 != memory.size()) return CUDA_ERROR_INVALID_IMAGE;
  memory.back() = std::byte{0};
  return CUDA_SUCCESS;
}

CUresult read_image_file(const char* path, std::vector<std::byte>& memory) {
  if (const CUresult result = read_file(path, memory); result != CUDA_SUCCESS) return result;
  // A wrapper's pointers mean nothing in a file.
  u32 magic = 0;
  std::memcpy(&magic, memory.data(), std::min(memory.size(), sizeof magic));
  if (magic == kWrapperMagic) return CUDA_ERROR_INVALID_IMAGE;
  ImageParts parts;
  const CUresult result = measure_image(memory.data(), parts);
  // A file that was cut short must not be read past its end.
  if (result == CUDA_SUCCESS && parts[0].size() > memory.size()) return CUDA_ERROR_INVALID_IMAGE;
  return result;
}

CUresult JitOptions::read(unsigned count, const CUjit_option* options, void** values) {
  if (count == 0) return CUDA_SUCCESS;
  if (!options || !values || count > protocol::kMaxJitOptions) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    const u64 value = reinterpret_cast<u64>(values[i]);
    const auto log_size = [&](Log& log) {
      log.size_value = &values[i];
      log.bytes = static_cast<u32>(std::min<u64>(value & 0xffffffffu, protocol::kMaxLogBytes));
    };
    switch (options[i]) {
      case CU_JIT_INFO_LOG_BUFFER:
        info_.buffer = static_cast<char*>(values[i]);
        break;
      case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
        log_size(info_);
        break;
      case CU_JIT_ERROR_LOG_BUFFER:
        error_.buffer = static_cast<char*>(values[i]);
        break;
      case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
        log_size(error_);
        break;
      case CU_JIT_WALL_TIME:
        wall_time_ = &values[i];
        break;
      case CU_JIT_GLOBAL_SYMBOL_NAMES:
      case CU_JIT_GLOBAL_SYMBOL_ADDRESSES:
      case CU_JIT_GLOBAL_SYMBOL_COUNT:
      case CU_JIT_REFERENCED_KERNEL_NAMES:
      case CU_JIT_REFERENCED_KERNEL_COUNT:
      case CU_JIT_REFERENCED_VARIABLE_NAMES:
      case CU_JIT_REFERENCED_VARIABLE_COUNT:
        return refuse_as("cuModuleLoadDataEx", "a list of referenced kernels or variables");
      default:
        if (static_cast<u32>(options[i]) >= CU_JIT_NUM_OPTIONS) return CUDA_ERROR_INVALID_VALUE;
        // Numbers are passed by value in the pointer: 32 bits of it.
        numbers_.push_back({static_cast<u32>(options[i]), 0, value & 0xffffffffu});
    }
  }
  if (!info_.buffer) info_.bytes = 0;
  if (!error_.buffer) error_.bytes = 0;
  return CUDA_SUCCESS;
}

void JitOptions::write_log(const Log& log, const std::byte* from, u32 written) {
  if (!log.size_value || !log.buffer) return;
  const u32 bytes = std::min(written, log.bytes);
  if (bytes != 0) std::memcpy(log.buffer, from, bytes);
  if (bytes < log.bytes) log.buffer[bytes] = 0;
  *log.size_value = reinterpret_cast<void*>(u64{bytes});
}

void JitOptions::write_back(const std::byte* logs, u32 info_written, u32 error_written,
                            protocol::FloatBits wall_time_ms) const {
  write_log(info_, logs, info_written);
  write_log(error_, logs + info_.bytes, error_written);
  // The value is the float itself, in the pointer's low half.
  if (wall_time_) *wall_time_ = reinterpret_cast<void*>(u64{static_cast<u32>(wall_time_ms)});
}

}  // namespace vgpu::shim
