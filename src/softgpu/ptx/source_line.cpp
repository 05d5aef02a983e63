#include "softgpu/ptx/source_line.hpp"

#include <charconv>
#include <cstdint>

namespace vgpu::softgpu::ptx {
namespace {

std::string_view trimmed(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t\r");
  return first == std::string_view::npos ? std::string_view{} : line.substr(first);
}

/// The next number of a directive, taken off its front. False if there is none.
bool take_number(std::string_view& rest, std::uint32_t& out) {
  rest = trimmed(rest);
  const auto result = std::from_chars(rest.data(), rest.data() + rest.size(), out);
  if (result.ec != std::errc{}) return false;
  rest.remove_prefix(static_cast<std::size_t>(result.ptr - rest.data()));
  return true;
}

/// Takes the directive off the front of a line.
bool take_directive(std::string_view& line, std::string_view name) {
  if (!line.starts_with(name) || line.size() == name.size()) return false;
  if (line[name.size()] != ' ' && line[name.size()] != '\t') return false;
  line.remove_prefix(name.size());
  return true;
}

/// Calls f with each line until it says false.
template <class F>
void each_line(std::string_view text, F f) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    if (!f(trimmed(text.substr(at, end == std::string_view::npos ? end : end - at)))) return;
    if (end == std::string_view::npos) return;
    at = end + 1;
  }
}

}  // namespace

std::string source_line(std::string_view text, unsigned line) {
  std::uint32_t file = 0;
  std::uint32_t found = 0;
  unsigned number = 0;
  each_line(text, [&](std::string_view one) {
    if (++number > line) return false;
    // What was said of the function before says nothing of this one.
    if (one.find(".entry") != std::string_view::npos || one.find(".func") != std::string_view::npos) found = 0;
    std::uint32_t in_file = 0;
    std::uint32_t at = 0;
    if (take_directive(one, ".loc") && take_number(one, in_file) && take_number(one, at)) {
      file = in_file;
      found = at;
    }
    return true;
  });
  if (found == 0) return {};
  std::string name;
  each_line(text, [&](std::string_view one) {
    std::uint32_t index = 0;
    if (!take_directive(one, ".file") || !take_number(one, index) || index != file) return true;
    const std::size_t open = one.find('"');
    const std::size_t close = open == std::string_view::npos ? open : one.find('"', open + 1);
    if (close != std::string_view::npos) name = std::string(one.substr(open + 1, close - open - 1));
    return false;
  });
  return name.empty() ? name : name + ":" + std::to_string(found);
}

}  // namespace vgpu::softgpu::ptx
