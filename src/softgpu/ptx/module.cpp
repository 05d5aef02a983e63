#include <algorithm>
#include <cstring>
#include <new>

#include "softgpu/ptx/builder.hpp"
#include "softgpu/ptx/parser.hpp"

namespace vgpu::softgpu::ptx {
namespace {

using Names = ModuleNames::Entry;

Diagnostic diagnostic_at(ast::Place place, std::string function, std::string message) {
  Diagnostic out;
  out.message = std::move(message);
  out.function = std::move(function);
  out.line = place.line;
  out.column = place.column;
  return out;
}

class Compiler {
 public:
  explicit Compiler(std::string_view text) : program_(std::make_unique<Program>()) { program_->text = text; }

  std::variant<std::unique_ptr<Module>, Diagnostic> compile() {
    auto parsed = Parser(program_->text).parse();
    if (auto* diagnostic = std::get_if<Diagnostic>(&parsed)) return std::move(*diagnostic);
    tree_ = std::move(std::get<ast::Module>(parsed));
    if (!declare_variables() || !declare_functions() || !initial_values()) return std::move(failure_);
    decode_functions();
    lay_out_shared();
    describe_kernels();
    return std::unique_ptr<Module>(std::move(program_));
  }

 private:
  bool fail(ast::Place place, std::string message) {
    failure_ = diagnostic_at(place, {}, std::move(message));
    return false;
  }
  bool declare_variables();
  bool declare_functions();
  bool initial_values();
  void decode_functions();
  void decode_function(std::uint32_t index);
  void lay_out_shared();
  void describe_kernels();
  /// The function and all that it may call: by name, or also through pointers.
  std::vector<std::uint32_t> reachable(std::uint32_t function, bool through_pointers) const;

  std::unique_ptr<Program> program_;
  ast::Module tree_;
  ModuleNames names_;
  std::vector<const ast::Function*> bodies_;       ///< for each function of the program
  std::vector<const ast::Declaration*> declared_;  ///< for each variable of the program
  Diagnostic failure_;
};

bool Compiler::declare_variables() {
  for (const ast::Declaration& one : tree_.variables) {
    const bool shared = one.space == Space::shared;
    const bool unsized = one.bytes == 0;
    const auto known = names_.names.find(one.name);
    if (known != names_.names.end()) {
      // A declaration (.extern) and the definition of one variable.
      if (known->second.kind == Names::Kind::variable && !shared &&
          (one.external || declared_[known->second.index]->external)) {
        Variable& variable = program_->variable_list[known->second.index];
        if (!one.external) {
          variable.bytes = one.bytes;
          variable.align = one.align;
          declared_[known->second.index] = &one;
        }
        continue;
      }
      if (shared && one.external) continue;
      return fail(one.place, "'" + std::string(one.name) + "' is declared twice");
    }
    if (shared && (one.external || unsized)) {
      names_.names[one.name] = {Names::Kind::dynamic_shared, 0};
    } else if (shared) {
      names_.names[one.name] = {Names::Kind::shared, static_cast<std::uint32_t>(program_->shared.size())};
      program_->shared.push_back({std::string(one.name), static_cast<std::uint32_t>(one.bytes), one.align, 0, false});
    } else {
      names_.names[one.name] = {Names::Kind::variable, static_cast<std::uint32_t>(program_->variable_list.size())};
      program_->variable_list.push_back({std::string(one.name), one.bytes, std::max<std::uint32_t>(1, one.align),
                                         one.space == Space::constant, one.managed, 0});
      declared_.push_back(&one);
    }
  }
  for (std::size_t i = 0; i < declared_.size(); ++i) {
    if (program_->variable_list[i].bytes == 0 || declared_[i]->external) {
      return fail(declared_[i]->place, "the variable '" + program_->variable_list[i].name + "' is defined nowhere");
    }
  }
  return true;
}

bool Compiler::declare_functions() {
  for (const ast::Function& one : tree_.functions) {
    const auto known = names_.names.find(one.name);
    std::uint32_t index = 0;
    if (known == names_.names.end()) {
      index = static_cast<std::uint32_t>(program_->functions.size());
      names_.names[one.name] = {Names::Kind::function, index};
      program_->functions.emplace_back();
      bodies_.push_back(&one);
    } else {
      if (known->second.kind != Names::Kind::function) {
        return fail(one.place, "'" + std::string(one.name) + "' is declared twice");
      }
      index = known->second.index;
      if (!one.defined) continue;
      if (bodies_[index]->defined) return fail(one.place, "'" + std::string(one.name) + "' has two bodies");
      bodies_[index] = &one;
    }
    Function& function = program_->functions[index];
    function.name = std::string(one.name);
    function.entry = one.entry;
    function.defined = one.defined;
    function.max_threads = one.max_threads;
  }
  for (const ast::Alias& alias : tree_.aliases) {
    const auto target = names_.names.find(alias.target);
    if (target == names_.names.end() || target->second.kind != Names::Kind::function) {
      return fail(alias.place, "an alias of what is not a function");
    }
    names_.names[alias.name] = target->second;
  }
  return true;
}

bool Compiler::initial_values() {
  program_->initial.resize(program_->variable_list.size());
  for (std::size_t i = 0; i < declared_.size(); ++i) {
    for (const ast::Initial& piece : declared_[i]->initial) {
      InitialPiece out{piece.offset, piece.value, piece.bytes, piece.shift, InitialPiece::Symbol::none, 0};
      if (!piece.symbol.empty()) {
        const auto found = names_.names.find(piece.symbol);
        if (found == names_.names.end()) {
          return fail(declared_[i]->place, "'" + std::string(piece.symbol) + "' is not declared");
        }
        out.index = found->second.index;
        if (found->second.kind == Names::Kind::variable) {
          out.symbol = InitialPiece::Symbol::variable;
        } else if (found->second.kind == Names::Kind::function) {
          out.symbol = InitialPiece::Symbol::function;
        } else {
          return fail(declared_[i]->place, "an initial value can't be the address of a .shared variable");
        }
      }
      program_->initial[i].push_back(out);
    }
  }
  return true;
}

void Compiler::decode_function(std::uint32_t index) {
  const ast::Function& tree = *bodies_[index];
  Function& function = program_->functions[index];
  Builder builder(*program_, names_, tree, function);
  try {
    builder.build();
  } catch (const Refusal& refusal) {
    Diagnostic diagnostic = diagnostic_at(refusal.place, function.name, refusal.message);
    if (builder.instruction() != nullptr)
      diagnostic.instruction = std::string(builder.instruction()->text.substr(0, 500));
    function.broken = std::move(diagnostic);
    function.code.clear();
  }
}

void Compiler::decode_functions() {
  for (std::uint32_t i = 0; i < bodies_.size(); ++i) {
    if (bodies_[i]->defined) decode_function(i);
  }
}

std::vector<std::uint32_t> Compiler::reachable(std::uint32_t function, bool through_pointers) const {
  std::vector<std::uint32_t> out{function};
  std::vector<bool> seen(program_->functions.size());
  seen[function] = true;
  bool indirect = false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Function& one = program_->functions[out[i]];
    indirect = indirect || one.calls_indirectly;
    for (const std::uint32_t callee : one.callees) {
      if (!seen[callee]) {
        seen[callee] = true;
        out.push_back(callee);
      }
    }
  }
  if (!indirect || !through_pointers) return out;
  // A pointer may lead to any device function.
  for (std::uint32_t i = 0; i < seen.size(); ++i) {
    if (!seen[i] && !program_->functions[i].entry && program_->functions[i].defined) out.push_back(i);
  }
  return out;
}

void Compiler::lay_out_shared() {
  for (const Function& function : program_->functions) {
    if (function.entry) continue;
    for (const Fixup& fixup : function.fixups) {
      if (fixup.kind == Fixup::Kind::shared) program_->shared[fixup.index].common = true;
    }
  }
  std::uint32_t common_bytes = 0;
  const auto place = [](SharedVariable& variable, std::uint32_t& at) {
    const std::uint32_t align = std::max<std::uint32_t>(1, variable.align);
    at = (at + align - 1) / align * align;
    variable.offset = at;
    at = std::min<std::uint32_t>(at + variable.bytes, 1u << 30);
  };
  for (SharedVariable& variable : program_->shared) {
    if (variable.common) place(variable, common_bytes);
  }
  const auto patch = [&](Function& function) {
    for (const Fixup& fixup : function.fixups) {
      if (fixup.kind != Fixup::Kind::shared) continue;
      const std::uint64_t value = program_->shared[fixup.index].offset + fixup.addend;
      const std::uint32_t step = fixup.wide ? 8 : 4;
      for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
        std::memcpy(function.constants.data() + fixup.offset + lane * step, &value, step);
      }
    }
  };
  for (std::uint32_t i = 0; i < program_->functions.size(); ++i) {
    Function& function = program_->functions[i];
    if (!function.entry) {
      patch(function);
      continue;
    }
    bool needs_common = false;
    for (const std::uint32_t one : reachable(i, true)) {
      for (const Fixup& fixup : program_->functions[one].fixups) {
        needs_common = needs_common || (fixup.kind == Fixup::Kind::shared && program_->shared[fixup.index].common);
      }
    }
    std::uint32_t at = needs_common ? common_bytes : 0;
    std::vector<bool> placed(program_->shared.size());
    for (const Fixup& fixup : function.fixups) {
      if (fixup.kind != Fixup::Kind::shared || program_->shared[fixup.index].common || placed[fixup.index]) continue;
      placed[fixup.index] = true;
      place(program_->shared[fixup.index], at);
    }
    patch(function);
    function.static_shared = at;
  }
}

void Compiler::describe_kernels() {
  for (std::uint32_t i = 0; i < program_->functions.size(); ++i) {
    Function& function = program_->functions[i];
    if (!function.entry || !function.defined) continue;
    KernelInfo info;
    info.name = function.name;
    const ast::Signature& signature = bodies_[i]->signature;
    std::uint32_t at = 0;
    for (const ast::Declaration& one : signature.parameters) {
      const std::uint32_t align = std::max<std::uint32_t>(1, one.align);
      at = (at + align - 1) / align * align;
      info.parameters.push_back({at, static_cast<std::uint32_t>(one.bytes), align});
      at += static_cast<std::uint32_t>(one.bytes);
    }
    info.parameter_bytes = at;
    info.static_shared_bytes = function.static_shared;
    info.max_threads_per_block = function.max_threads != 0 ? function.max_threads : 1024;
    std::optional<Diagnostic> broken = function.broken;
    for (const std::uint32_t one : reachable(i, true)) {
      const Function& callee = program_->functions[one];
      info.local_bytes = std::max(info.local_bytes, callee.local_bytes);
      info.registers = std::max(info.registers, callee.registers);
      function.uses_reserved_shared = function.uses_reserved_shared || callee.uses_reserved_shared;
      info.uses_heap = info.uses_heap || callee.uses_heap;
      info.uses_grid_sync = info.uses_grid_sync || callee.uses_grid_workspace;
    }
    // What a pointer may lead to is found broken when it is called.
    for (const std::uint32_t one : reachable(i, false)) {
      const Function& callee = program_->functions[one];
      if (broken) break;
      if (callee.broken) broken = callee.broken;
      if (!callee.defined) broken = diagnostic_at(bodies_[one]->place, callee.name, "the function has no body");
    }
    if (info.static_shared_bytes > kMaxSharedBytes) {
      broken = diagnostic_at(bodies_[i]->place, function.name, "the kernel needs too much shared memory");
    }
    info.target = tree_.target;
    program_->kernel_list.push_back(std::move(info));
    program_->kernel_functions.push_back(i);
    program_->kernel_broken.push_back(std::move(broken));
  }
}

}  // namespace

std::variant<std::unique_ptr<Module>, Diagnostic> compile(std::string_view text) {
  try {
    return Compiler(text).compile();
  } catch (const std::exception& error) {
    return diagnostic_at({1, 1}, {}, std::string("the text could not be compiled: ") + error.what());
  }
}

}  // namespace vgpu::softgpu::ptx
