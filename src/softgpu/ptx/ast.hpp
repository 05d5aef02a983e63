#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "softgpu/ptx/types.hpp"

/// What the parser makes of a text. Every string_view points into the text, which outlives it.
namespace vgpu::softgpu::ptx::ast {

struct Place {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

struct Operand {
  enum class Kind : std::uint8_t {
    name,     ///< name, maybe with member (".x") and value (offset)
    integer,  ///< value
    float32,  ///< value: bits
    float64,  ///< value: bits
    address,  ///< [name + value], or [value] when name is empty
    vector,   ///< {items}
    list,     ///< (items)
  };
  Kind kind = Kind::name;
  bool inverted = false;  ///< !name
  std::string_view name;
  std::string_view member;  ///< x, y, z, w of a special register or a vector
  std::string_view second;  ///< q of p|q
  std::uint64_t value = 0;
  std::vector<Operand> items;
  Place place;
};

struct Instruction {
  std::string_view text;  ///< as written, from the guard to the semicolon
  std::string_view guard;
  bool guard_inverted = false;
  std::string_view opcode;
  std::vector<std::string_view> modifiers;
  std::vector<Operand> operands;
  Place place;
};

/// One piece of an initial value.
struct Initial {
  std::uint64_t offset = 0;  ///< bytes from the variable's start
  std::uint64_t value = 0;   ///< little-endian, or the addend of a symbol
  std::string_view symbol;   ///< variable or function whose address it is; empty if none
  std::uint32_t bytes = 0;
  std::uint32_t shift = 0;  ///< of the symbol's address, for the mask operators of byte initialisers
};

struct Declaration {
  Space space = Space::reg;
  Type type = Type::none;
  std::uint32_t align = 1;
  std::uint32_t vector = 1;          ///< elements of .v2, .v4
  std::uint64_t bytes = 0;           ///< of the whole variable; 0 for an unsized extern array
  std::uint32_t register_count = 0;  ///< of %r<N>; 0 for a plain name
  bool external = false;
  bool managed = false;    ///< .attribute(.managed)
  bool is_static = false;  ///< no linkage directive: private to the text
  bool weak = false;
  std::string_view name;
  std::vector<Initial> initial;
  Place place;
};

struct Label {
  std::string_view name;
  Place place;
};
struct Scope {
  bool open = false;
};
struct Targets {
  std::string_view name;
  std::vector<std::string_view> labels;
  Place place;
};
struct Signature {
  std::vector<Declaration> returns;
  std::vector<Declaration> parameters;
};
struct Prototype {
  std::string_view name;
  Signature signature;
  Place place;
};

using Statement = std::variant<Instruction, Declaration, Label, Scope, Targets, Prototype>;

struct Function {
  std::string_view name;
  bool entry = false;
  bool defined = false;
  bool external = false;
  bool is_static = false;  ///< no linkage directive: private to the text
  bool weak = false;
  Signature signature;
  std::uint32_t max_threads = 0;  ///< from .maxntid or .reqntid; 0 if absent
  std::vector<Statement> body;
  Place place;
};

struct Alias {
  std::string_view name;
  std::string_view target;
  Place place;
};

struct Module {
  std::uint32_t target = 0;  ///< 75 for .target sm_75; 0 if it says none
  std::vector<Declaration> variables;
  std::vector<Function> functions;
  std::vector<Alias> aliases;
};

}  // namespace vgpu::softgpu::ptx::ast
