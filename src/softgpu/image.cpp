#include "softgpu/image.hpp"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "softgpu/fatbin.hpp"
#include "softgpu/ptx/merge.hpp"

namespace vgpu::softgpu {
namespace {

constexpr unsigned char kElfMagic[4] = {0x7f, 'E', 'L', 'F'};

Image machine_code() {
  return {CUDA_ERROR_NO_BINARY_FOR_GPU,
          {},
          "a cubin can't run on this device: compile with PTX, for example -gencode arch=compute_90,code=compute_90"};
}

bool is_text(char first) noexcept {
  return first == '\t' || first == '\n' || first == '\r' || (first >= ' ' && first <= '~');
}

/// A fatbin with its header and no entry.
constexpr std::uint64_t kEmptyFatbin = 16;

/// What nvcc -rdc=true leaves to the driver: an array of the files' own fatbins, with a null pointer at its end. One
/// without PTX for this device is left out, as libcudadevrt's always is: linking names what is then undefined.
Image link_fatbins(const void* const* fatbins) {
  std::vector<std::string> texts;
  Image refused{CUDA_ERROR_NO_BINARY_FOR_GPU, {}, "fatbins to link, but all are empty"};
  for (; *fatbins != nullptr; ++fatbins) {
    const std::uint64_t size = fatbin::container_bytes(*fatbins);
    if (size == 0) return {CUDA_ERROR_INVALID_IMAGE, {}, "fatbin header of a bad size"};
    if (size == kEmptyFatbin) continue;
    Image one = fatbin::select_ptx({static_cast<const std::byte*>(*fatbins), static_cast<std::size_t>(size)});
    if (one.result == CUDA_SUCCESS)
      texts.push_back(std::move(one.ptx));
    else
      refused = std::move(one);
  }
  if (texts.empty()) return refused;
  auto merged = ptx::merge(texts);
  if (const auto* why = std::get_if<ptx::Diagnostic>(&merged)) return {CUDA_ERROR_INVALID_PTX, {}, why->message};
  return {CUDA_SUCCESS, std::move(std::get<std::string>(merged)), {}};
}

}  // namespace

Image read_image(const void* image) {
  // Byte by byte as far as the bytes agree: a PTX text may be shorter than any header.
  const auto* bytes = static_cast<const char*>(image);
  const auto begins_with = [&bytes](std::uint32_t magic) {
    for (unsigned i = 0; i < 4; ++i) {
      if (static_cast<unsigned char>(bytes[i]) != ((magic >> (8 * i)) & 0xff)) return false;
    }
    return true;
  };
  if (begins_with(fatbin::kWrapperMagic)) {
    fatbin::Wrapper wrapper;
    std::memcpy(&wrapper, image, sizeof wrapper);
    if ((wrapper.version != 1 && wrapper.version != 2) || wrapper.data == nullptr) {
      return {CUDA_ERROR_INVALID_IMAGE, {}, "fatbin wrapper of an unknown version or without data"};
    }
    image = wrapper.data;
    bytes = static_cast<const char*>(image);
    if (!begins_with(fatbin::kMagic)) return {CUDA_ERROR_INVALID_IMAGE, {}, "fatbin wrapper around no fatbin"};
    if (wrapper.version == 2 && wrapper.filename_or_fatbins != nullptr &&
        fatbin::container_bytes(image) == kEmptyFatbin)
      return link_fatbins(static_cast<const void* const*>(wrapper.filename_or_fatbins));
  }
  if (begins_with(fatbin::kMagic)) {
    const std::uint64_t size = fatbin::container_bytes(image);
    if (size == 0) return {CUDA_ERROR_INVALID_IMAGE, {}, "fatbin header of a bad size"};
    return fatbin::select_ptx({static_cast<const std::byte*>(image), static_cast<std::size_t>(size)});
  }
  if (std::memcmp(bytes, kElfMagic, 1) == 0) return machine_code();
  if (!is_text(bytes[0])) return {CUDA_ERROR_INVALID_IMAGE, {}, "image is no fatbin, no cubin and no PTX"};
  return {CUDA_SUCCESS, std::string(bytes), {}};
}

Image read_image(std::span<const std::byte> bytes) {
  const auto begins_with = [&](const void* magic, std::size_t size) {
    return bytes.size() >= size && std::memcmp(bytes.data(), magic, size) == 0;
  };
  if (bytes.empty()) return {CUDA_ERROR_INVALID_IMAGE, {}, "image is empty"};
  const std::uint32_t magic = fatbin::kMagic;
  if (begins_with(&magic, sizeof magic)) return fatbin::select_ptx(bytes);
  if (begins_with(kElfMagic, sizeof kElfMagic)) return machine_code();
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  if (!is_text(text[0])) return {CUDA_ERROR_INVALID_IMAGE, {}, "image is no fatbin, no cubin and no PTX"};
  return {CUDA_SUCCESS, std::string(text, strnlen(text, bytes.size())), {}};
}

CUresult read_file(const char* path, std::string& bytes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return CUDA_ERROR_FILE_NOT_FOUND;
  std::ostringstream contents;
  contents << file.rdbuf();
  if (file.bad()) return CUDA_ERROR_FILE_NOT_FOUND;
  bytes = std::move(contents).str();
  return CUDA_SUCCESS;
}

}  // namespace vgpu::softgpu
