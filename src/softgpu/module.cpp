#include "softgpu/module.hpp"

#include <charconv>
#include <optional>

#include "softgpu/device_attributes.hpp"
#include "softgpu/driver.hpp"
#include "softgpu/log.hpp"

namespace vgpu::softgpu {
namespace {

constexpr unsigned kDeviceSm = limits::kComputeMajor * 10 + limits::kComputeMinor;
constexpr unsigned kPtxVersion = 90;

/// The text after a directive that begins a line, comments left aside; empty if there is none near the beginning.
std::string_view directive(std::string_view ptx, std::string_view name) noexcept {
  bool line_begins = true;
  for (std::size_t i = 0; i < ptx.size(); ++i) {
    if (ptx.substr(i, 2) == "//") {
      i = ptx.find('\n', i);
      if (i == std::string_view::npos) return {};
      line_begins = true;
      continue;
    }
    if (ptx.substr(i, 2) == "/*") {
      i = ptx.find("*/", i + 2);
      if (i == std::string_view::npos) return {};
      ++i;
      continue;
    }
    const char character = ptx[i];
    if (character == '\n') {
      line_begins = true;
    } else if (character == ' ' || character == '\t' || character == '\r') {
      continue;
    } else if (line_begins && ptx.substr(i, name.size()) == name) {
      std::string_view rest = ptx.substr(i + name.size(), 32);
      while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) rest.remove_prefix(1);
      return rest;
    } else if (character == '{') {
      return {};  // version and target stand before the first body
    } else {
      line_begins = false;
    }
  }
  return {};
}

std::optional<unsigned> number(std::string_view& text) noexcept {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

std::optional<unsigned> ptx_version(std::string_view ptx) noexcept {
  std::string_view text = directive(ptx, ".version");
  const auto major = number(text);
  if (!major || *major > 99 || text.empty() || text.front() != '.') return std::nullopt;
  text.remove_prefix(1);
  const auto minor = number(text);
  if (!minor || *minor > 9) return std::nullopt;
  return *major * 10 + *minor;
}

std::optional<unsigned> ptx_target(std::string_view ptx) noexcept {
  std::string_view text = directive(ptx, ".target");
  if (text.substr(0, 3) != "sm_") return std::nullopt;
  text.remove_prefix(3);
  return number(text);
}

}  // namespace

CUresult compile_ptx(std::string_view ptx, std::unique_ptr<ptx::Module>& code, std::string& message) {
  const auto refuse = [&](CUresult result, std::string why) {
    message = std::move(why);
    log_text(LogLevel::error, message);
    return result;
  };
  if (const auto version = ptx_version(ptx); version && *version > kPtxVersion) {
    return refuse(
        CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
        fmt::format("PTX refused reason=\"version newer than 9.0\" version={}.{}", *version / 10, *version % 10));
  }
  if (const auto target = ptx_target(ptx); target && *target > kDeviceSm) {
    return refuse(CUDA_ERROR_INVALID_PTX,
                  fmt::format("PTX refused reason=\"target higher than sm_90\" target=sm_{}", *target));
  }
  auto compiled = ptx::compile(ptx);
  if (auto* why = std::get_if<ptx::Diagnostic>(&compiled)) {
    return refuse(CUDA_ERROR_INVALID_PTX,
                  fmt::format("PTX refused reason=\"{}\" instruction=\"{}\" kernel={} line={} column={}", why->message,
                              why->instruction, why->function, why->line, why->column));
  }
  code = std::move(std::get<std::unique_ptr<ptx::Module>>(compiled));
  return CUDA_SUCCESS;
}

void log_broken(const ptx::Diagnostic& why, std::string_view kernel) {
  log(LogLevel::error, "kernel refused reason=\"{}\" instruction=\"{}\" kernel={} function={} line={} column={}",
      why.message, why.instruction, kernel, why.function, why.line, why.column);
}

Module::Module(Context& context, std::unique_ptr<ptx::Module> code, bool of_library)
    : context_(context), code_(std::move(code)), of_library_(of_library) {
  const auto kernels = code_->kernels();
  for (std::uint32_t i = 0; i < kernels.size(); ++i) kernels_.emplace(kernels[i].name, i);
  const auto variables = code_->variables();
  for (std::uint32_t i = 0; i < variables.size(); ++i) variables_.emplace(variables[i].name, i);
  functions_.resize(kernels.size());
}

CUresult Module::load(Context& context, std::unique_ptr<ptx::Module> code, bool of_library,
                      std::shared_ptr<Module>& module) {
  std::shared_ptr<Module> made(new Module(context, std::move(code), of_library));
  Memory& memory = driver().memory;
  std::vector<std::uint64_t> addresses;
  for (const ptx::Variable& variable : made->code_->variables()) {
    // A granule is the most that alignment can need; a variable without a size still has an address.
    const std::uint64_t address =
        memory.allocate(context, std::max<std::uint64_t>(variable.bytes, 1), MemoryKind::variable, variable.managed);
    if (address == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    made->memory_.push_back({address, memory.find(address)->id});
    addresses.push_back(address);
  }
  made->code_->link(addresses);
  made->handle_ = driver().modules.insert(made);
  module = std::move(made);
  return CUDA_SUCCESS;
}

Module::~Module() {
  Memory& memory = driver().memory;
  for (const Owned& owned : memory_) {
    // The context's end may have freed it already, and another allocation may be there now.
    const auto allocation = memory.take(owned.address, [&](const Allocation& it) { return it.id == owned.id; });
    if (allocation) memory.dispose(*allocation);
  }
}

CUresult Module::function(std::string_view name, CUfunction& handle) {
  const auto found = kernels_.find(name);
  if (found == kernels_.end()) return CUDA_ERROR_NOT_FOUND;
  return function(found->second, nullptr, handle);
}

CUresult Module::function(std::uint32_t index, std::shared_ptr<FunctionSettings> settings, CUfunction& handle) {
  if (const ptx::Diagnostic* why = code_->broken(index)) {
    log_broken(*why, code_->kernels()[index].name);
    return CUDA_ERROR_INVALID_PTX;
  }
  const std::lock_guard lock(mutex_);
  if (functions_[index] == nullptr) {
    if (settings == nullptr) settings = std::make_shared<FunctionSettings>();
    functions_[index] =
        driver().functions.insert(std::make_shared<Function>(shared_from_this(), index, std::move(settings)));
  }
  handle = functions_[index];
  return CUDA_SUCCESS;
}

const ptx::Variable* Module::variable(std::string_view name) const noexcept {
  const auto found = variables_.find(name);
  return found == variables_.end() ? nullptr : &code_->variables()[found->second];
}

void forget_module(const Module& module) {
  driver().functions.remove_if([&](const Function& function) { return function.module().get() == &module; });
  driver().modules.remove(module.handle());
}

void forget_modules_of(const Context& context) {
  driver().functions.remove_if([&](const Function& function) { return &function.context() == &context; });
  driver().modules.remove_if([&](const Module& module) { return &module.context() == &context; });
}

}  // namespace vgpu::softgpu
