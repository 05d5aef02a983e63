#include "smi/query.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <span>
#include <sstream>

namespace vgpu::smi {
namespace {

using Text = std::optional<std::string>;

/// One line of a query's answer.
struct Row {
  const Facts& facts;
  const Gpu& gpu;
  const Process* process = nullptr;
};

struct Field {
  std::vector<const char*> names;  ///< the first one heads its column
  const char* unit;                ///< "": none
  std::function<Text(const Row&)> value;
  const char* help;
};

template <typename T>
Text number(const std::optional<T>& value) {
  return value ? Text(fmt::format("{}", *value)) : std::nullopt;
}

Text mebibytes(std::optional<std::uint64_t> bytes) {
  return bytes ? Text(fmt::format("{}", *bytes >> 20)) : std::nullopt;
}

Text watts(const std::optional<unsigned int>& milliwatts) {
  return milliwatts ? Text(fmt::format("{:.2f}", *milliwatts / 1000.0)) : std::nullopt;
}

/// A part of something that may not be known.
template <typename T, typename U>
auto part(const std::optional<T>& whole, U T::*member) -> std::optional<U> {
  return whole ? std::optional<U>((*whole).*member) : std::nullopt;
}

Text hexadecimal(const std::optional<unsigned int>& value, int digits) {
  return value ? Text(fmt::format("0x{:0{}X}", *value, digits)) : std::nullopt;
}

Text unknown(const Row&) { return std::nullopt; }
constexpr const char* kNotTold = "not told in a VM";

#define VALUE(expression) [](const Row& row) -> Text { return expression; }

std::vector<Field> known_gpu_fields() {
  return {
      {{"timestamp"}, "", VALUE(row.facts.timestamp), "when it was asked"},
      {{"driver_version"}, "", VALUE(row.facts.driver_version), "version of the host's driver"},
      {{"count"}, "", VALUE(fmt::format("{}", row.facts.count)), "number of GPUs"},
      {{"name", "gpu_name"}, "", VALUE(row.gpu.name), "name of the GPU"},
      {{"uuid", "gpu_uuid"}, "", VALUE(row.gpu.uuid), "its UUID, the same in CUDA"},
      {{"pci.bus_id", "gpu_bus_id"}, "", VALUE(row.gpu.bus_id), "domain:bus:device.function, on the host"},
      {{"pci.domain"}, "", VALUE(hexadecimal(part(row.gpu.pci, &nvmlPciInfo_t::domain), 4)), "PCI domain"},
      {{"pci.bus"}, "", VALUE(hexadecimal(part(row.gpu.pci, &nvmlPciInfo_t::bus), 2)), "PCI bus"},
      {{"pci.device"}, "", VALUE(hexadecimal(part(row.gpu.pci, &nvmlPciInfo_t::device), 2)), "PCI device"},
      {{"index"}, "", VALUE(fmt::format("{}", row.gpu.index)), "number of the GPU, from 0"},
      {{"compute_cap"}, "", VALUE(row.gpu.compute_capability), "compute capability"},
      {{"compute_mode"}, "", VALUE(row.gpu.compute_mode), "who may use the GPU"},
      {{"memory.total"},
       "MiB",
       VALUE(mebibytes(part(row.gpu.memory, &nvmlMemory_v2_t::total))),
       "this VM's limit, or the GPU's memory"},
      {{"memory.reserved"},
       "MiB",
       VALUE(mebibytes(part(row.gpu.memory, &nvmlMemory_v2_t::reserved))),
       "what this VM neither uses nor could get"},
      {{"memory.used"}, "MiB", VALUE(mebibytes(part(row.gpu.memory, &nvmlMemory_v2_t::used))), "by this VM"},
      {{"memory.free"}, "MiB", VALUE(mebibytes(part(row.gpu.memory, &nvmlMemory_v2_t::free))), "for this VM"},
      {{"utilization.gpu"},
       "%",
       VALUE(number(part(row.gpu.utilization, &nvmlUtilization_t::gpu))),
       "this VM's share of the GPU's time in the last second"},
      {{"utilization.memory"},
       "%",
       VALUE(number(part(row.gpu.utilization, &nvmlUtilization_t::memory))),
       "time in which the GPU's memory was read or written"},
      {{"temperature.gpu"}, "", VALUE(number(row.gpu.temperature)), "degrees Celsius"},
      {{"power.draw"}, "W", VALUE(watts(row.gpu.power)), "of the whole GPU"},
      {{"power.limit"}, "W", VALUE(watts(row.gpu.power_limit)), "of the whole GPU"},
      {{"enforced.power.limit"}, "W", VALUE(watts(row.gpu.power_limit)), "of the whole GPU"},
      {{"clocks.current.graphics", "clocks.gr"}, "MHz", VALUE(number(row.gpu.graphics_clock)), "now"},
      {{"clocks.current.sm", "clocks.sm"}, "MHz", VALUE(number(row.gpu.sm_clock)), "now"},
      {{"clocks.current.memory", "clocks.mem"}, "MHz", VALUE(number(row.gpu.memory_clock)), "now"},
      {{"clocks.max.graphics", "clocks.max.gr"}, "MHz", VALUE(number(row.gpu.max_graphics_clock)), "at most"},
      {{"clocks.max.sm"}, "MHz", VALUE(number(row.gpu.max_sm_clock)), "at most"},
      {{"clocks.max.memory", "clocks.max.mem"}, "MHz", VALUE(number(row.gpu.max_memory_clock)), "at most"},
      {{"ecc.mode.current"}, "", VALUE(row.gpu.ecc_mode), "whether errors of memory are corrected"},
      {{"ecc.errors.corrected.volatile.total"},
       "",
       VALUE(number(row.gpu.ecc_corrected)),
       "since the host's driver was loaded"},
      {{"ecc.errors.uncorrected.volatile.total"},
       "",
       VALUE(number(row.gpu.ecc_uncorrected)),
       "since the host's driver was loaded"},
  };
}

/// nvidia-smi's other fields: scripts may ask for them, and nobody tells a VM.
std::vector<Field> fields_never_known() {
  std::vector<Field> fields{
      {{"serial", "gpu_serial"}, "", unknown, kNotTold},
      {{"clocks.current.video", "clocks.video"}, "MHz", unknown, kNotTold},
      {{"clocks.applications.graphics", "clocks.applications.gr"}, "MHz", unknown, kNotTold},
      {{"clocks.applications.memory", "clocks.applications.mem"}, "MHz", unknown, kNotTold},
      {{"clocks_event_reasons.active", "clocks_throttle_reasons.active"}, "", unknown, kNotTold},
      {{"gom.current", "gpu_operation_mode.current"}, "", unknown, kNotTold},
      {{"inforom.img", "inforom.image"}, "", unknown, kNotTold},
  };
  for (const char* name : {"persistence_mode",
                           "display_mode",
                           "display_active",
                           "display_attached",
                           "accounting.mode",
                           "addressing_mode",
                           "driver_model.current",
                           "driver_model.pending",
                           "vbios_version",
                           "mig.mode.current",
                           "mig.mode.pending",
                           "pstate",
                           "temperature.memory",
                           "temperature.gpu.tlimit",
                           "ecc.mode.pending",
                           "pci.device_id",
                           "pci.sub_device_id",
                           "pcie.link.gen.current",
                           "pcie.link.gen.gpucurrent",
                           "pcie.link.gen.max",
                           "pcie.link.gen.gpumax",
                           "pcie.link.gen.hostmax",
                           "pcie.link.width.current",
                           "pcie.link.width.max",
                           "retired_pages.pending",
                           "ecc.errors.corrected.aggregate.total",
                           "ecc.errors.uncorrected.aggregate.total"})
    fields.push_back({{name}, "", unknown, kNotTold});
  for (const char* name :
       {"fan.speed", "utilization.encoder", "utilization.decoder", "utilization.jpeg", "utilization.ofa"})
    fields.push_back({{name}, "%", unknown, kNotTold});
  for (const char* name :
       {"power.draw.average", "power.draw.instant", "power.default_limit", "power.min_limit", "power.max_limit"})
    fields.push_back({{name}, "W", unknown, kNotTold});
  return fields;
}

std::span<const Field> gpu_fields() {
  static const std::vector<Field> fields = [] {
    std::vector<Field> all = known_gpu_fields();
    for (Field& field : fields_never_known()) all.push_back(std::move(field));
    return all;
  }();
  return fields;
}

std::span<const Field> process_fields() {
  static const std::vector<Field> fields{
      {{"timestamp"}, "", VALUE(row.facts.timestamp), "when it was asked"},
      {{"gpu_name"}, "", VALUE(row.gpu.name), "name of the GPU"},
      {{"gpu_bus_id"}, "", VALUE(row.gpu.bus_id), "domain:bus:device.function, on the host"},
      {{"gpu_serial"}, "", unknown, kNotTold},
      {{"gpu_uuid"}, "", VALUE(row.gpu.uuid), "UUID of the GPU"},
      {{"pid"}, "", VALUE(fmt::format("{}", row.process->pid)), "number of the process"},
      {{"process_name", "name"}, "", VALUE(row.process->name), "the program"},
      {{"used_gpu_memory", "used_memory"}, "MiB", VALUE(mebibytes(row.process->memory_bytes)), "of the GPU"},
  };
  return fields;
}
#undef VALUE

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) {
    part.erase(0, part.find_first_not_of(' '));
    part.erase(part.find_last_not_of(' ') + 1);
    parts.push_back(part);
  }
  return parts;
}

const Field* find(std::span<const Field> fields, const std::string& name) {
  for (const Field& field : fields)
    if (std::find(field.names.begin(), field.names.end(), name) != field.names.end()) return &field;
  return nullptr;
}

Text first_unknown(std::span<const Field> fields, const std::string& list) {
  if (list.empty()) return "";
  for (const std::string& name : split(list))
    if (find(fields, name) == nullptr) return name;
  return std::nullopt;
}

std::vector<const Field*> columns_of(std::span<const Field> fields, const std::string& list) {
  std::vector<const Field*> columns;
  for (const std::string& name : split(list)) columns.push_back(find(fields, name));
  return columns;
}

std::string header_line(const std::vector<const Field*>& columns) {
  std::string line;
  for (const Field* field : columns)
    line += (line.empty() ? "" : ", ") +
            (*field->unit != '\0' ? fmt::format("{} [{}]", field->names.front(), field->unit) : field->names.front());
  return line + "\n";
}

std::string value_line(const std::vector<const Field*>& columns, const Row& row, const CsvFormat& format) {
  std::string line;
  for (const Field* field : columns) {
    const Text value = field->value(row);
    if (field != columns.front()) line += ", ";
    line += value.value_or("[N/A]");
    if (value && format.units && *field->unit != '\0') line += fmt::format(" {}", field->unit);
  }
  return line + "\n";
}

std::string help_of(std::span<const Field> fields) {
  std::string text;
  for (const Field& field : fields) {
    std::string names;
    for (const char* name : field.names) names += fmt::format("{}\"{}\"", names.empty() ? "" : " or ", name);
    text += fmt::format("{}\n    {}{}\n\n", names, field.help,
                        *field.unit != '\0' ? fmt::format(", in {}", field.unit) : "");
  }
  return text;
}

}  // namespace

std::optional<CsvFormat> parse_csv_format(const std::string& text) {
  CsvFormat format;
  bool csv = false;
  for (const std::string& word : split(text)) {
    if (word == "csv")
      csv = true;
    else if (word == "noheader")
      format.header = false;
    else if (word == "nounits")
      format.units = false;
    else
      return std::nullopt;
  }
  return csv ? std::optional(format) : std::nullopt;
}

std::optional<std::string> unknown_gpu_field(const std::string& fields) { return first_unknown(gpu_fields(), fields); }
std::optional<std::string> unknown_process_field(const std::string& fields) {
  return first_unknown(process_fields(), fields);
}

std::string gpus_csv(const Facts& facts, const std::string& fields, const CsvFormat& format, bool with_header) {
  const auto columns = columns_of(gpu_fields(), fields);
  std::string text = with_header && format.header ? header_line(columns) : "";
  for (const Gpu& gpu : facts.gpus) text += value_line(columns, {facts, gpu}, format);
  return text;
}

std::string processes_csv(const Facts& facts, const std::string& fields, const CsvFormat& format, bool with_header) {
  const auto columns = columns_of(process_fields(), fields);
  std::string text = with_header && format.header ? header_line(columns) : "";
  for (const Gpu& gpu : facts.gpus)
    for (const Process& process : gpu.processes) text += value_line(columns, {facts, gpu, &process}, format);
  return text;
}

std::string gpu_fields_help() { return help_of(gpu_fields()); }
std::string process_fields_help() { return help_of(process_fields()); }

}  // namespace vgpu::smi
