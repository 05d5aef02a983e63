#include "executor/driver.hpp"

#include <dlfcn.h>

namespace vgpu::executor {

bool Driver::load(const char* library, std::string& error) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* text = dlerror();
    error = text != nullptr ? text : "dlopen failed";
    return false;
  }
#define FUNCTION(name) \
  if (void* symbol = dlsym(handle, #name); symbol != nullptr) this->name = reinterpret_cast<decltype(&::name)>(symbol);
#include "executor/driver_functions.def"
#undef FUNCTION
  return true;
}

std::string Driver::result_name(CUresult result) const {
  if (result == CUDA_SUCCESS) return "CUDA_SUCCESS";
  const char* name = nullptr;
  if (cuGetErrorName(result, &name) == CUDA_SUCCESS && name != nullptr) return name;
  return std::to_string(static_cast<int>(result));
}

}  // namespace vgpu::executor
