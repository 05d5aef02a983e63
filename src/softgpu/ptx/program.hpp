#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "softgpu/ptx/ptx.hpp"
#include "softgpu/ptx/types.hpp"

/// The decoded form of a module: what the interpreter runs.
namespace vgpu::softgpu::ptx {

struct Warp;
struct Insn;
/// Executes one instruction for the lanes of the mask.
using Handler = void (*)(Warp&, const Insn&, std::uint32_t mask);

/// Where an operand lives: the upper two bits choose one of a warp's bases, the others are a byte offset.
/// Every operand is an array over the 32 lanes, of u32 or (8-byte types) u64; a predicate is one u32, a bit for each
/// lane.
using Ref = std::uint32_t;
enum class Base : std::uint8_t { registers, constants, specials };
constexpr Ref make_ref(Base base, std::uint32_t offset) noexcept {
  return static_cast<std::uint32_t>(base) << 30 | offset;
}
inline constexpr Ref kNoRef = ~Ref{0};
inline constexpr std::uint32_t kLanes = 32;
inline constexpr std::uint32_t kNarrow = kLanes * 4;  ///< bytes of an operand of up to 32 bits
inline constexpr std::uint32_t kWide = kLanes * 8;    ///< bytes of an operand of 64 bits
/// Shared memory that a GPU keeps for itself and that %reserved_smem_offset_* name (PTX ISA, special registers).
inline constexpr std::uint32_t kReservedShared = 1024;
inline constexpr std::uint32_t kMaxOperandBytes = 1u << 28;

/// Addresses that stand for the spaces without an address of their own. They lie above every user address of Linux.
inline constexpr std::uint64_t kSharedWindow = std::uint64_t{1} << 48;
inline constexpr std::uint64_t kLocalWindow = kSharedWindow + (std::uint64_t{1} << 32);
inline constexpr std::uint64_t kParamWindow = kSharedWindow + (std::uint64_t{2} << 32);
inline constexpr std::uint64_t kGridWindow = kSharedWindow + (std::uint64_t{3} << 32);
inline constexpr std::uint64_t kFunctionWindow = kSharedWindow + (std::uint64_t{4} << 32);

/// How an instruction moves the program counter. Plain ones are run by their handler alone.
enum class Flow : std::uint8_t {
  plain,
  branch,
  branch_table,
  call,
  ret,
  exit,
  barrier,    ///< bar, barrier: meets the other warps of the block
  warp_sync,  ///< needs the lanes of its member mask together; then the handler runs
  yield,      ///< gives the rest of the time slice away
};

struct Insn {
  Handler run = nullptr;
  std::uint64_t imm = 0;
  Ref d = kNoRef, a = kNoRef, b = kNoRef, c = kNoRef, e = kNoRef;
  Ref guard = kNoRef;
  std::uint32_t target = 0;  ///< branch: instruction index; call: call site; table: index of the table
  std::uint32_t source = 0;  ///< index into Function::sources
  Flow flow = Flow::plain;
  bool guard_inverted = false;
  std::uint8_t count = 1;  ///< elements of a vector access; barrier: Barrier::Kind
  std::uint8_t flags = 0;
};
static_assert(sizeof(Insn) <= 64);

struct Source {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::string_view text;  ///< inside Program::text
};

/// A stretch of the lane's local memory, counted from the frame's start.
struct Stretch {
  std::uint32_t offset = 0;
  std::uint32_t bytes = 0;
};

enum class Builtin : std::uint8_t { none, vprintf, assertfail, heap_allocate, heap_release, set_condition };

struct CallSite {
  std::uint32_t function = 0;  ///< index into Program::functions; unused when indirect or built in
  Ref target = kNoRef;         ///< register with the function's address, for an indirect call
  Builtin builtin = Builtin::none;
  std::vector<Stretch> arguments;
  std::vector<Stretch> results;
};

/// Something in the constants that is known only later.
struct Fixup {
  enum class Kind : std::uint8_t { variable, function, shared };
  Kind kind = Kind::variable;
  bool wide = true;
  std::uint32_t index = 0;
  std::uint32_t offset = 0;  ///< into the constants
  std::uint64_t addend = 0;
};

/// Bytes aligned for vectors.
class Lines {
 public:
  void resize(std::size_t bytes) {
    const std::size_t rounded = (bytes + 63) / 64 * 64;
    if (rounded > capacity_) {
      std::size_t grown = capacity_ == 0 ? 1024 : capacity_;
      while (grown < rounded) grown *= 2;
      std::unique_ptr<std::byte[], Free> fresh(static_cast<std::byte*>(::operator new (grown, std::align_val_t{64})));
      for (std::size_t i = 0; i < size_; ++i) fresh[i] = data_[i];
      for (std::size_t i = size_; i < grown; ++i) fresh[i] = std::byte{0};
      data_ = std::move(fresh);
      capacity_ = grown;
    }
    size_ = bytes;
  }
  std::byte* data() const noexcept { return data_.get(); }
  std::size_t size() const noexcept { return size_; }

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept { ::operator delete (p, std::align_val_t{64}); }
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

struct ImageAccess;

struct Function {
  std::string name;
  bool entry = false;
  bool defined = false;
  std::optional<Diagnostic> broken;
  std::vector<Insn> code;
  std::vector<Source> sources;
  Lines constants;
  std::vector<Fixup> fixups;
  std::vector<CallSite> calls;
  std::vector<std::vector<std::uint32_t>> tables;
  std::vector<std::shared_ptr<ImageAccess>> images;  ///< operands of texture and surface instructions
  std::vector<std::uint32_t> callees;
  bool calls_indirectly = false;
  bool uses_grid_workspace = false;
  bool uses_heap = false;
  bool uses_reserved_shared = false;  ///< itself; of a kernel: or a function that it reaches
  std::uint32_t register_bytes = 0;
  std::uint32_t registers = 0;
  std::uint32_t local_bytes = 0;
  std::uint32_t max_threads = 0;
  std::uint32_t static_shared = 0;  ///< of a kernel
  std::vector<Stretch> returns;
  std::vector<Stretch> parameters;  ///< of a kernel: offsets in the parameter block
};

struct SharedVariable {
  std::string name;
  std::uint32_t bytes = 0;
  std::uint32_t align = 1;
  std::uint32_t offset = 0;
  bool common = false;  ///< used by a device function, so its place is the same for every kernel
};

/// A piece of a variable's initial value (see ast::Initial).
struct InitialPiece {
  std::uint64_t offset = 0;
  std::uint64_t value = 0;
  std::uint32_t bytes = 0;
  std::uint32_t shift = 0;
  enum class Symbol : std::uint8_t { none, variable, function } symbol = Symbol::none;
  std::uint32_t index = 0;
};

struct Program final : Module {
  std::string text;
  std::vector<Function> functions;
  std::vector<SharedVariable> shared;
  std::vector<Variable> variable_list;
  std::vector<std::vector<InitialPiece>> initial;
  std::vector<KernelInfo> kernel_list;
  std::vector<std::uint32_t> kernel_functions;  ///< function index of each kernel
  std::vector<std::optional<Diagnostic>> kernel_broken;

  std::span<const KernelInfo> kernels() const noexcept override { return kernel_list; }
  std::span<const Variable> variables() const noexcept override { return variable_list; }
  const Diagnostic* broken(std::uint32_t kernel) const noexcept override {
    if (kernel >= kernel_broken.size() || !kernel_broken[kernel]) return nullptr;
    return &*kernel_broken[kernel];
  }
  void link(std::span<const std::uint64_t> addresses) override;
};

constexpr std::uint64_t function_address(std::uint32_t index) noexcept {
  return kFunctionWindow + (std::uint64_t{index} + 1) * 16;
}

}  // namespace vgpu::softgpu::ptx
