#include "softgpu/ptx/lexer.hpp"

#include <bit>
#include <charconv>

namespace vgpu::softgpu::ptx {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_word(char c) noexcept { return is_letter(c) || is_digit(c) || c == '_' || c == '$'; }

int hex_digit(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void Lexer::skip_blank() noexcept {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c == '\n') {
      ++position_;
      ++line_;
      line_start_ = position_;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
      ++position_;
    } else if (c == '/' && at(1) == '/') {
      while (position_ < text_.size() && text_[position_] != '\n') ++position_;
    } else if (c == '/' && at(1) == '*') {
      position_ += 2;
      while (position_ < text_.size() && !(text_[position_] == '*' && at(1) == '/')) {
        if (text_[position_] == '\n') {
          ++line_;
          line_start_ = position_ + 1;
        }
        ++position_;
      }
      position_ = position_ + 2 < text_.size() ? position_ + 2 : text_.size();
    } else {
      return;
    }
  }
}

void Lexer::read_number(Token& token) noexcept {
  const std::size_t start = position_;
  const char second = at(1);
  const auto finish = [&](Token::Kind kind) {
    token.kind = kind;
    if (kind == Token::Kind::integer && at(0) == 'U') ++position_;
    // A number that runs into a word is no number; take the whole word so that the message shows it.
    if (is_word(at(0))) {
      while (is_word(at(0))) ++position_;
      token.kind = Token::Kind::bad;
    }
    token.text = text_.substr(start, position_ - start);
  };
  if (at(0) == '0' && (second == 'f' || second == 'F' || second == 'd' || second == 'D')) {
    const unsigned digits = second == 'f' || second == 'F' ? 8 : 16;
    for (unsigned i = 0; i < digits; ++i) {
      const int digit = hex_digit(at(2 + i));
      if (digit < 0) {
        position_ += 2 + i;
        return finish(Token::Kind::bad);
      }
      token.value = token.value << 4 | static_cast<unsigned>(digit);
    }
    position_ += 2 + digits;
    return finish(digits == 8 ? Token::Kind::float32 : Token::Kind::float64);
  }
  unsigned base = 10;
  if (at(0) == '0' && (second == 'x' || second == 'X')) {
    base = 16;
    position_ += 2;
  } else if (at(0) == '0' && (second == 'b' || second == 'B')) {
    base = 2;
    position_ += 2;
  }
  std::size_t end = position_;
  while (end < text_.size() && hex_digit(text_[end]) >= 0 && static_cast<unsigned>(hex_digit(text_[end])) < base) ++end;
  const char after = end < text_.size() ? text_[end] : '\0';
  if (base == 10 && (after == '.' || after == 'e' || after == 'E')) {
    double value = 0;
    const auto result = std::from_chars(text_.data() + start, text_.data() + text_.size(), value);
    position_ = static_cast<std::size_t>(result.ptr - text_.data());
    token.value = std::bit_cast<std::uint64_t>(value);
    return finish(result.ec == std::errc{} ? Token::Kind::float64 : Token::Kind::bad);
  }
  if (base == 10 && at(0) == '0' && end - position_ > 1) base = 8;
  const auto result =
      std::from_chars(text_.data() + position_, text_.data() + end, token.value, static_cast<int>(base));
  const bool good = result.ec == std::errc{} && result.ptr == text_.data() + end && end > position_;
  position_ = end;
  finish(good ? Token::Kind::integer : Token::Kind::bad);
}

Token Lexer::next() noexcept {
  skip_blank();
  Token token;
  token.line = line_;
  token.column = static_cast<std::uint32_t>(position_ - line_start_ + 1);
  if (position_ >= text_.size()) return token;
  const std::size_t start = position_;
  const char c = text_[position_];
  if (is_digit(c)) {
    read_number(token);
    return token;
  }
  if (is_letter(c) || c == '_' || c == '$' || (c == '%' && is_word(at(1)))) {
    ++position_;
    while (is_word(at(0))) ++position_;
    token.kind = Token::Kind::identifier;
    token.text = text_.substr(start, position_ - start);
    return token;
  }
  if (c == '.' && is_word(at(1))) {
    ++position_;
    while (is_word(at(0)) || (at(0) == ':' && at(1) == ':' && is_word(at(2)))) position_ += at(0) == ':' ? 2 : 1;
    token.kind = Token::Kind::dotted;
    token.text = text_.substr(start + 1, position_ - start - 1);
    return token;
  }
  if (c == '"') {
    ++position_;
    while (position_ < text_.size() && text_[position_] != '"' && text_[position_] != '\n') {
      position_ += text_[position_] == '\\' && at(1) != '\0' && at(1) != '\n' ? 2 : 1;
    }
    const bool closed = at(0) == '"';
    token.kind = closed ? Token::Kind::string : Token::Kind::bad;
    token.text = text_.substr(start + 1, position_ - start - 1);
    if (closed) ++position_;
    return token;
  }
  static constexpr std::string_view kPairs[] = {"<<", ">>", "&&", "||", "==", "!=", "<=", ">="};
  std::size_t length = 1;
  for (std::string_view pair : kPairs) {
    if (text_.substr(start, 2) == pair) length = 2;
  }
  position_ += length;
  static constexpr std::string_view kSingles = ",;:()[]{}<>+-*/%&|^~!=?@.";
  token.kind = length == 2 || kSingles.find(c) != std::string_view::npos ? Token::Kind::punctuation : Token::Kind::bad;
  token.text = text_.substr(start, length);
  return token;
}

}  // namespace vgpu::softgpu::ptx
