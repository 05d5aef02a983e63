#include "actors/nvml.hpp"

#include <dlfcn.h>

namespace vgpu::daemon {
namespace {

/// Stands in for a function that an older library lacks.
template <typename Function>
struct Missing;
template <typename... Arguments>
struct Missing<nvmlReturn_t (*)(Arguments...)> {
  static nvmlReturn_t call(Arguments...) { return NVML_ERROR_FUNCTION_NOT_FOUND; }
};

template <typename Function>
void find(void* library, const char* name, Function& function) {
  void* const symbol = ::dlsym(library, name);
  function = symbol != nullptr ? reinterpret_cast<Function>(symbol) : &Missing<Function>::call;
}

}  // namespace

std::unique_ptr<Nvml> Nvml::load(const std::filesystem::path& path, std::string& error) {
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    const char* const why = ::dlerror();
    error = why != nullptr ? why : path.string() + " can't be loaded";
    return nullptr;
  }
  std::unique_ptr<Nvml> nvml(new Nvml);
  nvml->error_string_ = reinterpret_cast<decltype(&::nvmlErrorString)>(::dlsym(library, "nvmlErrorString"));
  decltype(&::nvmlInit_v2) init = nullptr;
  find(library, "nvmlInit_v2", init);
#define FUNCTION(name) find(library, #name, nvml->name);
  VGPU_NVML_FUNCTIONS(FUNCTION)
#undef FUNCTION
  if (const nvmlReturn_t result = init(); result != NVML_SUCCESS) {
    error = path.string() + ": nvmlInit: " + nvml->text(result);
    nvml->nvmlShutdown = nullptr;
    return nullptr;
  }
  return nvml;
}

Nvml::~Nvml() {
  if (nvmlShutdown != nullptr) nvmlShutdown();
}

std::string Nvml::text(nvmlReturn_t result) const {
  const char* const text = error_string_ != nullptr ? error_string_(result) : nullptr;
  return text != nullptr ? text : "error " + std::to_string(static_cast<int>(result));
}

}  // namespace vgpu::daemon
