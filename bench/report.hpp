#pragma once
#include <map>
#include <string>
#include <vector>

#include "measure.hpp"

namespace vgpu::bench {

/// CPU time, in milliseconds for each second, of processes that serve one idle session.
struct Idle {
  bool known = false;
  double daemon = 0;
  double executors = 0;
};

struct Results {
  std::string machine;
  std::string cpu;
  long cores = 0;
  std::string device;
  int repetitions = 0;
  std::vector<std::string> order;           ///< names of what was measured on both sides
  std::map<std::string, Series> native;     ///< by name
  std::map<std::string, Series> forwarded;  ///< by name
  std::vector<Series> memcpy_series;
  Idle idle;
};

/// Name of this machine, its CPU and its cores.
void describe_machine(Results& results);

/// The value below which the share `part` of the samples lies (linear between neighbours). Not for empty samples.
double quantile(std::vector<double> samples, double part);

void print_table(const Results& results);
void print_json(const Results& results);

}  // namespace vgpu::bench
