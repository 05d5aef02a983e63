#include "common/log.hpp"

namespace vgpu::log {
namespace {

/// The value that begins at `at`, which is moved behind it.
std::string take_value(std::string_view text, std::size_t& at) {
  std::string value;
  if (at == text.size() || text[at] != '"') {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    value = text.substr(at, end - at);
    at = end;
    return value;
  }
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\' && at + 1 < text.size() && (text[at + 1] == '"' || text[at + 1] == '\\')) ++at;
    value += text[at];
  }
  if (at < text.size()) ++at;
  return value;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> parse_fields(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      ++at;
      continue;
    }
    const std::size_t end = text.find_first_of(" =", at);
    if (end != std::string_view::npos && text[end] == '=') {
      std::string key(text.substr(at, end - at));
      at = end + 1;
      fields.emplace_back(std::move(key), take_value(text, at));
      continue;
    }
    const std::string word(text.substr(at, std::min(end, text.size()) - at));
    if (fields.empty())
      fields.emplace_back("", word);
    else
      fields.back().second += ' ' + word;
    at += word.size();
  }
  return fields;
}

}  // namespace vgpu::log
