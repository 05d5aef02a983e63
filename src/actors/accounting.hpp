#pragma once
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/metrics_store.hpp"

namespace vgpu::daemon {

/// What each VM used, for billing: a file for each day (UTC) in a folder, with a line of JSON for each VM in each pool
/// that used anything in an interval. Lines hold what was used between `from` and `to`, so that sums are sums of lines.
/// One thread.
class Accounting {
 public:
  using Time = std::chrono::system_clock::time_point;

  /// Makes the folder if it is not there. Null: `error` says why it can't be used. Intervals begin at `now`.
  static std::unique_ptr<Accounting> open(const std::filesystem::path& folder, Time now, std::string& error);

  /// Ends the interval: appends what was used since the last one to the file of the day in which that began. All lines
  /// are written at once, and a half one that an earlier end left is cut off first. False: nothing was written, `error`
  /// says why, and the interval goes on.
  bool write(const std::vector<MetricsStore::Account>& accounts, Time now, std::string& error);

 private:
  Accounting(std::filesystem::path folder, Time now) : folder_(std::move(folder)), from_(now) {}

  const std::filesystem::path folder_;
  Time from_;
  std::map<std::pair<std::uint32_t, std::string>, MetricsStore::Account> written_;  ///< sums at the interval's begin
};

}  // namespace vgpu::daemon
