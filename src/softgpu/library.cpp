#include "softgpu/library.hpp"

#include "softgpu/driver.hpp"

namespace vgpu::softgpu {

Library::Library(std::string ptx, std::unique_ptr<ptx::Module> code) : ptx_(std::move(ptx)), spare_(std::move(code)) {
  const auto kernels = spare_->kernels();
  kernels_.assign(kernels.begin(), kernels.end());
  for (std::uint32_t i = 0; i < kernels_.size(); ++i) {
    names_.emplace(kernels_[i].name, i);
    const ptx::Diagnostic* why = spare_->broken(i);
    broken_.push_back(why == nullptr ? std::nullopt : std::optional(*why));
  }
  handles_.resize(kernels_.size());
}

CUresult Library::module_in(Context& context, std::shared_ptr<Module>& module) {
  const std::lock_guard lock(mutex_);
  const auto found = modules_.find(&context);
  if (found != modules_.end()) {
    module = found->second;
    return CUDA_SUCCESS;
  }
  std::unique_ptr<ptx::Module> code = std::move(spare_);
  if (code == nullptr) {
    std::string message;
    if (const CUresult error = compile_ptx(ptx_, code, message); error != CUDA_SUCCESS) return error;
  }
  if (const CUresult error = Module::load(context, std::move(code), true, module); error != CUDA_SUCCESS) return error;
  modules_.emplace(&context, module);
  return CUDA_SUCCESS;
}

void Library::forget(const Context& context) {
  const std::lock_guard lock(mutex_);
  modules_.erase(&context);
}

void Library::forget_all() {
  std::map<const Context*, std::shared_ptr<Module>> modules;
  std::vector<CUkernel> handles;
  {
    const std::lock_guard lock(mutex_);
    modules.swap(modules_);
    handles.swap(handles_);
    handles_.resize(kernels_.size());
  }
  for (const CUkernel kernel : handles) driver().kernels.remove(kernel);
  for (const auto& [context, module] : modules) forget_module(*module);
}

CUresult Library::kernel(std::string_view name, CUkernel& kernel_handle) {
  const auto found = names_.find(name);
  if (found == names_.end()) return CUDA_ERROR_NOT_FOUND;
  return kernel(found->second, kernel_handle);
}

CUresult Library::kernel(std::uint32_t index, CUkernel& kernel_handle) {
  const std::lock_guard lock(mutex_);
  if (broken_[index]) {
    log_broken(*broken_[index], kernels_[index].name);
    return CUDA_ERROR_INVALID_PTX;
  }
  if (handles_[index] == nullptr) {
    handles_[index] = driver().kernels.insert(std::make_shared<Kernel>(weak_from_this(), kernels_[index], index));
  }
  kernel_handle = handles_[index];
  return CUDA_SUCCESS;
}

Kernel::Kernel(std::weak_ptr<Library> library, const ptx::KernelInfo& info, std::uint32_t index)
    : library_(std::move(library)), info_(info), index_(index), settings_(std::make_shared<FunctionSettings>()) {}

CUresult Kernel::function_in(Context& context, CUfunction& handle) {
  const auto library = library_.lock();
  if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::shared_ptr<Module> module;
  if (const CUresult error = library->module_in(context, module); error != CUDA_SUCCESS) return error;
  return module->function(index_, settings_, handle);
}

CUresult Kernel::function_in(Context& context, std::shared_ptr<Function>& function) {
  {
    const std::lock_guard lock(mutex_);
    function = last_.lock();
    if (function != nullptr && &function->context() == &context) return CUDA_SUCCESS;
  }
  CUfunction handle = nullptr;
  if (const CUresult error = function_in(context, handle); error != CUDA_SUCCESS) return error;
  function = driver().functions.find(handle);
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const std::lock_guard lock(mutex_);
  last_ = function;
  return CUDA_SUCCESS;
}

CUresult find_function(Context& context, CUfunction handle, std::shared_ptr<Function>& function) {
  function = driver().functions.find(handle);
  if (function != nullptr) return CUDA_SUCCESS;
  const auto kernel = driver().kernels.find(reinterpret_cast<CUkernel>(handle));
  if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return kernel->function_in(context, function);
}

}  // namespace vgpu::softgpu
