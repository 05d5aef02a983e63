#pragma once
#include <array>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "executor/driver.hpp"

namespace vgpu::test {

struct FakeStream;

/// A driver for tests: does what the executor asks as far as a test can see it, notes each call by name, fails where it
/// is told to. A stream that is held finishes nothing until it is let go. One at a time in a process; all threads.
class FakeCuda {
 public:
  FakeCuda();
  ~FakeCuda();

  /// Its functions; valid while it lives.
  const executor::Driver& driver() const noexcept { return driver_; }

  /// How often a function was called.
  unsigned calls(const std::string& name) const;
  /// From now on the function does nothing and returns `result`; CUDA_SUCCESS: it works again.
  void fail(const std::string& name, CUresult result);
  /// The legacy default stream (null) or another one finishes nothing until release().
  void hold(CUstream stream);
  void release(CUstream stream);
  /// Lets all streams go, for ever, and waits for the host functions that run.
  void finish();
  /// The stream that was made last.
  CUstream last_stream() const;
  /// Parameters of the last launch, and its kernel.
  std::vector<std::byte> last_parameters() const;
  CUfunction last_function() const;
  unsigned last_attribute_count() const;
  std::string last_image() const;
  /// Device and registered memory that is alive.
  std::size_t allocations() const;
  std::size_t registrations() const;
  unsigned events_alive() const;

  // What follows is for the fake functions.
  bool enter(const char* name, CUresult& result);
  static FakeCuda* current;

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, unsigned> counts;
  std::map<std::string, CUresult> failures;
  std::map<CUdeviceptr, std::unique_ptr<std::byte[]>> memory;
  std::map<CUdeviceptr, std::size_t> memory_bytes;
  std::map<CUdeviceptr, std::size_t> pooled;  ///< the part of it that belongs to pools
  std::map<void*, std::size_t> registered;
  std::map<CUstream, std::unique_ptr<FakeStream>> streams;
  std::map<CUevent, std::pair<CUstream, unsigned long>> events;  ///< stream and position that it waits for
  std::vector<std::thread> callbacks;
  std::vector<std::byte> parameters;
  CUfunction function = nullptr;
  unsigned attribute_count = 0;
  std::string image;
  std::uint64_t next_handle = 0x10000;
  CUstream newest_stream = nullptr;
  unsigned primary_references = 0;

  template <typename Handle>
  Handle make_handle() {
    return reinterpret_cast<Handle>(next_handle += 16);
  }
  /// Where a device range lies, or null.
  std::byte* device_memory(CUdeviceptr pointer, std::size_t bytes);
  FakeStream* stream(CUstream native);
  bool event_done(CUevent event);

 private:
  executor::Driver driver_;
};

struct FakeStream {
  unsigned long submitted = 0;
  unsigned long finished = 0;
  bool held = false;
  void submit() {
    ++submitted;
    if (!held) finished = submitted;
  }
};

}  // namespace vgpu::test
