#include <fmt/format.h>

#include "smi/pages.hpp"

namespace vgpu::smi {
namespace {

constexpr int kColumn = 42;  ///< of the colon

/// Lines "name : value", indented.
class Page {
 public:
  void title(int depth, const std::string& name) { text_ += std::string(4 * depth, ' ') + name + "\n"; }
  void put(int depth, const std::string& name, const std::optional<std::string>& value) {
    const int indent = 4 * depth;
    text_ += fmt::format("{}{:<{}}: {}\n", std::string(indent, ' '), name, kColumn - indent, value.value_or("N/A"));
  }
  /// With its unit.
  template <typename T>
  void put_number(int depth, const std::string& name, const std::optional<T>& value, const char* unit) {
    put(depth, name, value ? std::optional(fmt::format("{}{}", *value, unit)) : std::nullopt);
  }
  void put_memory(int depth, const std::string& name, std::optional<std::uint64_t> bytes) {
    put_number(depth, name, bytes ? std::optional(*bytes >> 20) : std::nullopt, " MiB");
  }
  void put_watts(int depth, const std::string& name, const std::optional<unsigned int>& milliwatts) {
    put(depth, name, milliwatts ? std::optional(fmt::format("{:.2f} W", *milliwatts / 1000.0)) : std::nullopt);
  }
  void blank() { text_ += "\n"; }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void put_identity(Page& page, const Gpu& gpu) {
  page.put(1, "Product Name", gpu.name);
  page.put(1, "GPU UUID", gpu.uuid);
  page.put(1, "Compute Capability", gpu.compute_capability);
  page.title(1, "PCI");
  const auto hexadecimal = [&](unsigned int nvmlPciInfo_t::*part, int digits) -> std::optional<std::string> {
    if (!gpu.pci) return std::nullopt;
    return fmt::format("0x{:0{}X}", (*gpu.pci).*part, digits);
  };
  page.put(2, "Bus", hexadecimal(&nvmlPciInfo_t::bus, 2));
  page.put(2, "Device", hexadecimal(&nvmlPciInfo_t::device, 2));
  page.put(2, "Domain", hexadecimal(&nvmlPciInfo_t::domain, 4));
  page.put(2, "Bus Id", gpu.bus_id);
}

void put_memory(Page& page, const Gpu& gpu) {
  const auto part = [&](unsigned long long nvmlMemory_v2_t::*member) -> std::optional<std::uint64_t> {
    return gpu.memory ? std::optional<std::uint64_t>((*gpu.memory).*member) : std::nullopt;
  };
  page.title(1, "FB Memory Usage");
  page.put_memory(2, "Total", part(&nvmlMemory_v2_t::total));
  page.put_memory(2, "Reserved", part(&nvmlMemory_v2_t::reserved));
  page.put_memory(2, "Used", part(&nvmlMemory_v2_t::used));
  page.put_memory(2, "Free", part(&nvmlMemory_v2_t::free));
}

void put_compute(Page& page, const Gpu& gpu) { page.put(1, "Compute Mode", gpu.compute_mode); }

void put_utilization(Page& page, const Gpu& gpu) {
  page.title(1, "Utilization");
  const auto part = [&](unsigned int nvmlUtilization_t::*member) {
    return gpu.utilization ? std::optional((*gpu.utilization).*member) : std::nullopt;
  };
  page.put_number(2, "GPU", part(&nvmlUtilization_t::gpu), " %");
  page.put_number(2, "Memory", part(&nvmlUtilization_t::memory), " %");
}

void put_ecc(Page& page, const Gpu& gpu) {
  page.title(1, "ECC Mode");
  page.put(2, "Current", gpu.ecc_mode);
  page.title(1, "ECC Errors");
  page.title(2, "Volatile");
  page.put_number(3, "Corrected Total", gpu.ecc_corrected, "");
  page.put_number(3, "Uncorrected Total", gpu.ecc_uncorrected, "");
}

void put_temperature(Page& page, const Gpu& gpu) {
  page.title(1, "Temperature");
  page.put_number(2, "GPU Current Temp", gpu.temperature, " C");
}

void put_power(Page& page, const Gpu& gpu) {
  page.title(1, "GPU Power Readings");
  page.put_watts(2, "Power Draw", gpu.power);
  page.put_watts(2, "Current Power Limit", gpu.power_limit);
}

void put_clocks(Page& page, const Gpu& gpu) {
  page.title(1, "Clocks");
  page.put_number(2, "Graphics", gpu.graphics_clock, " MHz");
  page.put_number(2, "SM", gpu.sm_clock, " MHz");
  page.put_number(2, "Memory", gpu.memory_clock, " MHz");
  page.title(1, "Max Clocks");
  page.put_number(2, "Graphics", gpu.max_graphics_clock, " MHz");
  page.put_number(2, "SM", gpu.max_sm_clock, " MHz");
  page.put_number(2, "Memory", gpu.max_memory_clock, " MHz");
}

void put_processes(Page& page, const Gpu& gpu) {
  if (gpu.processes.empty()) return page.put(1, "Processes", "None");
  page.title(1, "Processes");
  for (const Process& process : gpu.processes) {
    page.put(2, "Process ID", fmt::format("{}", process.pid));
    page.put(3, "Type", "C");
    page.put(3, "Name", process.name);
    page.put_memory(3, "Used GPU Memory", process.memory_bytes);
  }
}

struct Section {
  const char* name;
  void (*put)(Page&, const Gpu&);
};
constexpr Section kSections[] = {
    {"MEMORY", put_memory}, {"COMPUTE", put_compute},         {"UTILIZATION", put_utilization},
    {"ECC", put_ecc},       {"TEMPERATURE", put_temperature}, {"POWER", put_power},
    {"CLOCK", put_clocks},  {"PIDS", put_processes},
};

}  // namespace

const std::set<std::string>& detail_sections() {
  static const std::set<std::string> names = [] {
    std::set<std::string> all;
    for (const Section& section : kSections) all.insert(section.name);
    return all;
  }();
  return names;
}

std::string detail_page(const Facts& facts, const std::set<std::string>& only) {
  Page page;
  page.blank();
  page.title(0, "==============NVSMI LOG==============");
  page.blank();
  page.put(0, "Timestamp", facts.date);
  page.put(0, "Driver Version", facts.driver_version);
  page.put(0, "CUDA Version", facts.cuda_version);
  page.blank();
  page.put(0, "Attached GPUs", fmt::format("{}", facts.count));
  for (const Gpu& gpu : facts.gpus) {
    page.title(0, "GPU " + gpu.bus_id.value_or("N/A"));
    if (only.empty()) put_identity(page, gpu);
    for (const Section& section : kSections)
      if (only.empty() || only.contains(section.name)) section.put(page, gpu);
    page.blank();
  }
  return page.take();
}

}  // namespace vgpu::smi
