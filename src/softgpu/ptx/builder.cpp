#include "softgpu/ptx/builder.hpp"

#include <algorithm>
#include <cstring>

#include "softgpu/ptx/parser.hpp"
#include "softgpu/ptx/registers.hpp"

namespace vgpu::softgpu::ptx {
namespace {

constexpr std::uint32_t round_up(std::uint32_t value, std::uint32_t align) noexcept {
  return (value + align - 1) / align * align;
}

}  // namespace

std::uint32_t layout(const ast::Signature& signature, std::vector<Stretch>& returns, std::vector<Stretch>& parameters) {
  std::uint32_t at = 0;
  const auto place = [&](const std::vector<ast::Declaration>& from, std::vector<Stretch>& to) {
    for (const ast::Declaration& one : from) {
      at = round_up(at, std::max<std::uint32_t>(1, std::min<std::uint32_t>(one.align, 64)));
      to.push_back({at, static_cast<std::uint32_t>(one.bytes)});
      at += static_cast<std::uint32_t>(one.bytes);
    }
  };
  place(signature.returns, returns);
  place(signature.parameters, parameters);
  return at;
}

void Builder::refuse(std::string message) const {
  throw Refusal{std::move(message), now_ != nullptr ? now_->place : tree_.place};
}

void Builder::need_operands(std::size_t count) const {
  if (now_->operands.size() != count) refuse("wrong number of operands");
}

void Builder::build() {
  levels_.emplace_back();
  parameters();
  for (const ast::Statement& statement : tree_.body) {
    now_ = nullptr;
    if (const auto* one = std::get_if<ast::Instruction>(&statement)) {
      decode(*one);
    } else if (const auto* declaration = std::get_if<ast::Declaration>(&statement)) {
      declare(*declaration);
    } else if (const auto* label = std::get_if<ast::Label>(&statement)) {
      levels_.back().labels[label->name] = static_cast<std::uint32_t>(out_.code.size());
    } else if (const auto* scope = std::get_if<ast::Scope>(&statement)) {
      if (scope->open) {
        levels_.emplace_back().local = local_;
      } else {
        close_level();
      }
    } else if (const auto* targets = std::get_if<ast::Targets>(&statement)) {
      levels_.back().targets[targets->name] = targets->labels;
    } else if (const auto* prototype = std::get_if<ast::Prototype>(&statement)) {
      prototypes_[prototype->name] = prototype;
    }
  }
  now_ = nullptr;
  guard_ = kNoRef;
  emit(Flow::ret);  // a body may end without one; a label may stand at the very end
  close_level();
  out_.register_bytes = register_bytes_;
  out_.registers = held_registers(out_);
  if (out_.max_threads != 0) {
    // Launch bounds are a promise: the block fits the 65536 registers of a multiprocessor.
    out_.registers = std::min(out_.registers, 65536 / round_up(out_.max_threads, kLanes));
  }
  out_.local_bytes = round_up(out_.local_bytes, 64);
}

void Builder::parameters() {
  if (tree_.entry) {
    // The layout of a kernel's parameter block: each at the next multiple of its alignment.
    std::uint32_t at = 0;
    for (const ast::Declaration& one : tree_.signature.parameters) {
      at = round_up(at, std::max<std::uint32_t>(1, one.align));
      const Stretch stretch{at, static_cast<std::uint32_t>(one.bytes)};
      out_.parameters.push_back(stretch);
      levels_.back().names[one.name] = {Symbol::Kind::kernel_param, one.type, kNoRef, stretch.offset, stretch.bytes};
      at += stretch.bytes;
    }
    return;
  }
  local_ = layout(tree_.signature, out_.returns, out_.parameters);
  out_.local_bytes = local_;
  const auto name = [&](const std::vector<ast::Declaration>& from, const std::vector<Stretch>& at) {
    for (std::size_t i = 0; i < from.size(); ++i) {
      levels_.back().names[from[i].name] = {Symbol::Kind::frame, from[i].type, kNoRef, at[i].offset, at[i].bytes};
    }
  };
  name(tree_.signature.returns, out_.returns);
  name(tree_.signature.parameters, out_.parameters);
}

std::uint32_t Builder::place_local(std::uint64_t bytes, std::uint32_t align) {
  local_ = round_up(local_, std::max<std::uint32_t>(1, std::min<std::uint32_t>(align, 64)));
  const std::uint32_t at = local_;
  if (bytes > kMaxLocalBytes - std::min(local_, kMaxLocalBytes)) refuse("the function needs too much local memory");
  local_ += static_cast<std::uint32_t>(bytes);
  out_.local_bytes = std::max(out_.local_bytes, local_);
  return at;
}

void Builder::declare(const ast::Declaration& declaration) {
  Level& level = levels_.back();
  Symbol symbol;
  symbol.type = declaration.type;
  symbol.bytes = static_cast<std::uint32_t>(declaration.bytes);
  switch (declaration.space) {
    case Space::reg:
      if (declaration.vector > 1) throw Refusal{"vector registers are not carried", declaration.place};
      if (declaration.type == Type::b128) throw Refusal{"128-bit registers are not carried", declaration.place};
      if (declaration.register_count != 0) {
        level.ranges.push_back({declaration.name, declaration.register_count, declaration.type});
        return;
      }
      break;
    case Space::local:
    case Space::param:
      symbol.kind = Symbol::Kind::frame;
      symbol.offset = place_local(declaration.bytes, declaration.align);
      break;
    case Space::shared:
      if (declaration.external || declaration.bytes == 0) {
        symbol.kind = Symbol::Kind::dynamic_shared;
      } else {
        symbol.kind = Symbol::Kind::shared;
        symbol.offset = static_cast<std::uint32_t>(program_.shared.size());
        program_.shared.push_back({std::string(declaration.name), symbol.bytes, declaration.align, 0, false});
      }
      break;
    default:
      throw Refusal{"a variable of this space inside a function is not carried", declaration.place};
  }
  level.names[declaration.name] = symbol;
}

void Builder::close_level() {
  Level level = std::move(levels_.back());
  levels_.pop_back();
  for (Jump& jump : level.jumps) {
    const auto found = level.labels.find(jump.label);
    if (found == level.labels.end()) {
      if (levels_.empty()) {
        throw Refusal{"no label '" + std::string(jump.label.substr(0, 80)) + "' in this function", jump.place};
      }
      levels_.back().jumps.push_back(jump);
    } else if (jump.table == kNoRef) {
      out_.code[jump.index].target = found->second;
    } else {
      out_.tables[jump.table][jump.index] = found->second;
    }
  }
  if (!levels_.empty()) local_ = level.local;
}

void Builder::decode(const ast::Instruction& instruction) {
  now_ = &instruction;
  out_.sources.push_back({instruction.place.line, instruction.place.column, instruction.text});
  guard_ = kNoRef;
  if (!instruction.guard.empty()) {
    ast::Operand guard;
    guard.name = instruction.guard;
    const Ref ref = read_predicate(guard);
    guard_ = ref;
  }
  static constexpr Decoder kDecoders[] = {decode_memory,  decode_integer, decode_float,   decode_move,  decode_compare,
                                          decode_bits,    decode_control, decode_convert, decode_carry, decode_half,
                                          decode_math,    decode_atomic,  decode_warp,    decode_async, decode_texture,
                                          decode_surface, decode_pack,    decode_video,   decode_stack};
  bool known = false;
  for (const Decoder decoder : kDecoders) {
    Words words(instruction);
    known = decoder(*this, words);
    if (!known) continue;
    if (!words.left().empty()) refuse("the modifier '." + std::string(words.left()) + "' is not carried here");
    break;
  }
  if (!known) refuse("the instruction '" + std::string(instruction.opcode) + "' is not carried for this type");
  for (const Extension& extension : extensions_) {
    emit(extension_handler(extension.type), extension.to, extension.from);
  }
  extensions_.clear();
}

Insn& Builder::emit(Handler run, Ref d, Ref a, Ref b, Ref c, Ref e) {
  if (run == nullptr) refuse("the instruction is not carried for this type");
  if (out_.code.size() >= (1u << 27)) refuse("the function is too long");
  Insn& in = out_.code.emplace_back();
  in.run = run;
  in.d = d;
  in.a = a;
  in.b = b;
  in.c = c;
  in.e = e;
  in.guard = guard_;
  in.guard_inverted = now_ != nullptr && now_->guard_inverted;
  in.source = out_.sources.empty() ? 0 : static_cast<std::uint32_t>(out_.sources.size() - 1);
  if (out_.sources.empty()) out_.sources.emplace_back();
  return in;
}

Insn& Builder::emit(Flow flow) {
  static constexpr Handler kNothing = [](Warp&, const Insn&, std::uint32_t) {};
  Insn& in = emit(kNothing);
  in.flow = flow;
  return in;
}

void Builder::branch_to(std::string_view label) {
  levels_.back().jumps.push_back({label, kNoRef, static_cast<std::uint32_t>(out_.code.size() - 1), now_->place});
}

std::uint32_t Builder::table(std::string_view name) {
  for (std::size_t i = levels_.size(); i-- > 0;) {
    const auto found = levels_[i].targets.find(name);
    if (found == levels_[i].targets.end()) continue;
    const auto number = static_cast<std::uint32_t>(out_.tables.size());
    out_.tables.emplace_back(found->second.size());
    for (std::uint32_t k = 0; k < found->second.size(); ++k) {
      levels_.back().jumps.push_back({found->second[k], number, k, now_->place});
    }
    return number;
  }
  refuse("no .branchtargets '" + std::string(name) + "' before this");
}

const ast::Signature* Builder::prototype(std::string_view name) const {
  const auto found = prototypes_.find(name);
  return found == prototypes_.end() ? nullptr : &found->second->signature;
}

}  // namespace vgpu::softgpu::ptx
