#include "actors/config_table.hpp"

#include <algorithm>
#include <sstream>

#include "common/unix_address.hpp"

namespace vgpu::daemon {
namespace {

const char* type_text(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number with a point";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

}  // namespace

TableReader::TableReader(MistakeList& mistakes, const toml::table& table, std::string name,
                         std::initializer_list<std::string_view> keys)
    : mistakes_(mistakes), table_(table), name_(std::move(name)) {
  for (const auto& [key, value] : table) {
    if (std::find(keys.begin(), keys.end(), key.str()) != keys.end()) continue;
    std::string known;
    for (std::string_view candidate : keys) known.append(known.empty() ? "" : ", ").append(candidate);
    mistakes_.add(key.source().begin.line,
                  "unknown key \"" + std::string(key.str()) + "\" in " + name_ + "; its keys are: " + known);
  }
}

void TableReader::mistake(std::string_view key, const std::string& text) {
  const toml::node* node = find(key);
  mistakes_.add(node != nullptr ? *node : static_cast<const toml::node&>(table_),
                std::string(key) + " in " + name_ + ": " + text);
}

std::optional<std::string> TableReader::text(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_string()) return value->get();
  mistake(key, std::string("expected a string in quotes, found ") + type_text(*node));
  return std::nullopt;
}

std::optional<bool> TableReader::boolean(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node->as_boolean()) return value->get();
  mistake(key, std::string("expected true or false, found ") + type_text(*node));
  return std::nullopt;
}

std::optional<std::uint32_t> TableReader::number(std::string_view key, std::uint32_t lowest, std::uint32_t highest) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  const std::string range = "an integer from " + std::to_string(lowest) + " to " + std::to_string(highest);
  const auto* value = node->as_integer();
  if (value == nullptr) {
    mistake(key, "expected " + range + ", found " + type_text(*node));
    return std::nullopt;
  }
  if (value->get() < lowest || value->get() > highest) {
    mistake(key, "expected " + range + ", found " + std::to_string(value->get()));
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(value->get());
}

std::optional<std::string> TableReader::required_text(std::string_view key) {
  if (find(key) == nullptr) {
    mistakes_.add(table_, name_ + " needs " + std::string(key) + " = \"…\"");
    return std::nullopt;
  }
  return text(key);
}

const toml::table* table_of(MistakeList& mistakes, const toml::table& root, std::string_view key) {
  const toml::node* node = root.get(key);
  if (node == nullptr) return nullptr;
  if (const toml::table* table = node->as_table()) return table;
  mistakes.add(*node, std::string(key) + ": expected a table, written [" + std::string(key) + "]");
  return nullptr;
}

std::vector<const toml::table*> tables_of(MistakeList& mistakes, const toml::table& root, std::string_view key) {
  std::vector<const toml::table*> tables;
  const toml::node* node = root.get(key);
  if (node == nullptr) return tables;
  const toml::array* array = node->as_array();
  bool good = array != nullptr;
  if (good)
    for (const toml::node& element : *array) {
      good = good && element.is_table();
      if (good) tables.push_back(element.as_table());
    }
  if (!good) mistakes.add(*node, std::string(key) + ": expected tables, each written [[" + std::string(key) + "]]");
  return tables;
}

bool valid_name(std::string_view name, std::size_t longest) {
  return !name.empty() && name.size() <= longest &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             std::string_view::npos;
}

std::optional<std::filesystem::path> read_socket(TableReader& reader, std::string_view key) {
  const auto text = reader.text(key);
  if (!text) return std::nullopt;
  const std::filesystem::path path = *text;
  if (path.is_relative()) {
    reader.mistake(key, "expected an absolute path, found \"" + *text + "\"");
  } else if (!unix_address(*text)) {
    reader.mistake(key, "the path is longer than the 107 bytes that the kernel takes");
  } else {
    return path;
  }
  return std::nullopt;
}

}  // namespace vgpu::daemon
