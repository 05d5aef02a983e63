// vgpu-smi: what a tenant's nvidia-smi is, with its options, names, outputs and exit codes.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "smi/facts.hpp"
#include "smi/pages.hpp"
#include "smi/query.hpp"
#include "smi/version.hpp"

namespace {

using namespace vgpu::smi;

// nvidia-smi's "RETURN VALUE": 2 for wrong arguments, else the NVML error.
constexpr int kWrongArguments = 2, kOtherFailure = 255;

struct Options {
  bool list = false;
  bool details = false;
  std::string query_gpu, query_apps, format;
  std::vector<std::string> ids, sections;
  double loop_seconds = 0;
  unsigned int loop_milliseconds = 0;
  bool help_gpu = false, help_apps = false, version = false;
};

/// Options of one dash that are words or have their value behind a "=", in CLI11's spelling.
std::vector<std::string> spelled_out(int argc, char** argv) {
  static const std::map<std::string, std::string> longs{
      {"-i", "--id"}, {"-l", "--loop"}, {"-lms", "--loop-ms"}, {"-d", "--display"}};
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    const std::size_t end = argument.find('=');
    const auto found = longs.find(argument.substr(0, end));
    if (found != longs.end()) argument = found->second + (end != std::string::npos ? argument.substr(end) : "");
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

void declare(CLI::App& app, Options& options) {
  app.add_flag("-L,--list-gpus", options.list, "list the GPUs and their UUIDs");
  app.add_flag("-q,--query", options.details, "show all that is known, by sections");
  app.add_option("-d,--display", options.sections, "with -q: only these sections")
      ->type_name("SECTION,…")
      ->delimiter(',');
  app.add_option("-i,--id", options.ids, "only these GPUs: index, UUID or PCI bus id")
      ->type_name("ID,…")
      ->delimiter(',');
  app.add_option("--query-gpu", options.query_gpu, "these fields of each GPU; see --help-query-gpu")
      ->type_name("FIELD,…");
  app.add_option("--query-compute-apps", options.query_apps,
                 "these fields of each process; see --help-query-compute-apps")
      ->type_name("FIELD,…");
  app.add_option("--format", options.format, "of a query: csv[,noheader][,nounits]")->type_name("csv");
  app.add_option("-l,--loop", options.loop_seconds, "again and again, each so many seconds (5 unless said)")
      ->type_name("SEC")
      ->expected(0, 1)
      ->default_str("5")
      ->check(CLI::Range(0.001, 86400.0));
  app.add_option("--loop-ms", options.loop_milliseconds, "the same in milliseconds; also -lms")
      ->type_name("MS")
      ->check(CLI::Range(1u, 86'400'000u));
  app.add_flag("--help-query-gpu", options.help_gpu, "what --query-gpu can ask for");
  app.add_flag("--help-query-compute-apps", options.help_apps, "what --query-compute-apps can ask for");
  app.add_flag("--version", options.version, "this program's version");
}

int wrong(const std::string& text) {
  std::printf("%s\n\n", text.c_str());
  return kWrongArguments;
}

/// 0, or the exit code after saying what is wrong.
int check(const Options& options, CsvFormat& format) {
  const bool query = !options.query_gpu.empty() || !options.query_apps.empty();
  if (query + options.list + options.details > 1 || (!options.query_gpu.empty() && !options.query_apps.empty()))
    return wrong("Invalid combination of input arguments. Please run 'vgpu-smi -h' for help.");
  for (const std::string& section : options.sections)
    if (!options.details || !detail_sections().contains(section))
      return wrong("\"" + section + "\" is not a section of -q.");
  if (!query) return 0;
  if (options.format.empty()) return wrong("\"--format=\" switch is missing. Please run 'vgpu-smi -h' for help.");
  const auto parsed = parse_csv_format(options.format);
  if (!parsed) return wrong("\"" + options.format + "\" is not a format: csv[,noheader][,nounits].");
  format = *parsed;
  if (!options.query_gpu.empty())
    if (const auto field = unknown_gpu_field(options.query_gpu))
      return wrong("Field \"" + *field + "\" is not a valid field to query.");
  if (!options.query_apps.empty())
    if (const auto field = unknown_process_field(options.query_apps))
      return wrong("Field \"" + *field + "\" is not a valid field to query.");
  return 0;
}

std::string page_of(const Options& options, const CsvFormat& format, bool first) {
  const Facts facts = read_facts(options.ids);
  if (options.list) return list_page(facts);
  if (options.details) return detail_page(facts, {options.sections.begin(), options.sections.end()});
  if (!options.query_gpu.empty()) return gpus_csv(facts, options.query_gpu, format, first);
  if (!options.query_apps.empty()) return processes_csv(facts, options.query_apps, format, first);
  return table_page(facts);
}

int failed(nvmlReturn_t result) {
  switch (result) {
    case NVML_ERROR_DRIVER_NOT_LOADED:
      std::printf(
          "VGPU-SMI has failed because it couldn't communicate with the host's vgpud. It must be running, and this "
          "user must be able to reach it; run it with VGPU_LOG=1 to see what it tried.\n\n");
      break;
    case NVML_ERROR_NOT_FOUND:
      std::printf("No devices were found\n");
      break;
    default:
      std::printf("VGPU-SMI has failed: %s. Run it with VGPU_LOG=1 to see why.\n\n", nvmlErrorString(result));
  }
  return result == NVML_ERROR_UNKNOWN ? kOtherFailure : static_cast<int>(result);
}

int show(const Options& options, const CsvFormat& format) {
  if (const nvmlReturn_t result = nvmlInit_v2(); result != NVML_SUCCESS) return failed(result);
  const std::chrono::duration<double> pause = options.loop_milliseconds != 0
                                                  ? std::chrono::duration<double>(options.loop_milliseconds / 1000.0)
                                                  : std::chrono::duration<double>(options.loop_seconds);
  auto next = std::chrono::steady_clock::now();
  for (bool first = true;; first = false) {
    try {
      const std::string page = page_of(options, format, first);
      // Whoever reads it may be gone: then there is nothing left to do.
      if (std::fwrite(page.data(), 1, page.size(), stdout) != page.size() || std::fflush(stdout) != 0) return 1;
    } catch (const Failure& failure) {
      return failed(failure.result);
    }
    if (pause.count() == 0) break;
    next += std::chrono::duration_cast<std::chrono::steady_clock::duration>(pause);
    std::this_thread::sleep_until(next);
  }
  nvmlShutdown();
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app{"Shows this VM's GPUs, with nvidia-smi's options. Without any: a table.", "vgpu-smi"};
  Options options;
  declare(app, options);
  std::vector<std::string> arguments = spelled_out(argc, argv);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongArguments;
  }
  if (options.help_gpu) return std::fputs(gpu_fields_help().c_str(), stdout) < 0;
  if (options.help_apps) return std::fputs(process_fields_help().c_str(), stdout) < 0;
  if (options.version) return std::printf("VGPU-SMI version  : %s\n", kVersion) < 0;
  CsvFormat format;
  if (const int code = check(options, format); code != 0) return code;
  return show(options, format);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vgpu-smi: %s\n", error.what());
    return kOtherFailure;
  }
}
