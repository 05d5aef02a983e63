#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "softgpu/driver_api.hpp"
#include "softgpu/ptx/ptx.hpp"

namespace vgpu::softgpu {

class Context;
class Module;

/// What cuFuncSetAttribute and its like changed. Shared by a kernel of a library and its functions in all contexts.
struct FunctionSettings {
  std::atomic<int> max_dynamic_shared{-1};  ///< -1: not set, what fits beside the static part in 48 KiB
  std::atomic<int> carveout{-1};
  std::atomic<int> cluster[3]{0, 0, 0};
  std::atomic<int> non_portable_cluster{0};
  std::atomic<int> cluster_policy{0};
};

/// A kernel in a loaded module: what a CUfunction stands for. Immutable but for its settings.
class Function {
 public:
  Function(std::shared_ptr<Module> module, std::uint32_t index, std::shared_ptr<FunctionSettings> settings);

  const std::shared_ptr<Module>& module() const noexcept { return module_; }
  Context& context() const noexcept;
  std::uint32_t index() const noexcept { return index_; }
  const ptx::KernelInfo& info() const noexcept { return *info_; }
  FunctionSettings& settings() const noexcept { return *settings_; }
  /// Bytes of dynamic shared memory that a launch may ask for.
  unsigned max_dynamic_shared() const noexcept;

  CUresult get_attribute(CUfunction_attribute attribute, int& value) const;
  CUresult set_attribute(CUfunction_attribute attribute, int value) const;

 private:
  std::shared_ptr<Module> module_;
  std::uint32_t index_;
  const ptx::KernelInfo* info_;
  std::shared_ptr<FunctionSettings> settings_;
};

/// PTX in a context: compiled, with its variables in device memory. Lives until it is unloaded and its last kernel has
/// run.
class Module : public std::enable_shared_from_this<Module> {
 public:
  /// Takes memory for the variables and links. CUDA_ERROR_OUT_OF_MEMORY if there is none.
  static CUresult load(Context& context, std::unique_ptr<ptx::Module> code, bool of_library,
                       std::shared_ptr<Module>& module);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  Context& context() const noexcept { return context_; }
  const ptx::Module& code() const noexcept { return *code_; }
  /// Owned by a library: cuModuleUnload is not permitted.
  bool of_library() const noexcept { return of_library_; }
  CUmodule handle() const noexcept { return handle_; }

  /// The function of a kernel, made at the first request with these settings. CUDA_ERROR_NOT_FOUND;
  /// CUDA_ERROR_INVALID_PTX, with a log line, for a kernel that the interpreter refused.
  CUresult function(std::string_view name, CUfunction& handle);
  CUresult function(std::uint32_t index, std::shared_ptr<FunctionSettings> settings, CUfunction& handle);
  const ptx::Variable* variable(std::string_view name) const noexcept;

 private:
  Module(Context& context, std::unique_ptr<ptx::Module> code, bool of_library);

  Context& context_;
  std::unique_ptr<ptx::Module> code_;
  const bool of_library_;
  CUmodule handle_ = nullptr;
  struct Owned {
    std::uint64_t address;
    std::uint64_t id;
  };
  std::vector<Owned> memory_;
  std::map<std::string, std::uint32_t, std::less<>> kernels_;
  std::map<std::string, std::uint32_t, std::less<>> variables_;
  std::mutex mutex_;
  std::vector<CUfunction> functions_;
};

/// Bounds-checks and stores one setting; CUDA_ERROR_INVALID_VALUE for what can't be set.
CUresult set_function_attribute(FunctionSettings& settings, const ptx::KernelInfo& info, CUfunction_attribute attribute,
                                int value);
/// What cuFuncGetParamInfo answers; `size` may be null.
CUresult get_parameter(const ptx::KernelInfo& info, std::size_t index, std::size_t* offset, std::size_t* size);
/// Threads that a block of this kernel may have.
unsigned max_block_threads(const ptx::KernelInfo& info) noexcept;

/// Compiles, with the checks of version and target that CUDA makes. On an error: its code, a log line, and the same
/// text in `message`.
CUresult compile_ptx(std::string_view ptx, std::unique_ptr<ptx::Module>& code, std::string& message);

/// Logs why a kernel was refused.
void log_broken(const ptx::Diagnostic& why, std::string_view kernel);

/// Removes a module and its functions from the tables.
void forget_module(const Module& module);
void forget_modules_of(const Context& context);

}  // namespace vgpu::softgpu
