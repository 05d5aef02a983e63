#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace vgpu::softgpu {
class AddressMap;
}

/// PTX on the CPU: a text is compiled once into a Module (parsed, checked, decoded to an instruction array), linked
/// once (its variables get addresses), and its kernels are then run any number of times, by any number of threads at
/// once. Instruction set: PTX ISA 9.0 (docs.nvidia.com/cuda/parallel-thread-execution), as far as decode.cpp lists it.
namespace vgpu::softgpu::ptx {

class Brake;
class ResourceTable;

/// Why a text was refused. Lines and columns count from 1.
struct Diagnostic {
  std::string message;      ///< what is wrong, in words
  std::string function;     ///< kernel or device function, empty at module level
  std::string instruction;  ///< the instruction as written, empty if not one
  unsigned line = 0;
  unsigned column = 0;
};

struct Parameter {
  std::uint32_t offset;
  std::uint32_t size;
  std::uint32_t align;
};

/// What cuFuncGetAttribute and the launch checks want to know of a kernel.
struct KernelInfo {
  std::string name;
  std::vector<Parameter> parameters;
  std::uint32_t parameter_bytes = 0;
  std::uint32_t static_shared_bytes = 0;
  std::uint32_t local_bytes = 0;
  std::uint32_t registers = 0;  ///< an honest figure in the sense of the attribute: registers a thread, at most 255
  std::uint32_t max_threads_per_block = 0;  ///< from .maxntid, else 1024
  bool uses_grid_sync = false;
  std::uint32_t target = 0;  ///< the text's .target: 75 for sm_75
  bool uses_heap = false;    ///< it, or what it may call, calls malloc or free
};

/// A module variable in .global or .const space.
struct Variable {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint32_t align = 1;
  bool constant = false;
  bool managed = false;       ///< .attribute(.managed): the host may touch it too
  std::uint64_t address = 0;  ///< set by link()
};

class Module {
 public:
  virtual ~Module() = default;
  virtual std::span<const KernelInfo> kernels() const noexcept = 0;
  virtual std::span<const Variable> variables() const noexcept = 0;
  /// Why this kernel can't run (it, or a function it calls, has something that is not carried), or null if it can.
  /// Answer a request for the kernel with CUDA_ERROR_INVALID_PTX then; the other kernels of the module are good.
  /// Valid as long as the module. A launch of a broken kernel ends with Fault::illegal_instruction.
  virtual const Diagnostic* broken(std::uint32_t kernel) const noexcept = 0;
  /// Gives each variable (in the order of variables()) its address and writes the initial values there, pointers to
  /// other variables included. Call once, before the first run. The memory must be writable by this process.
  virtual void link(std::span<const std::uint64_t> addresses) = 0;
};

/// Never throws, whatever the text is. The text need not end in NUL.
std::variant<std::unique_ptr<Module>, Diagnostic> compile(std::string_view text);

struct Dim3 {
  std::uint32_t x = 1, y = 1, z = 1;
};

/// How a run ended. Each fault stands for the CUresult that CUDA gives for it (CUDA driver API, "Data types").
enum class Fault : std::uint8_t {
  none,
  illegal_address,      ///< CUDA_ERROR_ILLEGAL_ADDRESS
  misaligned_address,   ///< CUDA_ERROR_MISALIGNED_ADDRESS
  assertion,            ///< CUDA_ERROR_ASSERT
  trap,                 ///< CUDA_ERROR_LAUNCH_FAILED
  illegal_instruction,  ///< CUDA_ERROR_ILLEGAL_INSTRUCTION
  invalid_pc,           ///< CUDA_ERROR_INVALID_PC: a call of what is not a function
  timeout,              ///< CUDA_ERROR_LAUNCH_TIMEOUT: the deadline passed
  cancelled,            ///< the cancel flag was set
};

struct Outcome {
  Fault fault = Fault::none;
  std::uint64_t address = 0;  ///< of the faulting access
  std::string kernel;
  unsigned line = 0;   ///< of the PTX text
  std::string detail;  ///< for the log: block, thread, instruction
  /// Instructions that were run, each times the lanes that took part. Lanes whose guard was false count: a GPU spends
  /// the same time on them.
  std::uint64_t lane_instructions = 0;
};

/// Where malloc and free of kernels take memory from. Thread-safe: blocks of any number of launches call it.
class DeviceHeap {
 public:
  virtual ~DeviceHeap() = default;
  /// At least that many bytes, aligned to `align` (a power of two) and to 16; 0 if there is no room.
  virtual std::uint64_t allocate(std::uint64_t bytes, std::uint64_t align) noexcept = 0;
  /// False if it is not the address of an allocation that is held.
  virtual bool release(std::uint64_t address) noexcept = 0;
};

struct Launch {
  const Module* module = nullptr;
  std::uint32_t kernel = 0;  ///< index into Module::kernels()
  Dim3 grid, block;
  std::uint32_t dynamic_shared_bytes = 0;
  bool cooperative = false;               ///< all blocks are resident together: grid sync works
  std::span<const std::byte> parameters;  ///< packed as KernelInfo::parameters says; alive until run() returns
  const AddressMap* memory = nullptr;
  /// cudaGraphSetConditional of kernels: false if there is no such handle. Called by any thread; null: there is none.
  bool (*set_condition)(std::uint64_t handle, std::uint32_t value) noexcept = nullptr;
  DeviceHeap* heap = nullptr;                ///< of kernels that use it; null: malloc finds no room
  const ResourceTable* resources = nullptr;  ///< textures and surfaces; may be null: every handle is bad then
  const std::atomic<bool>* cancel =
      nullptr;  ///< looked at often enough that a run ends within about 10 ms; may be null
  /// When the run ends with Fault::timeout, looked at as often.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  Brake* brake = nullptr;  ///< holds the launch back; may be null
};

/// Runs the blocks of launches on the CPU's cores. One pool serves all streams of a process.
class Pool {
 public:
  virtual ~Pool() = default;
  /// Blocks until the grid has run. Any number of threads may call at once; their blocks share the cores fairly.
  virtual Outcome run(const Launch& launch) = 0;
};

/// threads: how many run blocks at once, the caller of run() included; 0: one for each core this process may use.
std::unique_ptr<Pool> make_pool(unsigned threads = 0);

}  // namespace vgpu::softgpu::ptx
