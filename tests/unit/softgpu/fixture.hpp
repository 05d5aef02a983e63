#pragma once
#include <cuda.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace softgpu_test {

inline std::string error_name(CUresult error) {
  const char* name = nullptr;
  return cuGetErrorName(error, &name) == CUDA_SUCCESS ? name : std::to_string(error);
}

/// Compares results by name, so that a failure can be read.
#define CHECK_RESULT(expected, call) CHECK(softgpu_test::error_name(call) == #expected)
#define REQUIRE_OK(call) REQUIRE(softgpu_test::error_name(call) == "CUDA_SUCCESS")

inline std::string image_path(const std::string& name) { return std::string(SOFTGPU_IMAGES) + "/" + name; }

/// A compiled image, with a NUL behind it.
inline std::string read_image_file(const std::string& name) {
  std::ifstream file(image_path(name), std::ios::binary);
  REQUIRE(file);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// The primary context, current on this thread, and the test kernels in it.
class Gpu {
 public:
  explicit Gpu(bool with_module = true) {
    REQUIRE_OK(cuInit(0));
    REQUIRE_OK(cuDevicePrimaryCtxRetain(&context, 0));
    REQUIRE_OK(cuCtxSetCurrent(context));
    if (with_module) REQUIRE_OK(cuModuleLoadData(&module, read_image_file("kernels.ptx").c_str()));
  }
  ~Gpu() {
    cuCtxSetCurrent(nullptr);
    cuDevicePrimaryCtxRelease(0);
  }
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  CUfunction function(const char* name) const {
    CUfunction handle = nullptr;
    REQUIRE_OK(cuModuleGetFunction(&handle, module, name));
    return handle;
  }

  CUcontext context = nullptr;
  CUmodule module = nullptr;
};

/// Launches with one dimension.
template <class... Arguments>
CUresult launch(CUfunction function, unsigned grid, unsigned block, CUstream stream, Arguments... arguments) {
  void* parameters[sizeof...(Arguments) + 1] = {static_cast<void*>(&arguments)..., nullptr};
  return cuLaunchKernel(function, grid, 1, 1, block, 1, 1, 0, stream, parameters, nullptr);
}

/// A word of pinned memory that a kernel waits for.
class Flag {
 public:
  Flag() {
    void* memory = nullptr;
    REQUIRE_OK(cuMemHostAlloc(&memory, sizeof(unsigned), CU_MEMHOSTALLOC_DEVICEMAP));
    value_ = static_cast<unsigned*>(memory);
    __atomic_store_n(value_, 0u, __ATOMIC_SEQ_CST);
  }
  ~Flag() {
    raise();
    cuMemFreeHost(value_);
  }
  Flag(const Flag&) = delete;
  Flag& operator=(const Flag&) = delete;

  void raise() { __atomic_store_n(value_, 1u, __ATOMIC_SEQ_CST); }
  CUdeviceptr device() const { return reinterpret_cast<CUdeviceptr>(value_); }

 private:
  unsigned* value_;
};

template <class T>
CUdeviceptr upload(const std::vector<T>& values) {
  CUdeviceptr memory = 0;
  REQUIRE_OK(cuMemAlloc(&memory, values.size() * sizeof(T)));
  REQUIRE_OK(cuMemcpyHtoD(memory, values.data(), values.size() * sizeof(T)));
  return memory;
}

template <class T>
std::vector<T> download(CUdeviceptr memory, std::size_t count) {
  std::vector<T> values(count);
  REQUIRE_OK(cuMemcpyDtoH(values.data(), memory, count * sizeof(T)));
  return values;
}

}  // namespace softgpu_test
