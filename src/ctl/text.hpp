#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// How vgpuctl writes numbers and tables for people.
namespace vgpu::ctl {

std::string bytes_text(double bytes);         ///< "1.5 GiB"
std::string count_text(double count);         ///< "12.3k"
std::string duration_text(double seconds);    ///< "3:07:12", "2d 03:07"
std::string short_time_text(double seconds);  ///< "1.3 ms"
std::string percent_text(double part);        ///< "45%"
std::string time_text(double since_epoch);    ///< local time of day, to milliseconds

/// `text` with nothing in it that a terminal would obey: guests choose some of what is shown.
std::string printable(std::string_view text);

/// Rows under headings. A heading that begins with '>' is of a column of numbers, set to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const noexcept { return rows_.empty(); }
  /// The headings, then the rows, without spaces at their ends.
  std::vector<std::string> lines() const;

 private:
  std::vector<std::string> headings_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace vgpu::ctl
