#pragma once
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "softgpu/address_map.hpp"
#include "softgpu/ptx/ptx.hpp"

/// Runs kernels for the tests: a module, its variables, and a piece of device memory.
namespace vgpu::softgpu::ptx::test {

AddressMap& map();
Pool& pool();

/// Device memory: host memory that the address map knows.
class Memory {
 public:
  explicit Memory(std::size_t bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::uint64_t address() const noexcept { return reinterpret_cast<std::uint64_t>(data_); }
  template <class T>
  T* as() const noexcept {
    return reinterpret_cast<T*>(data_);
  }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_;
};

/// A compiled and linked module.
class Loaded {
 public:
  explicit Loaded(std::string_view text);
  bool good() const noexcept { return module_ != nullptr; }
  const Diagnostic& diagnostic() const noexcept { return diagnostic_; }
  Module& module() const noexcept { return *module_; }
  /// Index of the kernel whose name contains the word.
  std::uint32_t kernel(std::string_view word) const;
  std::uint64_t variable(std::string_view word) const;

 private:
  std::unique_ptr<Module> module_;
  std::vector<std::unique_ptr<Memory>> variables_;
  Diagnostic diagnostic_;
};

/// Packs arguments as a kernel's layout says.
class Arguments {
 public:
  template <class T>
  Arguments& add(const T& value) {
    const std::size_t at = (bytes_.size() + alignof(T) - 1) / alignof(T) * alignof(T);
    bytes_.resize(at + sizeof(T));
    std::memcpy(bytes_.data() + at, &value, sizeof(T));
    return *this;
  }
  std::span<const std::byte> span() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

Outcome run(const Loaded& loaded, std::string_view kernel, Dim3 grid, Dim3 block, const Arguments& arguments,
            std::uint32_t dynamic_shared = 0, bool cooperative = false);

/// Runs one warp of a kernel around the instructions and gives what %out (b32) or %outd (b64) holds in each lane.
/// Declared: %p0-9, %h0-19 (b16), %r0-29 (b32), %rd0-29 (b64), %f0-19, %fd0-19; %r0 is the lane, %rd0 an 8 KiB buffer.
std::vector<std::uint64_t> lanes(std::string_view instructions);
/// Lane 0 of that.
std::uint64_t value(std::string_view instructions);
std::string read_file(const std::string& path);

}  // namespace vgpu::softgpu::ptx::test
