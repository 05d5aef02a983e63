#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "softgpu/ptx/ast.hpp"
#include "softgpu/ptx/program.hpp"

/// Turns the syntax tree of one function into instructions.
namespace vgpu::softgpu::ptx {

/// Thrown inside the decoder: the function has something that is not carried. compile() turns it into a Diagnostic.
struct Refusal {
  std::string message;
  ast::Place place;
};

/// The modifiers of an instruction. Each must be taken by the decoder that knows what it means: what is left over when
/// the instruction has been decoded refuses it, so that no modifier is ever ignored by accident.
class Words {
 public:
  explicit Words(const ast::Instruction& in) : in_(&in) {}
  const ast::Instruction& instruction() const noexcept { return *in_; }
  bool take(std::string_view word) noexcept;
  bool has(std::string_view word) const noexcept;
  /// The next modifier that is a type; Type::none if there is none left.
  Type take_type() noexcept;
  /// The first modifier that is not taken; empty if none is left.
  std::string_view left() const noexcept;
  /// Takes and returns the first modifier that is not taken.
  std::string_view take_any() noexcept;

 private:
  const ast::Instruction* in_;
  std::uint32_t taken_ = 0;
};

/// Names that all functions of a module see.
struct ModuleNames {
  struct Entry {
    enum class Kind : std::uint8_t { variable, shared, dynamic_shared, function };
    Kind kind = Kind::variable;
    std::uint32_t index = 0;
  };
  std::unordered_map<std::string_view, Entry> names;
};

struct Address {
  enum class Kind : std::uint8_t {
    computed,      ///< the operand's value plus offset
    kernel_param,  ///< offset in the kernel's parameters
    frame,         ///< offset in the frame's local memory
  };
  Kind kind = Kind::computed;
  Ref ref = kNoRef;
  bool wide = true;
  std::uint64_t offset = 0;
};

class Builder {
 public:
  Builder(Program& program, const ModuleNames& names, const ast::Function& tree, Function& out)
      : program_(program), names_(names), tree_(tree), out_(out) {}
  /// Throws Refusal.
  void build();
  /// The instruction being decoded, null outside of one.
  const ast::Instruction* instruction() const noexcept { return now_; }

  // Operands. A wider register than the type is narrowed or extended by an instruction of its own.
  Ref read(const ast::Operand& operand, Type type);
  Ref write(const ast::Operand& operand, Type type);
  Ref read_predicate(const ast::Operand& operand);
  Ref write_predicate(std::string_view name);
  Ref constant(std::uint64_t bits, bool wide);
  Ref temporary(bool wide);
  Ref temporary_predicate();
  /// The function's carry flag.
  Ref carry_flag();
  Address address(const ast::Operand& operand);
  /// The declared type of a register operand, none if it is not a register.
  Type register_type(const ast::Operand& operand);
  /// The bits of an immediate as a value of the type.
  std::uint64_t immediate(const ast::Operand& operand, Type type) const;

  /// Appends an instruction with the guard and the place of the one being decoded.
  Insn& emit(Handler run, Ref d = kNoRef, Ref a = kNoRef, Ref b = kNoRef, Ref c = kNoRef, Ref e = kNoRef);
  Insn& emit(Flow flow);
  void branch_to(std::string_view label);
  /// The instruction indices of a .branchtargets list, known once the function is complete; returns the table's number.
  std::uint32_t table(std::string_view name);
  [[noreturn]] void refuse(std::string message) const;
  void need(bool condition, const char* message) const {
    if (!condition) refuse(message);
  }
  void need_operands(std::size_t count) const;

  Function& out() noexcept { return out_; }
  const ModuleNames& names() const noexcept { return names_; }
  /// The place of a .param variable of this function in the frame.
  Stretch frame_variable(const ast::Operand& operand);
  const ast::Signature* prototype(std::string_view name) const;
  /// Whether the module holds the function's body, so that it is not one that the CUDA runtime offers.
  bool has_body(std::uint32_t function) const { return program_.functions[function].defined; }
  bool is_entry() const noexcept { return tree_.entry; }

 private:
  struct Symbol {
    enum class Kind : std::uint8_t { reg, frame, kernel_param, shared, dynamic_shared };
    Kind kind = Kind::reg;
    Type type = Type::none;
    Ref ref = kNoRef;
    std::uint32_t offset = 0;
    std::uint32_t bytes = 0;
  };
  struct Range {
    std::string_view prefix;
    std::uint32_t count;
    Type type;
  };
  struct Jump {
    std::string_view label;
    std::uint32_t table;  ///< kNoRef: the instruction's own target
    std::uint32_t index;
    ast::Place place;
  };
  struct Level {
    std::unordered_map<std::string_view, Symbol> names;
    std::vector<Range> ranges;
    std::unordered_map<std::string_view, std::uint32_t> labels;
    std::unordered_map<std::string_view, std::vector<std::string_view>> targets;
    std::vector<Jump> jumps;
    std::uint32_t local = 0;
  };

  void parameters();
  void declare(const ast::Declaration& declaration);
  void decode(const ast::Instruction& instruction);
  void close_level();
  Symbol* find(std::string_view name);
  Ref allocate(Type type);
  std::uint32_t place_local(std::uint64_t bytes, std::uint32_t align);
  Ref special(const ast::Operand& operand);
  Ref symbol_address(const ast::Operand& operand, bool wide);
  Ref adapt(Ref ref, Type declared, Type wanted);

  Program& program_;
  const ModuleNames& names_;
  const ast::Function& tree_;
  Function& out_;
  const ast::Instruction* now_ = nullptr;
  std::vector<Level> levels_;
  std::unordered_map<std::string_view, const ast::Prototype*> prototypes_;
  std::unordered_map<std::uint64_t, Ref> wide_constants_, narrow_constants_;
  struct Extension {
    Ref to, from;
    Type type;
  };
  std::vector<Extension> extensions_;
  std::uint32_t register_bytes_ = 0;
  std::uint32_t predicate_chunk_ = 0, predicates_left_ = 0;
  std::uint32_t local_ = 0;
  Ref guard_ = kNoRef;
  Ref carry_ = kNoRef;
};

/// Lays a signature's variables out in the callee's frame (not for kernels): results first, then arguments.
std::uint32_t layout(const ast::Signature& signature, std::vector<Stretch>& returns, std::vector<Stretch>& parameters);

/// Each decoder knows a family of instructions. False: not its own.
using Decoder = bool (*)(Builder&, Words&);
bool decode_integer(Builder& b, Words& w);
bool decode_bits(Builder& b, Words& w);
bool decode_carry(Builder& b, Words& w);
bool decode_float(Builder& b, Words& w);
bool decode_half(Builder& b, Words& w);
bool decode_math(Builder& b, Words& w);
bool decode_compare(Builder& b, Words& w);
bool decode_convert(Builder& b, Words& w);
bool decode_move(Builder& b, Words& w);
bool decode_memory(Builder& b, Words& w);
bool decode_atomic(Builder& b, Words& w);
bool decode_control(Builder& b, Words& w);
bool decode_warp(Builder& b, Words& w);
bool decode_async(Builder& b, Words& w);
bool decode_pack(Builder& b, Words& w);
bool decode_stack(Builder& b, Words& w);
bool decode_video(Builder& b, Words& w);
bool decode_texture(Builder& b, Words& w);
bool decode_surface(Builder& b, Words& w);

/// Handlers that the builder itself needs.
Handler extension_handler(Type narrow) noexcept;  ///< 32-bit operand to 64-bit operand
Handler narrowing_handler() noexcept;             ///< 64-bit operand to 32-bit operand
Handler local_address_handler(bool wide) noexcept;
/// Registers that must be read at the time: clocks, timers, masks of active lanes. Null if the name is none of them.
Handler special_handler(std::string_view name, bool& wide) noexcept;

}  // namespace vgpu::softgpu::ptx
