#pragma once
#include <cstdint>
#include <string_view>

#include "softgpu/ptx/types.hpp"

namespace vgpu::softgpu::ptx {

struct Token {
  enum class Kind : std::uint8_t {
    end,
    identifier,   ///< text: the name, % included
    dotted,       ///< text: the word after the dot, "::" included
    integer,      ///< value
    float32,      ///< value: the bits of a float
    float64,      ///< value: the bits of a double
    string,       ///< text: between the quotes, escapes as written
    punctuation,  ///< text: one character, or two for << >> && || == != <= >=
    bad,          ///< text: what could not be read
  };
  Kind kind = Kind::end;
  std::string_view text;
  std::uint64_t value = 0;
  std::uint32_t line = 1;
  std::uint32_t column = 1;

  bool is(char c) const noexcept { return kind == Kind::punctuation && text.size() == 1 && text[0] == c; }
  bool is_dot(std::string_view word) const noexcept { return kind == Kind::dotted && text == word; }
};

/// Reads tokens one after another. Never reads outside the text, never fails: what it can't read is a token of kind
/// bad.
class Lexer {
 public:
  explicit Lexer(std::string_view text) noexcept : text_(text) {}
  Token next() noexcept;

 private:
  char at(std::size_t ahead) const noexcept {
    return position_ + ahead < text_.size() ? text_[position_ + ahead] : '\0';
  }
  void skip_blank() noexcept;
  void read_number(Token& token) noexcept;

  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t line_start_ = 0;
  std::uint32_t line_ = 1;
};

}  // namespace vgpu::softgpu::ptx
