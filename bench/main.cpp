// vgpu-bench: what a call costs natively and forwarded, in one run on one machine. The two sides export the same names,
// so each runs in a child process of its own (this program again), alternately; figures come back as lines over a pipe.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <optional>
#include <sstream>
#include <thread>

#include "common/paths.hpp"
#include "measure.hpp"
#include "process.hpp"
#include "report.hpp"

namespace vgpu::bench {
namespace {

namespace fs = std::filesystem;

struct Options {
  fs::path driver;
  fs::path shim;
  fs::path socket;
  std::string gpu;
  int repetitions = 5;
  bool quick = false;
  bool json = false;
  std::string child;  ///< what this process is a child for; empty: it is the parent
};

void print_series(const Series& series) {
  std::string line = fmt::format("series\t{}\t{}", series.name, static_cast<int>(series.unit));
  for (const double sample : series.samples) line += fmt::format("\t{:.6g}", sample);
  std::puts(line.c_str());
  std::fflush(stdout);
}

std::optional<Series> parse_series(const std::string& line) {
  std::istringstream fields(line);
  std::string kind, unit, sample;
  Series series;
  if (!std::getline(fields, kind, '\t') || kind != "series" || !std::getline(fields, series.name, '\t') ||
      !std::getline(fields, unit, '\t'))
    return std::nullopt;
  series.unit = unit == "0" ? Unit::microseconds : Unit::gigabytes_per_second;
  while (std::getline(fields, sample, '\t')) series.samples.push_back(std::stod(sample));
  if (series.samples.empty()) return std::nullopt;
  return series;
}

int run_child(const Options& options) {
  const Effort effort{options.quick};
  if (options.child == "measure") measure(options.driver, effort, print_series);
  if (options.child == "memcpy") measure_memcpy(effort, print_series);
  if (options.child == "name") std::puts(device_name(options.driver).c_str());
  if (options.child == "idle")
    stay_idle(options.driver, [] {
      std::puts("ready");
      std::fflush(stdout);
    });
  return 0;
}

class Runner {
 public:
  Runner(const Options& options, const fs::path& socket) : options_(options), socket_(socket) {}

  Child::Environment environment() const {
    // A guest's settings must not leak into the native side, nor somebody else's into ours.
    return {{"VGPU_SOCKET", socket_.string()}, {"VGPU_VM_ID", ""}, {"VGPU_POOL", ""}};
  }
  std::vector<std::string> command(const std::string& child, const fs::path& library) const {
    std::vector<std::string> words{"/proc/self/exe", "--child", child, "--driver", library.string()};
    if (options_.quick) words.emplace_back("--quick");
    return words;
  }

  /// Runs one side once and adds its samples.
  void measure_side(const std::string& child, const fs::path& library, std::vector<std::string>& order,
                    std::map<std::string, Series>& into) const {
    Child process(command(child, library), environment());
    process.close_input();
    for (std::string line; process.read_line(line);) {
      const auto series = parse_series(line);
      if (!series) continue;
      const auto [place, is_new] = into.try_emplace(series->name, *series);
      if (!is_new)
        place->second.samples.insert(place->second.samples.end(), series->samples.begin(), series->samples.end());
      if (std::find(order.begin(), order.end(), series->name) == order.end()) order.push_back(series->name);
    }
    if (const int code = process.wait(); code != 0)
      throw std::runtime_error(fmt::format("measuring {} ended with exit code {}", library.string(), code));
  }

  std::string name_of(const fs::path& library) const {
    Child process(command("name", library), environment());
    process.close_input();
    std::string name;
    if (!process.read_line(name) || process.wait() != 0)
      throw std::runtime_error("no device through " + library.string());
    return name;
  }

  Idle measure_idle(const Daemon& daemon) const {
    Child process(command("idle", options_.shim), environment());
    std::string line;
    if (!process.read_line(line) || line != "ready") throw std::runtime_error("the idle session did not open");
    const auto executors = children_of(daemon.pid());
    // Longer than any spinning before sleep.
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const auto total = [&] {
      double seconds = 0;
      for (const pid_t pid : executors) seconds += cpu_seconds(pid);
      return seconds;
    };
    const double daemon_before = cpu_seconds(daemon.pid()), executors_before = total();
    std::this_thread::sleep_for(std::chrono::seconds(2));
    Idle idle{true, (cpu_seconds(daemon.pid()) - daemon_before) * 500, (total() - executors_before) * 500};
    process.close_input();
    process.wait();
    return idle;
  }

 private:
  const Options& options_;
  fs::path socket_;
};

int run_parent(const Options& options) {
  std::optional<Daemon> daemon;
  if (options.socket.empty()) daemon.emplace(executable_directory() / "vgpud", options.gpu);
  const Runner runner(options, daemon ? daemon->socket() : options.socket);
  Results results;
  describe_machine(results);
  results.repetitions = options.repetitions;
  results.device = runner.name_of(options.driver);
  if (const std::string forwarded = runner.name_of(options.shim); forwarded != results.device)
    throw std::runtime_error("the daemon serves another device (" + forwarded + ") than the native side (" +
                             results.device + "): give --driver or --gpu so that both are the same");
  for (int i = 0; i < options.repetitions; ++i) {
    std::cerr << fmt::format("run {} of {}\n", i + 1, options.repetitions);
    runner.measure_side("measure", options.driver, results.order, results.native);
    runner.measure_side("measure", options.shim, results.order, results.forwarded);
  }
  std::vector<std::string> names;
  std::map<std::string, Series> plain;
  runner.measure_side("memcpy", options.driver, names, plain);
  for (const std::string& name : names) results.memcpy_series.push_back(plain.at(name));
  if (daemon) results.idle = runner.measure_idle(*daemon);
  if (options.json)
    print_json(results);
  else
    print_table(results);
  return 0;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app{"What CUDA calls cost natively and through vgpud, measured alternately in one run."};
  app.add_option("--driver", options.driver,
                 "native side: a libcuda, such as libcuda.so.1 of an NVIDIA driver (default: the software GPU)");
  app.add_option("--socket", options.socket, "use the daemon that listens there (default: start one)");
  app.add_option("--gpu", options.gpu, "the GPU of a daemon that is started (default: the one of --driver)");
  app.add_option("--repetitions", options.repetitions, "runs of each side")->check(CLI::Range(1, 1000));
  app.add_flag("--quick", options.quick, "few samples and small copies: shows that it works, not how fast");
  app.add_flag("--json", options.json, "print JSON in place of a table");
  app.add_option("--child", options.child)->group("");
  CLI11_PARSE(app, argc, argv);
  if (options.quick && app.count("--repetitions") == 0) options.repetitions = 1;
  if (options.gpu.empty()) options.gpu = options.driver.empty() ? "software" : "auto";
  if (options.driver.empty()) options.driver = softgpu_library();
  options.shim = guest_directory() / "libcuda.so.1";
  if (options.driver.empty()) throw std::runtime_error("the software GPU's library was not found beside this program");
  return options.child.empty() ? run_parent(options) : run_child(options);
}

}  // namespace
}  // namespace vgpu::bench

int main(int argc, char** argv) {
  try {
    return vgpu::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vgpu-bench: %s\n", error.what());
    return 1;
  }
}
