#include "softgpu/ptx/parser.hpp"

#include <charconv>
#include <utility>

namespace vgpu::softgpu::ptx {

void Parser::advance() noexcept { token_ = lexer_.next(); }

bool Parser::fail_at(ast::Place place, std::string message) {
  diagnostic_.message = std::move(message);
  diagnostic_.function = std::string(function_);
  diagnostic_.line = place.line;
  diagnostic_.column = place.column;
  return false;
}

bool Parser::fail(std::string message) {
  if (token_.kind == Token::Kind::end) {
    message += ", but the text ends here";
  } else {
    message += ", found '" + std::string(token_.text.substr(0, 80)) + "'";
  }
  return fail_at(here(), std::move(message));
}

bool Parser::accept(char c) {
  if (!token_.is(c)) return false;
  advance();
  return true;
}

bool Parser::expect(char c) { return accept(c) || fail(std::string("expected '") + c + "'"); }

bool Parser::accept_dot(std::string_view word) {
  if (!token_.is_dot(word)) return false;
  advance();
  return true;
}

bool Parser::name(std::string_view& out) {
  if (token_.kind != Token::Kind::identifier) return fail("expected a name");
  out = token_.text;
  advance();
  return true;
}

bool Parser::skip_line() {
  const std::uint32_t line = token_.line;
  while (token_.kind != Token::Kind::end && token_.line == line) advance();
  return true;
}

bool Parser::skip_braces() {
  while (token_.kind != Token::Kind::end && !token_.is('{')) advance();
  if (!expect('{')) return false;
  while (token_.kind != Token::Kind::end && !token_.is('}')) advance();
  return expect('}');
}

std::variant<ast::Module, Diagnostic> Parser::parse() {
  if (text_.size() > kMaxTextBytes) {
    fail_at({1, 1}, "the text is larger than 256 MiB");
    return diagnostic_;
  }
  advance();
  if (!token_.is_dot("version")) {
    fail("a PTX text begins with .version");
    return diagnostic_;
  }
  while (token_.kind != Token::Kind::end) {
    if (!module_item()) return diagnostic_;
  }
  return std::move(module_);
}

bool Parser::module_item() {
  if (accept(';')) return true;
  if (token_.kind != Token::Kind::dotted) return fail("expected a directive");
  if (accept_dot("target")) {
    if (token_.kind == Token::Kind::identifier && token_.text.starts_with("sm_")) {
      const std::string_view number = token_.text.substr(3);
      std::from_chars(number.data(), number.data() + number.size(), module_.target);
    }
    return skip_line();
  }
  if (token_.is_dot("version") || token_.is_dot("file") || token_.is_dot("loc")) {
    return skip_line();
  }
  if (accept_dot("address_size")) {
    if (token_.kind != Token::Kind::integer || token_.value != 64) return fail("only .address_size 64 is carried");
    advance();
    return true;
  }
  if (token_.is_dot("section")) return skip_braces();
  if (token_.is_dot("pragma")) {
    while (token_.kind != Token::Kind::end && !token_.is(';')) advance();
    return expect(';');
  }
  if (token_.is_dot("alias")) {
    ast::Alias alias{{}, {}, here()};
    advance();
    if (!name(alias.name) || !expect(',') || !name(alias.target) || !expect(';')) return false;
    module_.aliases.push_back(alias);
    return true;
  }
  bool external = false;
  bool linkage = false;
  bool weak = false;
  while (token_.is_dot("extern") || token_.is_dot("visible") || token_.is_dot("weak") || token_.is_dot("common")) {
    external |= token_.is_dot("extern");
    weak |= token_.is_dot("weak") || token_.is_dot("common");
    linkage = true;
    advance();
  }
  if (token_.is_dot("entry") || token_.is_dot("func")) {
    const bool entry = token_.is_dot("entry");
    advance();
    if (!function(entry, external)) return false;
    module_.functions.back().weak = weak;
    module_.functions.back().is_static = !linkage;
    return true;
  }
  Space space = Space::reg;
  if (token_.is_dot("global")) space = Space::global;
  if (token_.is_dot("const")) space = Space::constant;
  if (token_.is_dot("shared") || token_.is_dot("shared::cta")) space = Space::shared;
  if (space == Space::reg) return fail("unknown directive");
  advance();
  const std::size_t first = module_.variables.size();
  if (!declaration(space, module_.variables, false) || !expect(';')) return false;
  for (std::size_t i = first; i < module_.variables.size(); ++i) {
    module_.variables[i].external = external;
    module_.variables[i].is_static = !linkage;
    module_.variables[i].weak = weak;
  }
  return true;
}

bool Parser::signature_list(std::vector<ast::Declaration>& out) {
  if (!expect('(')) return false;
  std::uint64_t bytes = 0;
  while (!token_.is(')')) {
    if (token_.is_dot("reg")) return fail("parameters in registers are not carried");
    if (!accept_dot("param")) return fail("expected .param");
    if (!declaration(Space::param, out, true)) return false;
    if (out.back().bytes == 0) return fail("a parameter needs a size");
    bytes += out.back().bytes + out.back().align;
    if (bytes > 2 * kMaxParameterBytes) return fail("the parameters are too large");
    if (!token_.is(')') && !expect(',')) return false;
  }
  return expect(')');
}

bool Parser::performance_directives(ast::Function& function) {
  while (token_.kind == Token::Kind::dotted) {
    const std::string_view word = token_.text;
    const bool limit = word == "maxntid" || word == "reqntid";
    if (word == "pragma") {
      while (token_.kind != Token::Kind::end && !token_.is(';')) advance();
      if (!expect(';')) return false;
      continue;
    }
    if (!limit && word != "minnctapersm" && word != "maxnctapersm" && word != "maxnreg" && word != "noreturn" &&
        word != "maxclusterrank" && word != "explicitcluster" && word != "reqnctapercluster" && word != "unified" &&
        word != "abi_preserve" && word != "abi_preserve_control" && word != "blocksareclusters") {
      return fail("unknown directive of a function");
    }
    advance();
    std::uint64_t product = 1;
    bool any = false;
    while (token_.kind == Token::Kind::integer || token_.is(',')) {
      if (token_.kind == Token::Kind::integer) {
        if (token_.value == 0 || token_.value > 65535) return fail("out of range");
        product = product * token_.value > 65535 ? 65535 : product * token_.value;
        any = true;
      }
      advance();
    }
    if (limit && !any) return fail("expected a number of threads");
    if (limit) function.max_threads = static_cast<std::uint32_t>(product > 1024 ? 1024 : product);
  }
  return true;
}

bool Parser::function(bool entry, bool external) {
  ast::Function function;
  function.entry = entry;
  function.external = external;
  if (!entry && accept_dot("attribute")) {
    while (token_.kind != Token::Kind::end && !token_.is(')')) advance();
    if (!expect(')')) return false;
  }
  if (!entry && token_.is('(') && !signature_list(function.signature.returns)) return false;
  function.place = here();
  if (!name(function.name)) return false;
  function_ = function.name;
  if (token_.is('(') && !signature_list(function.signature.parameters)) return false;
  if (!performance_directives(function)) return false;
  if (!accept(';')) {
    function.defined = true;
    if (!body(function)) return false;
  }
  function_ = {};
  module_.functions.push_back(std::move(function));
  return true;
}

}  // namespace vgpu::softgpu::ptx
