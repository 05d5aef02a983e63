#include "softgpu/ptx/merge.hpp"

#include <map>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "softgpu/ptx/lexer.hpp"
#include "softgpu/ptx/parser.hpp"

namespace vgpu::softgpu::ptx {
namespace {

/// What the interpreter itself brings for device code.
constexpr std::string_view kBuiltins[] = {
    "vprintf", "__assertfail", "malloc", "free", "__cuda_syscall_aligned_malloc", "cudaGraphSetConditional"};

struct Symbol {
  std::size_t text = 0;
  bool weak = false;
  bool function = false;
  ast::Place place;
};

Diagnostic diagnostic(const char* what, std::string_view name, ast::Place place) {
  Diagnostic out;
  out.message = std::string(what) + " '" + std::string(name) + "'";
  out.line = place.line;
  out.column = place.column;
  return out;
}

using Names = std::unordered_map<std::string_view, std::string>;

std::string renamed(const std::string& text, const Names& names) {
  std::string out;
  out.reserve(text.size());
  Lexer lexer(text);
  std::size_t done = 0;
  for (Token token = lexer.next(); token.kind != Token::Kind::end; token = lexer.next()) {
    if (token.kind != Token::Kind::identifier) continue;
    const auto found = names.find(token.text);
    if (found == names.end()) continue;
    const auto at = static_cast<std::size_t>(token.text.data() - text.data());
    out.append(text, done, at - done).append(found->second);
    done = at + token.text.size();
  }
  return out.append(text, done);
}

class Merger {
 public:
  explicit Merger(std::span<const std::string> texts) : texts_(texts), private_(texts.size()) {}

  std::variant<std::string, Diagnostic> merge() {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      auto parsed = Parser(texts_[i]).parse();
      if (auto* why = std::get_if<Diagnostic>(&parsed)) return std::move(*why);
      trees_.push_back(std::move(std::get<ast::Module>(parsed)));
    }
    for (std::size_t i = 0; i < trees_.size(); ++i) {
      if (!collect(i)) return failure_;
    }
    for (const ast::Module& tree : trees_) {
      if (!find_externals(tree)) return failure_;
    }
    std::string out;
    for (std::size_t i = 0; i < texts_.size(); ++i) out.append(renamed(texts_[i], private_[i])).push_back('\n');
    return out;
  }

 private:
  void hide(std::size_t text, std::string_view name) {
    private_[text][name] = std::string(name) + "$text" + std::to_string(text);
  }

  bool define(std::size_t text, std::string_view name, bool is_static, bool weak, bool function, ast::Place place) {
    if (is_static) {
      hide(text, name);
      return true;
    }
    const auto [known, fresh] = symbols_.try_emplace(name, Symbol{text, weak, function, place});
    if (fresh || known->second.text == text) return true;
    Symbol& other = known->second;
    if (!weak && !other.weak) {
      failure_ = diagnostic("multiple definition of", name, place);
      return false;
    }
    if (!function || !other.function) {
      failure_ = diagnostic("a weak variable defined in two texts is not carried:", name, place);
      return false;
    }
    if (weak) {
      hide(text, name);
    } else {
      hide(other.text, name);
      other = {text, weak, function, place};
    }
    return true;
  }

  bool collect(std::size_t text) {
    for (const ast::Declaration& one : trees_[text].variables) {
      if (one.external) continue;
      if (!define(text, one.name, one.is_static, one.weak, false, one.place)) return false;
    }
    for (const ast::Function& one : trees_[text].functions) {
      if (!one.defined) continue;
      if (!define(text, one.name, one.is_static, one.weak, true, one.place)) return false;
    }
    return true;
  }

  bool find_externals(const ast::Module& tree) {
    const auto known = [&](std::string_view name) {
      for (const std::string_view builtin : kBuiltins) {
        if (name == builtin) return true;
      }
      return symbols_.contains(name);
    };
    for (const ast::Declaration& one : tree.variables) {
      // An external array of shared memory has its size from the launch.
      if (!one.external || one.space == Space::shared || known(one.name)) continue;
      failure_ = diagnostic("undefined reference to", one.name, one.place);
      return false;
    }
    for (const ast::Function& one : tree.functions) {
      if (!one.external || one.defined || known(one.name)) continue;
      failure_ = diagnostic("undefined reference to", one.name, one.place);
      return false;
    }
    return true;
  }

  std::span<const std::string> texts_;
  std::vector<ast::Module> trees_;
  std::vector<Names> private_;  ///< of each text, the names that change
  std::map<std::string_view, Symbol> symbols_;
  Diagnostic failure_;
};

}  // namespace

std::variant<std::string, Diagnostic> merge(std::span<const std::string> texts) { return Merger(texts).merge(); }

}  // namespace vgpu::softgpu::ptx
