#pragma once
#include <time.h>

#include <cstdio>
#include <string>
#include <vector>

/// What a measuring program says to bench/native_speed/run, one JSON object a line of its standard output: the same
/// words as in torch_rows.py.
namespace vgpu::bench {

/// The first kernel of this process is done: now, by the machine's monotonic clock.
inline void say_started() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  std::printf("{\"started\": %.9f}\n", static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9);
  std::fflush(stdout);
}

/// Announces a row and waits until the reader has seen it: for a line of standard input, or its end.
inline void begin_row(const std::string& row) {
  std::printf("{\"begin\": \"%s\"}\n", row.c_str());
  std::fflush(stdout);
  for (int c = std::getchar(); c != '\n' && c != EOF;) c = std::getchar();
}

/// What a row gave, in the row's unit. times: how often the thing was done since begin_row(), warm-up included.
inline void give_row(const std::string& row, const std::vector<double>& samples, unsigned long times) {
  std::printf("{\"row\": \"%s\", \"times\": %lu, \"samples\": [", row.c_str(), times);
  for (std::size_t i = 0; i < samples.size(); ++i) std::printf("%s%.6g", i == 0 ? "" : ", ", samples[i]);
  std::puts("]}");
  std::fflush(stdout);
}

/// The row could not be measured; the others go on. why: without quotes, backslashes and line ends.
inline void fail_row(const std::string& row, const std::string& why) {
  std::printf("{\"failed\": \"%s\", \"why\": \"%s\"}\n", row.c_str(), why.c_str());
  std::fflush(stdout);
}

}  // namespace vgpu::bench
