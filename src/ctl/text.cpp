#include "ctl/text.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace vgpu::ctl {
namespace {

bool is_number_column(const std::string& heading) { return heading.starts_with('>'); }

}  // namespace

std::string bytes_text(double bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < units.size()) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 || bytes >= 100 ? fmt::format("{:.0f} {}", bytes, units[unit])
                                   : fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string count_text(double count) {
  constexpr std::array units{"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  while (count >= 9999.5 && unit + 1 < units.size()) {
    count /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f}", count) : fmt::format("{:.1f}{}", count, units[unit]);
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds);
  const std::int64_t days = whole / 86400;
  if (days != 0) return fmt::format("{}d {:02}:{:02}", days, whole / 3600 % 24, whole / 60 % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string short_time_text(double seconds) {
  if (seconds < 0.001) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.1f} ms", seconds * 1e3);
  return fmt::format("{:.2f} s", seconds);
}

std::string percent_text(double part) { return fmt::format("{:.0f}%", part * 100); }

std::string time_text(double since_epoch) {
  const auto whole = static_cast<std::time_t>(std::floor(since_epoch));
  const int milliseconds = static_cast<int>((since_epoch - static_cast<double>(whole)) * 1000);
  return fmt::format("{:%H:%M:%S}.{:03}", fmt::localtime(whole), milliseconds);
}

std::string printable(std::string_view text) {
  std::string clean(text);
  for (char& c : clean)
    if (c < ' ' || c > '~') c = '?';
  return clean;
}

std::vector<std::string> Table::lines() const {
  std::vector<std::size_t> widths;
  for (const std::string& heading : headings_) widths.push_back(heading.size() - (is_number_column(heading) ? 1 : 0));
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  const auto line_of = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i != 0) line += "  ";
      line += is_number_column(headings_[i]) ? fmt::format("{:>{}}", row[i], widths[i])
                                             : fmt::format("{:<{}}", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  };
  std::vector<std::string> names = headings_;
  for (std::string& name : names)
    if (is_number_column(name)) name.erase(0, 1);
  std::vector<std::string> lines{line_of(names)};
  for (const auto& row : rows_) lines.push_back(line_of(row));
  return lines;
}

}  // namespace vgpu::ctl
