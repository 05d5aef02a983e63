// vgpu-bench: measures CUDA calls of one driver library in this process, and says each row's figures as a line of JSON
// (rows.hpp). bench/native_speed/run runs it natively and forwarded, and makes a table of both.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>

#include "calls.hpp"
#include "rows.hpp"

namespace vgpu::bench {
namespace {

std::vector<Row> all_rows() {
  std::vector<Row> rows = call_rows();
  for (auto* more : {graph_rows, wait_rows, copy_rows})
    for (Row& row : more()) rows.push_back(std::move(row));
  // Nothing is done while the reader looks at what an idle session costs.
  rows.push_back({"idle", [](const Device&, const Effort&) { return Figures{}; }});
  return rows;
}

void measure(const Row& row, const Device& device, const Effort& effort) {
  begin_row(row.name);
  try {
    const Figures figures = row.measure(device, effort);
    give_row(row.name, figures.samples, figures.times);
  } catch (const std::exception& error) {
    fail_row(row.name, error.what());
  }
}

int run(int argc, char** argv) {
  std::string library = "libcuda.so.1";
  std::vector<std::string> names;
  Effort effort;
  bool list = false;
  CLI::App app{
      "Measures CUDA calls in this process and prints a line of JSON for each row. bench/native_speed/run compares "
      "native and forwarded."};
  app.add_option("--driver", library, "the driver library: a path, or a name that the loader finds")
      ->capture_default_str();
  app.add_flag("--quick", effort.quick, "few samples and small copies: shows that it works, not how fast");
  app.add_flag("--list", list, "prints the rows' names");
  app.add_option("rows", names, "what to measure; without any: only the start, up to the first kernel's end");
  CLI11_PARSE(app, argc, argv);
  const std::vector<Row> rows = all_rows();
  if (list) {
    for (const Row& row : rows) std::puts(row.name.c_str());
    return 0;
  }
  std::vector<const Row*> chosen;
  for (const std::string& name : names) {
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.name == name; });
    if (found == rows.end()) {
      std::cerr << "vgpu-bench: there is no row " << name << "; --list prints their names\n";
      return 2;
    }
    chosen.push_back(&*found);
  }
  const Device device(library);
  device.launch();
  device.synchronize();
  say_started();
  for (const Row* row : chosen) measure(*row, device, effort);
  return 0;
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
