#include "softgpu/fatbin.hpp"

#include <cstring>
#include <memory>
#include <random>

#include "fixture.hpp"

using softgpu_test::read_image_file;
using vgpu::softgpu::Image;
using vgpu::softgpu::fatbin::select_ptx;

namespace {

/// Exactly these bytes, in memory of their own, so that a sanitizer sees a read past the end.
Image select(const char* data, std::size_t bytes) {
  const auto copy = std::make_unique<std::byte[]>(bytes);
  std::memcpy(copy.get(), data, bytes);
  return select_ptx({copy.get(), bytes});
}

const char* const kModes[] = {"default", "size", "speed", "balance", "none"};

}  // namespace

TEST_CASE("fatbin: the best PTX in every compression mode") {
  std::string first;
  for (const char* mode : kModes) {
    INFO(mode);
    const std::string file = read_image_file(std::string("kernels_") + mode + ".fatbin");
    const Image image = select(file.data(), file.size());
    REQUIRE_OK(image.result);
    CHECK(image.ptx.find(".target sm_90") != std::string::npos);
    if (first.empty()) first = image.ptx;
    CHECK(image.ptx == first);
  }
}

TEST_CASE("fatbin: truncated at every byte") {
  for (const char* mode : kModes) {
    INFO(mode);
    const std::string file = read_image_file(std::string("kernels_") + mode + ".fatbin");
    std::size_t accepted = 0;
    for (std::size_t bytes = 0; bytes < file.size(); ++bytes) {
      if (select(file.data(), bytes).result == CUDA_SUCCESS) ++accepted;
      // The same with a header that claims to end there: entries are cut.
      if (bytes < 16) continue;
      std::string cut = file.substr(0, bytes);
      const std::uint64_t claimed = bytes - 16;
      std::memcpy(cut.data() + 8, &claimed, sizeof claimed);
      const CUresult result = select(cut.data(), cut.size()).result;
      // Cut exactly between entries it is a shorter container; everything else is damaged.
      if (result != CUDA_SUCCESS && result != CUDA_ERROR_NO_BINARY_FOR_GPU) REQUIRE(result == CUDA_ERROR_INVALID_IMAGE);
    }
    CHECK(accepted == 0);
  }
}

TEST_CASE("fatbin: damaged bytes never do harm") {
  std::mt19937 random(7);
  for (const char* mode : kModes) {
    const std::string file = read_image_file(std::string("kernels_") + mode + ".fatbin");
    for (int i = 0; i < 3000; ++i) {
      std::string damaged = file;
      const int flips = 1 + static_cast<int>(random() % 4);
      for (int flip = 0; flip < flips; ++flip) {
        // Half of them in the first headers, where each byte matters.
        const std::size_t at = random() % (flip % 2 == 0 ? 160 : damaged.size());
        damaged[at] = static_cast<char>(random());
      }
      const Image image = select(damaged.data(), damaged.size());
      const bool known = image.result == CUDA_SUCCESS || image.result == CUDA_ERROR_INVALID_IMAGE ||
                         image.result == CUDA_ERROR_NO_BINARY_FOR_GPU;
      REQUIRE(known);
    }
  }
}

TEST_CASE("fatbin: a wrapper is followed") {
  softgpu_test::Gpu gpu(false);
  const std::string file = read_image_file("kernels_default.fatbin");
  vgpu::softgpu::fatbin::Wrapper wrapper{vgpu::softgpu::fatbin::kWrapperMagic, 1, file.data(), nullptr};
  CUmodule module = nullptr;
  CHECK_RESULT(CUDA_SUCCESS, cuModuleLoadData(&module, &wrapper));
  wrapper.version = 2;
  CHECK_RESULT(CUDA_SUCCESS, cuModuleLoadData(&module, &wrapper));
  wrapper.version = 3;
  CHECK_RESULT(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, &wrapper));
  wrapper.version = 1;
  wrapper.data = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, &wrapper));
  wrapper.data = "no fatbin";
  CHECK_RESULT(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, &wrapper));
}

TEST_CASE("fatbin: a wrapper around an empty one names those to link") {
  const std::string file = read_image_file("kernels_default.fatbin");
  std::string empty = file.substr(0, 16);
  std::memset(empty.data() + 8, 0, 8);
  const void* linked[] = {empty.data(), file.data(), nullptr};
  vgpu::softgpu::fatbin::Wrapper wrapper{vgpu::softgpu::fatbin::kWrapperMagic, 2, empty.data(), linked};
  const Image image = vgpu::softgpu::read_image(&wrapper);
  REQUIRE_OK(image.result);
  CHECK(image.ptx.find(".entry reverse") != std::string::npos);
  linked[1] = nullptr;
  CHECK(vgpu::softgpu::read_image(&wrapper).result == CUDA_ERROR_NO_BINARY_FOR_GPU);
}
