#include "driver.hpp"

#include <dlfcn.h>

#include <stdexcept>
#include <string>

namespace vgpu::bench {

#define VGPU_BENCH_TEXT(name) VGPU_BENCH_TEXT_(name)
#define VGPU_BENCH_TEXT_(name) #name

Driver::Driver(const std::string& library) {
  void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(::dlerror());
#define VGPU_BENCH_LOAD(name)                                                              \
  name##_p = reinterpret_cast<decltype(name##_p)>(::dlsym(handle, VGPU_BENCH_TEXT(name))); \
  if (name##_p == nullptr) throw std::runtime_error(library + " has no " + VGPU_BENCH_TEXT(name));
  VGPU_BENCH_FUNCTIONS(VGPU_BENCH_LOAD)
#undef VGPU_BENCH_LOAD
}

void Driver::check(CUresult result, const char* what) const {
  if (result == CUDA_SUCCESS) return;
  const char* name = nullptr;
  if (cuGetErrorName_p(result, &name) != CUDA_SUCCESS || name == nullptr) name = "an unknown error";
  throw std::runtime_error(std::string(what) + " gave " + name + " (" + std::to_string(static_cast<int>(result)) + ")");
}

}  // namespace vgpu::bench
