#include <bit>
#include <cstring>

#include "softgpu/ptx/parser.hpp"

namespace vgpu::softgpu::ptx {
namespace {

bool is_number(const Token& token) noexcept {
  return token.kind == Token::Kind::integer || token.kind == Token::Kind::float32 || token.kind == Token::Kind::float64;
}

/// The bits of a literal as an element of the type.
std::uint64_t bits_as(Type type, Token::Kind kind, std::uint64_t value) noexcept {
  if (type == Type::f32 || type == Type::f64) {
    double number = 0;
    if (kind == Token::Kind::float32)
      number = static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(value)));
    if (kind == Token::Kind::float64) number = std::bit_cast<double>(value);
    if (kind == Token::Kind::integer) number = static_cast<double>(static_cast<std::int64_t>(value));
    if (type == Type::f64) return std::bit_cast<std::uint64_t>(number);
    if (kind == Token::Kind::float32) return value;
    return std::bit_cast<std::uint32_t>(static_cast<float>(number));
  }
  return value;
}

}  // namespace

bool Parser::declaration(Space space, std::vector<ast::Declaration>& out, bool in_signature) {
  ast::Declaration common;
  common.space = space;
  common.align = 0;
  while (token_.kind == Token::Kind::dotted) {
    if (accept_dot("align")) {
      if (token_.kind != Token::Kind::integer || !std::has_single_bit(token_.value) || token_.value > 4096) {
        return fail("expected a power of two as alignment");
      }
      // The alignment after .ptr is that of what the parameter points at.
      if (common.type == Type::none) common.align = static_cast<std::uint32_t>(token_.value);
      advance();
    } else if (accept_dot("attribute")) {
      while (token_.kind != Token::Kind::end && !token_.is(')')) {
        if (token_.is_dot("managed")) common.managed = true;
        advance();
      }
      if (!expect(')')) return false;
    } else if (accept_dot("v2")) {
      common.vector = 2;
    } else if (accept_dot("v4")) {
      common.vector = 4;
    } else if (common.type == Type::none && type_from(token_.text) != Type::none) {
      common.type = type_from(token_.text);
      advance();
    } else if (common.type == Type::none &&
               (token_.text == "texref" || token_.text == "samplerref" || token_.text == "surfref")) {
      common.type = Type::u64;
      advance();
    } else if (in_signature && common.type != Type::none) {
      advance();  // .ptr and the space it points into say nothing that the code does not say again
    } else {
      return fail("unknown word in a declaration");
    }
  }
  if (common.type == Type::none) return fail("expected a type");
  if (common.type == Type::pred && space != Space::reg) return fail("a predicate can only be a register");
  do {
    ast::Declaration one = common;
    one.place = here();
    if (!name(one.name) || !declarator(one)) return false;
    out.push_back(std::move(one));
  } while (!in_signature && accept(','));
  return true;
}

bool Parser::declarator(ast::Declaration& out) {
  const std::uint32_t element = bytes_of(out.type) * out.vector;
  if (out.space == Space::reg) {
    if (accept('<')) {
      if (token_.kind != Token::Kind::integer || token_.value == 0 || token_.value > (1u << 24)) {
        return fail("expected a number of registers");
      }
      out.register_count = static_cast<std::uint32_t>(token_.value);
      advance();
      return expect('>');
    }
    return true;
  }
  if (out.align == 0) out.align = element;
  std::vector<std::uint64_t> dimensions;
  std::uint64_t count = 1;
  while (accept('[')) {
    if (dimensions.size() == 16) return fail("too many dimensions");
    std::uint64_t size = 0;
    if (!token_.is(']') && !constant(size, 0, 0)) return false;
    if (size > kMaxVariableBytes || (size != 0 && count > kMaxVariableBytes / size))
      return fail("the array is too large");
    count *= size;
    dimensions.push_back(size);
    if (!expect(']')) return false;
  }
  if (count > kMaxVariableBytes / element) return fail("the array is too large");
  out.bytes = count * element;
  const bool sizes_itself = !dimensions.empty() && dimensions[0] == 0;
  if (accept('=')) {
    if (out.space != Space::global && out.space != Space::constant) return fail("only .global and .const take a value");
    if (out.vector > 1) dimensions.push_back(out.vector);
    if (!initial(out, dimensions, 0, 0)) return false;
    if (sizes_itself) {
      for (const ast::Initial& piece : out.initial) {
        const std::uint64_t end = piece.offset + piece.bytes;
        out.bytes = out.bytes < end ? end : out.bytes;
      }
    }
  }
  const std::uint64_t limit = out.space == Space::param    ? kMaxParameterBytes
                              : out.space == Space::local  ? kMaxLocalBytes
                              : out.space == Space::shared ? kMaxSharedBytes
                                                           : kMaxVariableBytes;
  if (out.bytes > limit) return fail_at(out.place, "the variable '" + std::string(out.name) + "' is too large");
  return true;
}

bool Parser::initial(ast::Declaration& out, const std::vector<std::uint64_t>& dimensions, std::size_t level,
                     std::uint64_t base) {
  std::uint64_t stride = bytes_of(out.type);
  for (std::size_t i = level + 1; i < dimensions.size(); ++i) stride *= dimensions[i];
  if (!token_.is('{')) {
    if (level > dimensions.size()) return fail("too many braces");
    return initial_item(out, base);
  }
  if (level >= dimensions.size()) return fail("too many braces");
  advance();
  std::uint64_t index = 0;
  while (!token_.is('}')) {
    if (dimensions[level] != 0 && index >= dimensions[level] && level > 0) return fail("too many values");
    // A flat list in place of nested braces fills the array in order.
    const bool flat = !token_.is('{');
    const std::uint64_t step = flat ? bytes_of(out.type) : stride;
    const std::uint64_t offset = base + index * step;
    if (out.bytes != 0 && offset + step > out.bytes) return fail("too many values");
    if (flat ? !initial_item(out, offset) : !initial(out, dimensions, level + 1, offset)) return false;
    ++index;
    if (!token_.is('}') && !expect(',')) return false;
  }
  return expect('}');
}

bool Parser::initial_item(ast::Declaration& out, std::uint64_t offset) {
  ast::Initial piece;
  piece.offset = offset;
  piece.bytes = bytes_of(out.type);
  bool negative = false;
  if (token_.is('-')) {
    negative = true;
    advance();
  }
  if (token_.kind == Token::Kind::float32 || token_.kind == Token::Kind::float64 ||
      (token_.kind == Token::Kind::integer && (out.type == Type::f32 || out.type == Type::f64))) {
    piece.value = bits_as(out.type, token_.kind, token_.value);
    if (negative) piece.value ^= std::uint64_t{1} << (8 * piece.bytes - 1);
    advance();
    if (piece.value != 0) out.initial.push_back(piece);
    return true;
  }
  unsigned closing = 0;
  bool symbolic = token_.kind == Token::Kind::identifier && token_.text != "WARP_SZ";
  if (!symbolic && !negative && token_.kind == Token::Kind::integer && !is_number(token_))
    return fail("expected a value");
  if (!symbolic) {
    if (!constant(piece.value, 0, 0)) return false;
    if (negative) piece.value = 0 - piece.value;
    // 0xFF00(symbol): one byte of the address, chosen by the mask.
    if (accept('(')) {
      if (piece.value == 0) return fail("expected a mask");
      piece.shift = static_cast<std::uint32_t>(std::countr_zero(piece.value) / 8 * 8);
      piece.value = 0;
      symbolic = true;
      ++closing;
    }
  }
  if (symbolic) {
    if (token_.kind == Token::Kind::identifier && token_.text == "generic") {
      advance();
      if (!expect('(')) return false;
      ++closing;
    }
    if (!name(piece.symbol)) return false;
    while (closing > 0 || token_.is('+') || token_.is('-')) {
      if (closing > 0 && accept(')')) {
        --closing;
      } else if (token_.is('+') || token_.is('-')) {
        const bool minus = token_.is('-');
        advance();
        std::uint64_t addend = 0;
        if (!constant_unary(addend, 0)) return false;
        piece.value += minus ? 0 - addend : addend;
      } else {
        return fail("expected ')'");
      }
    }
  }
  if (piece.value != 0 || !piece.symbol.empty()) out.initial.push_back(piece);
  return true;
}

bool Parser::constant_unary(std::uint64_t& out, unsigned depth) {
  if (depth > kMaxNesting) return fail("the expression is nested too deeply");
  if (accept('-')) {
    if (!constant_unary(out, depth + 1)) return false;
    out = 0 - out;
    return true;
  }
  if (accept('~')) {
    if (!constant_unary(out, depth + 1)) return false;
    out = ~out;
    return true;
  }
  if (accept('(')) return constant(out, depth + 1, 0) && expect(')');
  if (token_.kind == Token::Kind::identifier && token_.text == "WARP_SZ") {
    out = 32;
    advance();
    return true;
  }
  if (token_.kind != Token::Kind::integer) return fail("expected an integer");
  out = token_.value;
  advance();
  return true;
}

bool Parser::constant(std::uint64_t& out, unsigned depth, unsigned precedence) {
  if (depth > kMaxNesting) return fail("the expression is nested too deeply");
  if (!constant_unary(out, depth + 1)) return false;
  static constexpr std::pair<std::string_view, unsigned> kOperators[] = {
      {"|", 1}, {"^", 2}, {"&", 3}, {"<<", 4}, {">>", 4}, {"+", 5}, {"-", 5}, {"*", 6}, {"/", 6}, {"%", 6}};
  for (;;) {
    unsigned strength = 0;
    std::string_view word;
    if (token_.kind == Token::Kind::punctuation) {
      for (const auto& [text, rank] : kOperators) {
        if (text == token_.text) {
          strength = rank;
          word = text;
        }
      }
    }
    if (strength == 0 || strength <= precedence) return true;
    advance();
    std::uint64_t right = 0;
    if (!constant(right, depth + 1, strength)) return false;
    switch (word[0]) {
      case '|':
        out |= right;
        break;
      case '^':
        out ^= right;
        break;
      case '&':
        out &= right;
        break;
      case '<':
        out = right < 64 ? out << right : 0;
        break;
      case '>':
        out = right < 64 ? out >> right : 0;
        break;
      case '+':
        out += right;
        break;
      case '-':
        out -= right;
        break;
      case '*':
        out *= right;
        break;
      default:
        if (right == 0) return fail("division by zero in a constant");
        out = word[0] == '/' ? out / right : out % right;
    }
  }
}

}  // namespace vgpu::softgpu::ptx
