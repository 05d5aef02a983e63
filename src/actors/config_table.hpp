#pragma once
#include <toml++/toml.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vgpu::daemon {

/// Collects mistakes of one file with their lines.
class MistakeList {
 public:
  explicit MistakeList(std::string file) : file_(std::move(file)) {}
  void add(const toml::node& where, const std::string& text) { add(where.source().begin.line, text); }
  /// `line` 0: it has none.
  void add(toml::source_index line, const std::string& text) {
    all_.push_back(file_ + (line == 0 ? "" : ":" + std::to_string(line)) + ": " + text);
  }
  /// For a mistake that has no line: one on the command line, say.
  void add_plain(const std::string& text) { all_.push_back(text); }
  bool empty() const noexcept { return all_.empty(); }
  std::vector<std::string> take() { return std::move(all_); }

 private:
  std::string file_;
  std::vector<std::string> all_;
};

/// Reads one table: knows its keys, so that a misspelt one is found, and says what a value should have been.
class TableReader {
 public:
  /// `name` as a person would write it: "[daemon]", "[[pool]]", "the top level".
  TableReader(MistakeList& mistakes, const toml::table& table, std::string name,
              std::initializer_list<std::string_view> keys);

  const toml::node* find(std::string_view key) const { return table_.get(key); }

  std::optional<std::string> text(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::uint32_t> number(std::string_view key, std::uint32_t lowest, std::uint32_t highest);

  /// A text that must be there; a mistake of the table's own line if it is not.
  std::optional<std::string> required_text(std::string_view key);

  /// "key = value" is wrong: says what is wrong and what would be right, at the key's line.
  void mistake(std::string_view key, const std::string& text);

  const toml::table& table() const noexcept { return table_; }
  const std::string& name() const noexcept { return name_; }

 private:
  MistakeList& mistakes_;
  const toml::table& table_;
  std::string name_;
};

/// The table `key` of `root`; null if there is none.
const toml::table* table_of(MistakeList& mistakes, const toml::table& root, std::string_view key);
/// The tables of the array of tables `key`, in order.
std::vector<const toml::table*> tables_of(MistakeList& mistakes, const toml::table& root, std::string_view key);

/// Names are label values and command-line words: short and plain.
bool valid_name(std::string_view name, std::size_t longest);
/// A path that a socket can have; nothing, with the mistake noted, for any other.
std::optional<std::filesystem::path> read_socket(TableReader& reader, std::string_view key);

}  // namespace vgpu::daemon
