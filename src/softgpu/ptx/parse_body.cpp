#include "softgpu/ptx/parser.hpp"

namespace vgpu::softgpu::ptx {

bool Parser::body(ast::Function& function) {
  if (!expect('{')) return false;
  unsigned depth = 0;
  while (!(depth == 0 && token_.is('}'))) {
    if (!statement(function, depth)) return false;
  }
  return expect('}');
}

bool Parser::statement(ast::Function& function, unsigned& depth) {
  if (accept(';')) return true;
  if (accept('{')) {
    if (++depth > 1024) return fail("blocks are nested too deeply");
    function.body.emplace_back(ast::Scope{true});
    return true;
  }
  if (accept('}')) {
    --depth;
    function.body.emplace_back(ast::Scope{false});
    return true;
  }
  if (token_.kind == Token::Kind::dotted) {
    if (token_.is_dot("loc") || token_.is_dot("file")) return skip_line();
    if (token_.is_dot("pragma")) {
      while (token_.kind != Token::Kind::end && !token_.is(';')) advance();
      return expect(';');
    }
    Space space = Space::generic;
    if (token_.is_dot("reg")) space = Space::reg;
    if (token_.is_dot("local")) space = Space::local;
    if (token_.is_dot("shared") || token_.is_dot("shared::cta")) space = Space::shared;
    if (token_.is_dot("param")) space = Space::param;
    if (token_.is_dot("global")) space = Space::global;
    if (token_.is_dot("const")) space = Space::constant;
    if (space == Space::generic) return fail("unknown directive in a function");
    advance();
    std::vector<ast::Declaration> declared;
    if (!declaration(space, declared, false) || !expect(';')) return false;
    for (ast::Declaration& one : declared) function.body.emplace_back(std::move(one));
    return true;
  }
  if (token_.kind == Token::Kind::identifier) {
    const Token first = token_;
    // A label and an instruction both begin with a name; only the next token tells.
    Lexer ahead = lexer_;
    if (ahead.next().is(':')) {
      advance();
      advance();
      return labelled(function, first);
    }
    return instruction(function);
  }
  if (token_.is('@')) return instruction(function);
  return fail("expected a statement");
}

bool Parser::labelled(ast::Function& function, const Token& first) {
  const ast::Place place{first.line, first.column};
  if (accept_dot("branchtargets")) {
    ast::Targets targets{first.text, {}, place};
    do {
      std::string_view label;
      if (!name(label)) return false;
      targets.labels.push_back(label);
    } while (accept(','));
    function.body.emplace_back(std::move(targets));
    return expect(';');
  }
  if (accept_dot("calltargets")) {
    // The set of functions that a call may reach: a hint for a compiler, no more.
    while (token_.kind != Token::Kind::end && !token_.is(';')) advance();
    return expect(';');
  }
  if (accept_dot("callprototype")) {
    ast::Prototype prototype{first.text, {}, place};
    if (token_.is('(') && !signature_list(prototype.signature.returns)) return false;
    std::string_view ignored;
    if (!name(ignored)) return false;
    if (token_.is('(') && !signature_list(prototype.signature.parameters)) return false;
    ast::Function hints;
    if (!performance_directives(hints)) return false;
    function.body.emplace_back(std::move(prototype));
    return expect(';');
  }
  function.body.emplace_back(ast::Label{first.text, place});
  return true;
}

bool Parser::instruction(ast::Function& function) {
  ast::Instruction out;
  out.place = here();
  const char* begin = token_.text.data();
  if (accept('@')) {
    out.guard_inverted = accept('!');
    if (!name(out.guard)) return false;
  }
  if (!name(out.opcode)) return false;
  while (token_.kind == Token::Kind::dotted) {
    if (out.modifiers.size() == 24) return fail("too many modifiers");
    out.modifiers.push_back(token_.text);
    advance();
  }
  if (!token_.is(';') && !operand_list(out.operands, ';', 0)) return false;
  const char* end = token_.text.data();
  if (!expect(';')) return false;
  out.text = std::string_view(begin, static_cast<std::size_t>(end - begin));
  function.body.emplace_back(std::move(out));
  return true;
}

bool Parser::operand_list(std::vector<ast::Operand>& out, char close, unsigned depth) {
  if (token_.is(close)) return true;
  do {
    if (out.size() == 4096) return fail("too many operands");
    ast::Operand& one = out.emplace_back();
    if (!operand(one, depth)) return false;
  } while (accept(','));
  return token_.is(close) || fail(std::string("expected ',' or '") + close + "'");
}

bool Parser::number(ast::Operand& out) {
  bool negative = false;
  bool complement = false;
  while (token_.is('-') || token_.is('~') || token_.is('+')) {
    negative ^= token_.is('-');
    complement ^= token_.is('~');
    advance();
  }
  out.value = token_.value;
  switch (token_.kind) {
    case Token::Kind::integer:
      out.kind = ast::Operand::Kind::integer;
      if (complement) out.value = ~out.value;
      if (negative) out.value = 0 - out.value;
      break;
    case Token::Kind::float32:
      out.kind = ast::Operand::Kind::float32;
      if (negative) out.value ^= 0x80000000u;
      break;
    case Token::Kind::float64:
      out.kind = ast::Operand::Kind::float64;
      if (negative) out.value ^= std::uint64_t{1} << 63;
      break;
    default:
      return fail("expected an operand");
  }
  advance();
  return true;
}

bool Parser::operand(ast::Operand& out, unsigned depth) {
  out.place = here();
  if (depth > 4) return fail("operands are nested too deeply");
  if (accept('[')) return address(out);
  if (accept('{')) {
    out.kind = ast::Operand::Kind::vector;
    if (!operand_list(out.items, '}', depth + 1) || !expect('}')) return false;
    return !accept('|') || name(out.second);  // {...}|p of a texture fetch
  }
  if (accept('(')) {
    out.kind = ast::Operand::Kind::list;
    return operand_list(out.items, ')', depth + 1) && expect(')');
  }
  out.inverted = accept('!');
  if (token_.kind != Token::Kind::identifier) return number(out);
  if (token_.text == "WARP_SZ") {
    out.kind = ast::Operand::Kind::integer;
    out.value = 32;
    advance();
    return true;
  }
  out.kind = ast::Operand::Kind::name;
  out.name = token_.text;
  advance();
  if (token_.kind == Token::Kind::dotted) {
    out.member = token_.text;
    advance();
  }
  if (accept('|')) return name(out.second);
  if (token_.is('+') || token_.is('-')) {
    ast::Operand offset;
    if (!number(offset)) return false;
    if (offset.kind != ast::Operand::Kind::integer) return fail("expected an integer offset");
    out.value = offset.value;
  }
  return true;
}

bool Parser::address(ast::Operand& out) {
  out.kind = ast::Operand::Kind::address;
  if (token_.kind == Token::Kind::identifier) {
    out.name = token_.text;
    advance();
    // A name alone, or name + offset, or name + -offset.
    if (token_.is('+') || token_.is('-')) {
      ast::Operand offset;
      if (!number(offset)) return false;
      if (offset.kind != ast::Operand::Kind::integer) return fail("expected an integer offset");
      out.value = offset.value;
    }
  } else {
    ast::Operand absolute;
    if (!number(absolute)) return false;
    if (absolute.kind != ast::Operand::Kind::integer) return fail("expected an address");
    out.value = absolute.value;
  }
  // What follows a comma belongs to tensor and texture coordinates; the decoder refuses it by name.
  if (accept(',') && !operand_list(out.items, ']', 1)) return false;
  return expect(']');
}

}  // namespace vgpu::softgpu::ptx
