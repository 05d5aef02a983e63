#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "softgpu/driver_api.hpp"
#include "softgpu/module.hpp"

namespace vgpu::softgpu {

/// A library: PTX that becomes a module in each context that uses it. Thread-safe.
class Library : public std::enable_shared_from_this<Library> {
 public:
  /// `code` is the compiled text, kept for the first context.
  Library(std::string ptx, std::unique_ptr<ptx::Module> code);

  CUlibrary handle = nullptr;

  /// The module in a context, loaded at the first request.
  CUresult module_in(Context& context, std::shared_ptr<Module>& module);
  /// A context ends: its module is gone.
  void forget(const Context& context);
  /// The library is unloaded: its modules, functions and kernels are gone.
  void forget_all();

  const std::vector<ptx::KernelInfo>& kernels() const noexcept { return kernels_; }
  CUresult kernel(std::string_view name, CUkernel& handle);
  CUresult kernel(std::uint32_t index, CUkernel& handle);

 private:
  const std::string ptx_;
  std::vector<ptx::KernelInfo> kernels_;
  std::vector<std::optional<ptx::Diagnostic>> broken_;
  std::map<std::string, std::uint32_t, std::less<>> names_;
  std::mutex mutex_;
  std::unique_ptr<ptx::Module> spare_;
  std::map<const Context*, std::shared_ptr<Module>> modules_;
  std::vector<CUkernel> handles_;
};

/// A kernel of a library: what a CUkernel stands for.
class Kernel {
 public:
  Kernel(std::weak_ptr<Library> library, const ptx::KernelInfo& info, std::uint32_t index);

  std::shared_ptr<Library> library() const noexcept { return library_.lock(); }
  const ptx::KernelInfo& info() const noexcept { return info_; }
  FunctionSettings& settings() const noexcept { return *settings_; }
  /// The function in a context. Remembers the last answer: a launch asks each time.
  CUresult function_in(Context& context, CUfunction& handle);
  CUresult function_in(Context& context, std::shared_ptr<Function>& function);

 private:
  const std::weak_ptr<Library> library_;
  const ptx::KernelInfo info_;
  const std::uint32_t index_;
  const std::shared_ptr<FunctionSettings> settings_;
  std::mutex mutex_;
  std::weak_ptr<Function> last_;
};

/// The function of a CUfunction, or of a CUkernel in the current context, as launches and queries take both.
/// CUDA_ERROR_INVALID_HANDLE if it is neither.
CUresult find_function(Context& context, CUfunction handle, std::shared_ptr<Function>& function);

}  // namespace vgpu::softgpu
