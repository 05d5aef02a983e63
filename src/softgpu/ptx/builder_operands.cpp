#include <bit>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/machine.hpp"

namespace vgpu::softgpu::ptx {
namespace {

using Kind = ast::Operand::Kind;

Ref special_ref(std::size_t offset) noexcept { return make_ref(Base::specials, static_cast<std::uint32_t>(offset)); }

/// The special registers that hold still while a block runs (PTX ISA, "Special Registers"). A grid is one cluster of
/// single blocks, as the real GPU has it without a cluster launch.
Ref steady_special(std::string_view name, std::string_view member) noexcept {
  const std::size_t axis = member == "x" ? 0 : member == "y" ? 1 : member == "z" ? 2 : member == "w" ? 3 : 4;
  const auto vector = [&](std::size_t offset) { return axis < 4 ? special_ref(offset + axis * kNarrow) : kNoRef; };
  if (name == "%tid") return vector(offsetof(Specials, tid));
  if (name == "%ntid") return vector(offsetof(Specials, ntid));
  if (name == "%ctaid" || name == "%clusterid") return vector(offsetof(Specials, ctaid));
  if (name == "%nctaid" || name == "%nclusterid") return vector(offsetof(Specials, nctaid));
  if (name == "%cluster_ctaid") return axis < 4 ? special_ref(offsetof(Specials, zero)) : kNoRef;
  if (name == "%cluster_nctaid") return axis < 4 ? special_ref(offsetof(Specials, one)) : kNoRef;
  if (!member.empty()) return kNoRef;
  struct Entry {
    std::string_view name;
    std::size_t offset;
  };
  static constexpr Entry kEntries[] = {
      {"%laneid", offsetof(Specials, laneid)},
      {"%warpid", offsetof(Specials, warpid)},
      {"%nwarpid", offsetof(Specials, nwarpid)},
      {"%smid", offsetof(Specials, smid)},
      {"%nsmid", offsetof(Specials, nsmid)},
      {"%lanemask_eq", offsetof(Specials, lanemask_eq)},
      {"%lanemask_le", offsetof(Specials, lanemask_le)},
      {"%lanemask_lt", offsetof(Specials, lanemask_lt)},
      {"%lanemask_ge", offsetof(Specials, lanemask_ge)},
      {"%lanemask_gt", offsetof(Specials, lanemask_gt)},
      {"%dynamic_smem_size", offsetof(Specials, dynamic_smem_size)},
      {"%total_smem_size", offsetof(Specials, total_smem_size)},
      {"%aggr_smem_size", offsetof(Specials, total_smem_size)},
      {"%envreg1", offsetof(Specials, envreg1)},
      {"%envreg2", offsetof(Specials, envreg2)},
      {"%cluster_ctarank", offsetof(Specials, zero)},
      {"%cluster_nctarank", offsetof(Specials, one)},
      {"%reserved_smem_offset_begin", offsetof(Specials, reserved_begin)},
      {"%reserved_smem_offset_0", offsetof(Specials, reserved_first)},
      {"%reserved_smem_offset_1", offsetof(Specials, reserved_second)},
      {"%reserved_smem_offset_end", offsetof(Specials, reserved_end)},
      {"%reserved_smem_offset_cap", offsetof(Specials, reserved_end)},
  };
  for (const Entry& entry : kEntries) {
    if (entry.name == name) return special_ref(entry.offset);
  }
  return kNoRef;
}

}  // namespace

Ref Builder::allocate(Type type) {
  if (register_bytes_ > kMaxOperandBytes) refuse("the function uses too many registers");
  if (type == Type::pred) {
    if (predicates_left_ == 0) {
      predicate_chunk_ = register_bytes_;
      register_bytes_ += kNarrow;
      predicates_left_ = kNarrow / 4;
    }
    --predicates_left_;
    return make_ref(Base::registers, predicate_chunk_ + predicates_left_ * 4);
  }
  const Ref ref = make_ref(Base::registers, register_bytes_);
  register_bytes_ += bytes_of(type) == 8 ? kWide : kNarrow;
  return ref;
}

Ref Builder::temporary(bool wide) { return allocate(wide ? Type::b64 : Type::b32); }
Ref Builder::temporary_predicate() { return allocate(Type::pred); }
Ref Builder::carry_flag() {
  if (carry_ == kNoRef) carry_ = allocate(Type::pred);
  return carry_;
}

Builder::Symbol* Builder::find(std::string_view name) {
  for (std::size_t i = levels_.size(); i-- > 0;) {
    Level& level = levels_[i];
    const auto found = level.names.find(name);
    if (found != level.names.end()) {
      Symbol& symbol = found->second;
      if (symbol.kind == Symbol::Kind::reg && symbol.ref == kNoRef) symbol.ref = allocate(symbol.type);
      return &symbol;
    }
    if (level.ranges.empty()) continue;
    std::size_t digits = name.size();
    while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') --digits;
    // %r<10> names %r0 to %r9; a prefix may itself end in a digit (%f1<3>), so each split is tried.
    for (const Range& range : level.ranges) {
      if (range.prefix.size() < digits || range.prefix.size() >= name.size() || !name.starts_with(range.prefix))
        continue;
      const std::string_view number = name.substr(range.prefix.size());
      std::uint32_t index = 0;
      const auto result = std::from_chars(number.data(), number.data() + number.size(), index);
      if (result.ec != std::errc{} || result.ptr != number.data() + number.size() || index >= range.count) continue;
      if (number.size() > 1 && number[0] == '0') continue;
      Symbol symbol;
      symbol.type = range.type;
      symbol.ref = allocate(range.type);
      return &(level.names[name] = symbol);
    }
  }
  return nullptr;
}

Ref Builder::constant(std::uint64_t bits, bool wide) {
  if (!wide) bits &= 0xffffffffu;
  auto& known = wide ? wide_constants_ : narrow_constants_;
  if (const auto found = known.find(bits); found != known.end()) return found->second;
  const auto offset = static_cast<std::uint32_t>(out_.constants.size());
  if (offset > kMaxOperandBytes) refuse("the function uses too many constants");
  out_.constants.resize(offset + (wide ? kWide : kNarrow));
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    if (wide) {
      std::memcpy(out_.constants.data() + offset + lane * 8, &bits, 8);
    } else {
      std::memcpy(out_.constants.data() + offset + lane * 4, &bits, 4);
    }
  }
  const Ref ref = make_ref(Base::constants, offset);
  known.emplace(bits, ref);
  return ref;
}

std::uint64_t Builder::immediate(const ast::Operand& operand, Type type) const {
  double number = 0;
  switch (operand.kind) {
    case Kind::integer:
      // An integer where a float is wanted means its value; where bits are wanted, its bits.
      if (type != Type::f32 && type != Type::f64) {
        const std::uint32_t bytes = bytes_of(type);
        if (bytes >= 4 || bytes == 0) return operand.value;
        const unsigned shift = 64 - 8 * bytes;
        if (is_signed(type))
          return static_cast<std::uint64_t>(static_cast<std::int64_t>(operand.value << shift) >> shift);
        return operand.value << shift >> shift;
      }
      number = static_cast<double>(static_cast<std::int64_t>(operand.value));
      break;
    case Kind::float32:
      if (bytes_of(type) == 4) return operand.value;
      number = static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(operand.value)));
      break;
    case Kind::float64:
      if (type == Type::b64 || type == Type::f64) return operand.value;
      number = std::bit_cast<double>(operand.value);
      break;
    default:
      refuse("expected a number");
  }
  if (type == Type::f64 || type == Type::b64) return std::bit_cast<std::uint64_t>(number);
  if (type == Type::f32 || type == Type::b32) return std::bit_cast<std::uint32_t>(static_cast<float>(number));
  refuse("this immediate does not fit the instruction's type");
}

Type Builder::register_type(const ast::Operand& operand) {
  if (operand.kind != Kind::name) return Type::none;
  if (const Symbol* symbol = find(operand.name); symbol != nullptr && symbol->kind == Symbol::Kind::reg)
    return symbol->type;
  if (operand.name.starts_with('%')) {
    bool wide = false;
    if (special_handler(operand.name, wide) != nullptr) return wide ? Type::u64 : Type::u32;
    if (operand.name == "%gridid") return Type::u64;
    if (steady_special(operand.name, operand.member) != kNoRef) return Type::u32;
  }
  return Type::none;
}

Ref Builder::adapt(Ref ref, Type declared, Type wanted) {
  const bool have_wide = bytes_of(declared) == 8;
  const bool want_wide = bytes_of(wanted) == 8;
  if (have_wide == want_wide) return ref;
  // PTX ISA 9.4.1: only these may name registers wider than their type.
  if (now_ != nullptr && now_->opcode != "ld" && now_->opcode != "ldu" && now_->opcode != "st" && now_->opcode != "cvt")
    refuse("a register's size is not the instruction's");
  const Ref out = temporary(want_wide);
  emit(want_wide ? extension_handler(Type::u32) : narrowing_handler(), out, ref);
  return out;
}

Ref Builder::special(const ast::Operand& operand) {
  if (operand.name == "%gridid") return special_ref(offsetof(Specials, gridid));
  if (operand.name.starts_with("%reserved_smem")) out_.uses_reserved_shared = true;
  if (operand.name.starts_with("%envreg")) {
    if (operand.name == "%envreg1" || operand.name == "%envreg2") out_.uses_grid_workspace = true;
  }
  const Ref steady = steady_special(operand.name, operand.member);
  if (steady != kNoRef) return steady;
  bool wide = false;
  if (const Handler handler = special_handler(operand.name, wide); handler != nullptr && operand.member.empty()) {
    const Ref out = temporary(wide);
    emit(handler, out);
    return out;
  }
  return kNoRef;
}

Ref Builder::read(const ast::Operand& operand, Type type) {
  const bool wide = bytes_of(type) == 8;
  if (operand.inverted) refuse("only a predicate can be inverted");
  if (operand.kind != Kind::name) {
    if (operand.kind == Kind::vector || operand.kind == Kind::list || operand.kind == Kind::address) {
      refuse("this form of operand is not carried here");
    }
    return constant(immediate(operand, type), wide);
  }
  if (!operand.second.empty()) refuse("this form of operand is not carried here");
  if (const Symbol* symbol = find(operand.name); symbol != nullptr && symbol->kind == Symbol::Kind::reg) {
    if (symbol->type == Type::pred) refuse("a predicate can't stand here");
    if (!operand.member.empty() || operand.value != 0) refuse("this form of operand is not carried here");
    if (wide && bytes_of(symbol->type) != 8) refuse("the register '" + std::string(operand.name) + "' is too small");
    if (bytes_of(type) == 4 && bytes_of(symbol->type) < 4) {
      refuse("the register '" + std::string(operand.name) + "' is too small");
    }
    return adapt(symbol->ref, symbol->type, type);
  }
  if (operand.name.starts_with('%')) {
    if (const Ref ref = special(operand); ref != kNoRef) return adapt(ref, register_type(operand), type);
  }
  return symbol_address(operand, wide);
}

Ref Builder::symbol_address(const ast::Operand& operand, bool wide) {
  const auto fixed = [&](Fixup::Kind kind, std::uint32_t index) {
    const auto offset = static_cast<std::uint32_t>(out_.constants.size());
    if (offset > kMaxOperandBytes) refuse("the function uses too many constants");
    out_.constants.resize(offset + (wide ? kWide : kNarrow));
    out_.fixups.push_back({kind, wide, index, offset, operand.value});
    return make_ref(Base::constants, offset);
  };
  const auto dynamic = [&] {
    const Ref start = special_ref(wide ? offsetof(Specials, dynamic_shared_wide) : offsetof(Specials, dynamic_shared));
    if (operand.value == 0) return start;
    refuse("an offset from an unsized shared array is not carried here");
  };
  if (const Symbol* symbol = find(operand.name); symbol != nullptr) {
    switch (symbol->kind) {
      case Symbol::Kind::frame: {
        const Ref out = temporary(wide);
        emit(local_address_handler(wide), out).imm = symbol->offset + operand.value;
        return out;
      }
      case Symbol::Kind::kernel_param:
        need(wide, "the address of a parameter needs 64 bits");
        return constant(kParamWindow + symbol->offset + operand.value, true);
      case Symbol::Kind::shared:
        return fixed(Fixup::Kind::shared, symbol->offset);
      case Symbol::Kind::dynamic_shared:
        return dynamic();
      case Symbol::Kind::reg:
        break;
    }
  }
  const auto found = names_.names.find(operand.name);
  if (found == names_.names.end()) refuse("'" + std::string(operand.name.substr(0, 80)) + "' is not declared");
  switch (found->second.kind) {
    case ModuleNames::Entry::Kind::variable:
      need(wide, "the address of a variable needs 64 bits");
      return fixed(Fixup::Kind::variable, found->second.index);
    case ModuleNames::Entry::Kind::shared:
      return fixed(Fixup::Kind::shared, found->second.index);
    case ModuleNames::Entry::Kind::dynamic_shared:
      return dynamic();
    case ModuleNames::Entry::Kind::function:
      need(wide, "the address of a function needs 64 bits");
      out_.callees.push_back(found->second.index);
      return constant(function_address(found->second.index), true);
  }
  return kNoRef;
}

Ref Builder::write(const ast::Operand& operand, Type type) {
  if (operand.kind != Kind::name || operand.value != 0 || !operand.member.empty()) refuse("expected a register");
  if (operand.name == "_") return temporary(bytes_of(type) == 8);
  const Symbol* symbol = find(operand.name);
  if (symbol == nullptr || symbol->kind != Symbol::Kind::reg) {
    refuse("'" + std::string(operand.name.substr(0, 80)) + "' is not a register");
  }
  if (symbol->type == Type::pred) refuse("a predicate can't stand here");
  if (bytes_of(symbol->type) < bytes_of(type)) refuse("the register '" + std::string(operand.name) + "' is too small");
  const bool wide = bytes_of(type) == 8;
  if (wide || bytes_of(symbol->type) != 8) return symbol->ref;
  const Ref out = temporary(false);
  extensions_.push_back({symbol->ref, out, type});
  return out;
}

Ref Builder::read_predicate(const ast::Operand& operand) {
  if (operand.kind == Kind::integer && !operand.inverted) {
    const std::uint32_t bits = operand.value != 0 ? kAllLanes : 0;
    return constant(bits, false);
  }
  if (operand.kind != Kind::name || !operand.member.empty() || operand.value != 0) refuse("expected a predicate");
  if (operand.name == "%is_explicit_cluster") return special_ref(offsetof(Specials, never));
  const Symbol* symbol = find(operand.name);
  if (symbol == nullptr || symbol->kind != Symbol::Kind::reg || symbol->type != Type::pred) {
    refuse("'" + std::string(operand.name.substr(0, 80)) + "' is not a predicate");
  }
  return symbol->ref;
}

Ref Builder::write_predicate(std::string_view name) {
  if (name == "_" || name.empty()) return kNoRef;
  const Symbol* symbol = find(name);
  if (symbol == nullptr || symbol->kind != Symbol::Kind::reg || symbol->type != Type::pred) {
    refuse("'" + std::string(name.substr(0, 80)) + "' is not a predicate");
  }
  return symbol->ref;
}

Stretch Builder::frame_variable(const ast::Operand& operand) {
  const Symbol* symbol = operand.kind == Kind::name ? find(operand.name) : nullptr;
  if (symbol == nullptr || symbol->kind != Symbol::Kind::frame || operand.value != 0) {
    refuse("expected a .param variable");
  }
  return {symbol->offset, symbol->bytes};
}

Address Builder::address(const ast::Operand& operand) {
  if (operand.kind != Kind::address || !operand.items.empty()) refuse("this form of address is not carried");
  if (operand.name.empty()) return {Address::Kind::computed, constant(operand.value, true), true, 0};
  if (const Symbol* symbol = find(operand.name); symbol != nullptr) {
    if (symbol->kind == Symbol::Kind::reg) {
      if (bytes_of(symbol->type) != 4 && bytes_of(symbol->type) != 8) refuse("an address needs 32 or 64 bits");
      return {Address::Kind::computed, symbol->ref, bytes_of(symbol->type) == 8, operand.value};
    }
    if (symbol->kind == Symbol::Kind::kernel_param) {
      return {Address::Kind::kernel_param, kNoRef, true, symbol->offset + operand.value};
    }
    if (symbol->kind == Symbol::Kind::frame) {
      return {Address::Kind::frame, kNoRef, true, symbol->offset + operand.value};
    }
  }
  ast::Operand base;
  base.name = operand.name;
  base.place = operand.place;
  return {Address::Kind::computed, symbol_address(base, true), true, operand.value};
}

}  // namespace vgpu::softgpu::ptx
