#pragma once
#include <optional>
#include <string>
#include <vector>

#include "smi/facts.hpp"

/// --query-gpu and --query-compute-apps: comma-separated values with nvidia-smi's names.
namespace vgpu::smi {

struct CsvFormat {
  bool header = true;
  bool units = true;
};

/// The value of --format. Nothing: it is wrong.
std::optional<CsvFormat> parse_csv_format(const std::string& text);

/// The first name in `fields` (separated by commas) that can't be queried; nothing: all can.
std::optional<std::string> unknown_gpu_field(const std::string& fields);
std::optional<std::string> unknown_process_field(const std::string& fields);

/// Text to print. The fields are known. `with_header`: unless the format has none.
std::string gpus_csv(const Facts& facts, const std::string& fields, const CsvFormat& format, bool with_header);
std::string processes_csv(const Facts& facts, const std::string& fields, const CsvFormat& format, bool with_header);

/// What can be queried, name by name.
std::string gpu_fields_help();
std::string process_fields_help();

}  // namespace vgpu::smi
