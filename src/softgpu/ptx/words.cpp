#include "softgpu/ptx/builder.hpp"

namespace vgpu::softgpu::ptx {

bool Words::take(std::string_view word) noexcept {
  for (std::size_t i = 0; i < in_->modifiers.size(); ++i) {
    if ((taken_ >> i & 1) == 0 && in_->modifiers[i] == word) {
      taken_ |= 1u << i;
      return true;
    }
  }
  return false;
}

bool Words::has(std::string_view word) const noexcept {
  for (std::size_t i = 0; i < in_->modifiers.size(); ++i) {
    if ((taken_ >> i & 1) == 0 && in_->modifiers[i] == word) return true;
  }
  return false;
}

Type Words::take_type() noexcept {
  for (std::size_t i = 0; i < in_->modifiers.size(); ++i) {
    if ((taken_ >> i & 1) != 0) continue;
    const Type type = type_from(in_->modifiers[i]);
    if (type == Type::none) continue;
    taken_ |= 1u << i;
    return type;
  }
  return Type::none;
}

std::string_view Words::left() const noexcept {
  for (std::size_t i = 0; i < in_->modifiers.size(); ++i) {
    if ((taken_ >> i & 1) == 0) return in_->modifiers[i];
  }
  return {};
}

std::string_view Words::take_any() noexcept {
  const std::string_view word = left();
  if (!word.empty()) take(word);
  return word;
}

}  // namespace vgpu::softgpu::ptx
