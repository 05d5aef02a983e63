#include <fmt/format.h>

#include "smi/pages.hpp"
#include "smi/version.hpp"

namespace vgpu::smi {
namespace {

constexpr int kWidth = 89;  ///< between the outer bars
constexpr int kLeft = 41, kMiddle = 24, kRight = 22;
static_assert(kLeft + 1 + kMiddle + 1 + kRight == kWidth);

std::string rule(char end, char fill, char cross) {
  return fmt::format("{}{}{}{}{}{}{}\n", end, std::string(kLeft, fill), cross, std::string(kMiddle, fill), cross,
                     std::string(kRight, fill), end);
}

std::string wide_rule(char end, char fill) { return fmt::format("{}{}{}\n", end, std::string(kWidth, fill), end); }

std::string line(const std::string& left, const std::string& middle, const std::string& right) {
  return fmt::format("|{:<{}.{}}|{:>{}.{}}|{:>{}.{}}|\n", left, kLeft, kLeft, middle, kMiddle, kMiddle, right, kRight,
                     kRight);
}

std::string wide_line(const std::string& text) { return fmt::format("|{:<{}.{}}|\n", text, kWidth, kWidth); }

/// With a unit, or "N/A".
template <typename T>
std::string text_of(const std::optional<T>& value, const char* unit) {
  return value ? fmt::format("{}{}", *value, unit) : "N/A";
}

std::string mebibytes(unsigned long long bytes) { return fmt::format("{}MiB", bytes >> 20); }

std::string memory_text(const Gpu& gpu) {
  if (!gpu.memory) return "N/A";
  return fmt::format("{:>8} / {:>9}", mebibytes(gpu.memory->used), mebibytes(gpu.memory->total));
}

/// What does not fit is left out at the beginning: a program's name is at its path's end.
std::string end_of(const std::string& text, std::size_t width) {
  return text.size() <= width ? text : "..." + text.substr(text.size() - (width - 3));
}

std::string watts(const std::optional<unsigned int>& milliwatts) {
  return milliwatts ? fmt::format("{}W", (*milliwatts + 500) / 1000) : "N/A";
}

std::string gpu_rows(const Gpu& gpu) {
  const std::string utilization = gpu.utilization ? fmt::format("{}%", gpu.utilization->gpu) : "N/A";
  std::string rows = line(fmt::format(" {:>3}  {:<30.30} N/A ", gpu.index, gpu.name.value_or("N/A")),
                          fmt::format("{} N/A ", gpu.bus_id.value_or("N/A")), text_of(gpu.ecc_uncorrected, "") + " ");
  rows += line(fmt::format(" N/A  {:>4}    {:<4} {:>12} / {:>6} ", text_of(gpu.temperature, "C"), "N/A",
                           watts(gpu.power), watts(gpu.power_limit)),
               memory_text(gpu) + " ", fmt::format("{:>5}  {:>11} ", utilization, gpu.compute_mode.value_or("N/A")));
  rows += line("", "", "N/A ");
  return rows + rule('+', '-', '+');
}

std::string process_rows(const Facts& facts) {
  std::string rows;
  for (const Gpu& gpu : facts.gpus)
    for (const Process& process : gpu.processes)
      rows += wide_line(fmt::format(" {:>4}   N/A  N/A {:>10}      C   {:<38} {:>12} ", gpu.index, process.pid,
                                    end_of(process.name, 38),
                                    process.memory_bytes ? mebibytes(*process.memory_bytes) : "N/A"));
  return rows.empty() ? wide_line("  No running processes found") : rows;
}

}  // namespace

std::string table_page(const Facts& facts) {
  std::string page = facts.date + "\n" + wide_rule('+', '-');
  page += wide_line(fmt::format(" VGPU-SMI {:<24} Driver Version: {:<14} CUDA Version: {:<10}", kVersion,
                                facts.driver_version.value_or("N/A"), facts.cuda_version.value_or("N/A")));
  page += rule('|', '-', '+');
  page += line(" GPU  Name                 Persistence-M ", " Bus-Id          Disp.A ", " Volatile Uncorr. ECC ");
  page += line(" Fan  Temp   Perf          Pwr:Usage/Cap ", "           Memory-Usage ", " GPU-Util  Compute M. ");
  page += line("", "", "               MIG M. ");
  page += rule('|', '=', '+');
  for (const Gpu& gpu : facts.gpus) page += gpu_rows(gpu);
  page += "\n" + wide_rule('+', '-');
  page += wide_line(" Processes:");
  page += wide_line("  GPU   GI   CI        PID   Type   Process name                              GPU Memory ");
  page += wide_line("        ID   ID                                                               Usage      ");
  page += wide_rule('|', '=');
  return page + process_rows(facts) + wide_rule('+', '-');
}

std::string list_page(const Facts& facts) {
  std::string page;
  for (const Gpu& gpu : facts.gpus)
    page += fmt::format("GPU {}: {} (UUID: {})\n", gpu.index, gpu.name.value_or("N/A"), gpu.uuid.value_or("N/A"));
  return page;
}

}  // namespace vgpu::smi
