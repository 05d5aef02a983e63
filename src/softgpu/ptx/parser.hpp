#pragma once
#include <string>
#include <string_view>
#include <variant>

#include "softgpu/ptx/ast.hpp"
#include "softgpu/ptx/lexer.hpp"
#include "softgpu/ptx/ptx.hpp"

namespace vgpu::softgpu::ptx {

/// Bounds on what a text may ask for, so that a hostile one costs memory in proportion to its own length.
inline constexpr std::size_t kMaxTextBytes = std::size_t{256} << 20;
inline constexpr std::uint64_t kMaxVariableBytes = std::uint64_t{8} << 30;
inline constexpr std::uint32_t kMaxParameterBytes = 32764;  ///< PTX ISA 8.1, kernel parameters
inline constexpr std::uint32_t kMaxLocalBytes = 512 << 10;  ///< CUDA C++ Programming Guide, local memory of a thread
inline constexpr std::uint32_t kMaxSharedBytes = 228 << 10;
inline constexpr unsigned kMaxNesting = 64;

/// Turns a text into its syntax tree, or says where it is wrong.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), lexer_(text) {}
  std::variant<ast::Module, Diagnostic> parse();

 private:
  // Each returns false after it has set diagnostic_.
  bool module_item();
  bool function(bool entry, bool external);
  bool signature_list(std::vector<ast::Declaration>& out);
  bool performance_directives(ast::Function& function);
  bool body(ast::Function& function);
  bool statement(ast::Function& function, unsigned& depth);
  bool labelled(ast::Function& function, const Token& name);
  bool instruction(ast::Function& function);
  bool operand(ast::Operand& out, unsigned depth);
  bool operand_list(std::vector<ast::Operand>& out, char close, unsigned depth);
  bool address(ast::Operand& out);
  bool number(ast::Operand& out);
  /// Reads one declaration after its space directive; appends one per declared name.
  bool declaration(Space space, std::vector<ast::Declaration>& out, bool in_signature);
  bool declarator(ast::Declaration& out);
  bool initial(ast::Declaration& out, const std::vector<std::uint64_t>& dimensions, std::size_t level,
               std::uint64_t base);
  bool initial_item(ast::Declaration& out, std::uint64_t offset);
  bool constant(std::uint64_t& out, unsigned depth, unsigned precedence);
  bool constant_unary(std::uint64_t& out, unsigned depth);

  void advance() noexcept;
  bool fail(std::string message);
  bool fail_at(ast::Place place, std::string message);
  bool expect(char c);
  bool accept(char c);
  bool accept_dot(std::string_view word);
  bool name(std::string_view& out);
  bool skip_line();
  bool skip_braces();
  ast::Place here() const noexcept { return {token_.line, token_.column}; }

  std::string_view text_;
  Lexer lexer_;
  Token token_;
  ast::Module module_;
  Diagnostic diagnostic_;
  std::string_view function_;
};

}  // namespace vgpu::softgpu::ptx
