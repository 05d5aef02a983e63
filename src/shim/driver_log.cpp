// The driver's log as programs see it.
#include "shim/driver_log.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct CUlogsCallbackEntry_st {
  CUlogsCallback function;
  void* data;
};

namespace vgpu::shim {
namespace {

/// cuda.h, cuLogsDumpToMemory: "The maximum size of the buffer is 25600 bytes".
constexpr std::size_t kMostBytes = 25600;

struct Log {
  std::mutex mutex;
  std::deque<std::string> lines;  ///< each with its newline
  std::size_t bytes = 0;
  CUlogIterator next = 0;  ///< number of the line that is written next
  std::vector<std::unique_ptr<CUlogsCallbackEntry_st>> callbacks;

  CUlogIterator oldest() const noexcept { return next - static_cast<CUlogIterator>(lines.size()); }
  /// Index of the first line that an iterator has not shown; null: of all lines.
  std::size_t start(const CUlogIterator* iterator) const noexcept {
    return iterator ? std::min<std::size_t>(std::max(*iterator, oldest()) - oldest(), lines.size()) : 0;
  }
};

Log& log() {
  static Log* const made = new Log;  // programs may log while static objects are destroyed
  return *made;
}

}  // namespace

void log_message(CUlogLevel level, std::string_view message) noexcept {
  try {
    Log& all = log();
    std::string line(message);
    std::vector<CUlogsCallbackEntry_st> callbacks;
    {
      std::lock_guard lock(all.mutex);
      all.lines.push_back(line + '\n');
      all.bytes += line.size() + 1;
      ++all.next;
      while (all.bytes > kMostBytes) {
        all.bytes -= all.lines.front().size();
        all.lines.pop_front();
      }
      for (const auto& callback : all.callbacks) callbacks.push_back(*callback);
    }
    // Without the lock: the program may call cuLogs* from its callback.
    for (const auto& callback : callbacks) callback.function(callback.data, level, line.data(), line.size());
  } catch (...) {
    // A message that there is no memory for is lost.
  }
}

}  // namespace vgpu::shim

using namespace vgpu::shim;

namespace {

template <typename F>
CUresult with_log(F&& f) noexcept {
  try {
    Log& all = log();
    std::lock_guard lock(all.mutex);
    return f(all);
  } catch (...) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

}  // namespace

CUresult cuLogsRegisterCallback(CUlogsCallback function, void* data, CUlogsCallbackHandle* out) {
  return with_log([&](Log& all) {
    if (!function) return CUDA_ERROR_INVALID_VALUE;
    all.callbacks.push_back(std::make_unique<CUlogsCallbackEntry_st>(CUlogsCallbackEntry_st{function, data}));
    if (out) *out = all.callbacks.back().get();
    return CUDA_SUCCESS;
  });
}

CUresult cuLogsUnregisterCallback(CUlogsCallbackHandle callback) {
  return with_log([&](Log& all) {
    return std::erase_if(all.callbacks, [&](const auto& entry) { return entry.get() == callback; }) != 0
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuLogsCurrent(CUlogIterator* iterator, unsigned int flags) {
  return with_log([&](Log& all) {
    if (!iterator || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    *iterator = all.next;
    return CUDA_SUCCESS;
  });
}

CUresult cuLogsDumpToMemory(CUlogIterator* iterator, char* buffer, size_t* size, unsigned int flags) {
  return with_log([&](Log& all) {
    if (!buffer || !size || *size == 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const std::size_t start = all.start(iterator);
    // Where not all have room, the latest ones are what matters.
    std::size_t first = all.lines.size();
    std::size_t bytes = 0;
    while (first > start && bytes + all.lines[first - 1].size() < *size) bytes += all.lines[--first].size();
    char* at = buffer;
    for (std::size_t i = first; i < all.lines.size(); ++i) at = std::copy(all.lines[i].begin(), all.lines[i].end(), at);
    *at = 0;
    *size = bytes;
    if (first == all.lines.size() && start != all.lines.size()) return CUDA_ERROR_INVALID_VALUE;
    if (iterator) *iterator = all.next;
    return CUDA_SUCCESS;
  });
}

CUresult cuLogsDumpToFile(CUlogIterator* iterator, const char* path, unsigned int flags) {
  return with_log([&](Log& all) {
    if (!path || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    std::FILE* const file = std::fopen(path, "w");
    if (!file) return CUDA_ERROR_INVALID_VALUE;
    bool good = true;
    for (std::size_t i = all.start(iterator); i < all.lines.size(); ++i)
      good = std::fwrite(all.lines[i].data(), 1, all.lines[i].size(), file) == all.lines[i].size() && good;
    good = std::fclose(file) == 0 && good;
    if (!good) return CUDA_ERROR_OPERATING_SYSTEM;
    if (iterator) *iterator = all.next;
    return CUDA_SUCCESS;
  });
}
