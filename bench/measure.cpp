#include "measure.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace vgpu::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kPtx = R"(
.version 6.4
.target sm_75
.address_size 64
.visible .entry empty()
{
  ret;
}
)";

double microseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::micro>(to - from).count();
}

/// An open device with its primary context and what the measurements need.
class Bench {
 public:
  explicit Bench(const std::filesystem::path& library) : driver_(library) {
    const Driver& d = driver_;
    CUcontext context = nullptr;
    d.check(d.cuInit_p(0), "cuInit");
    d.check(d.cuDeviceGet_p(&device_, 0), "cuDeviceGet");
    d.check(d.cuDevicePrimaryCtxRetain_p(&context, device_), "cuDevicePrimaryCtxRetain");
    d.check(d.cuCtxSetCurrent_p(context), "cuCtxSetCurrent");
    CUmodule module = nullptr;
    d.check(d.cuModuleLoadData_p(&module, kPtx), "cuModuleLoadData");
    d.check(d.cuModuleGetFunction_p(&kernel_, module, "empty"), "cuModuleGetFunction");
    d.check(d.cuStreamCreate_p(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    d.check(d.cuEventCreate_p(&event_, CU_EVENT_DISABLE_TIMING), "cuEventCreate");
  }

  const Driver& driver() const noexcept { return driver_; }
  CUdevice device() const noexcept { return device_; }
  CUstream stream() const noexcept { return stream_; }
  CUevent event() const noexcept { return event_; }

  void launch() const {
    driver_.check(driver_.cuLaunchKernel_p(kernel_, 1, 1, 1, 1, 1, 1, 0, stream_, nullptr, nullptr), "cuLaunchKernel");
  }
  void synchronize() const { driver_.check(driver_.cuStreamSynchronize_p(stream_), "cuStreamSynchronize"); }

 private:
  Driver driver_;
  CUdevice device_ = 0;
  CUfunction kernel_ = nullptr;
  CUstream stream_ = nullptr;
  CUevent event_ = nullptr;
};

/// Each sample is the mean cost of one `call` in a batch; `settle` runs between batches and is not measured.
Series series_of(const char* name, const Effort& effort, int batch, const std::function<void()>& call,
                 const std::function<void()>& settle) {
  Series series{name, Unit::microseconds, {}};
  for (int i = 0; i < batch; ++i) call();
  settle();
  for (int sample = 0; sample < effort.samples(); ++sample) {
    const auto start = Clock::now();
    for (int i = 0; i < batch; ++i) call();
    series.samples.push_back(microseconds(start, Clock::now()) / batch);
    settle();
  }
  return series;
}

/// Each sample is one copy of `bytes`; small ones are averaged over several.
Series copy_series(const std::string& name, Unit unit, const Effort& effort, std::size_t bytes,
                   const std::function<void()>& copy) {
  Series series{name, unit, {}};
  const int batch = bytes >= (1u << 20) ? 1 : effort.batch() / 5;
  const int samples = bytes >= (1u << 20) ? (effort.quick ? 2 : 6) : effort.samples();
  copy();
  for (int sample = 0; sample < samples; ++sample) {
    const auto start = Clock::now();
    for (int i = 0; i < batch; ++i) copy();
    const double each = microseconds(start, Clock::now()) / batch;
    series.samples.push_back(unit == Unit::microseconds ? each : static_cast<double>(bytes) / each / 1e3);
  }
  return series;
}

struct CopySize {
  const char* name;
  std::size_t bytes;
  Unit unit;
};

std::array<CopySize, 3> copy_sizes(const Effort& effort) {
  return {{{"4 B", 4, Unit::microseconds},
           {"64 KiB", std::size_t{64} << 10, Unit::gigabytes_per_second},
           {effort.quick ? "8 MiB" : "256 MiB", effort.large_copy(), Unit::gigabytes_per_second}}};
}

void measure_calls(const Bench& bench, const Effort& effort, const std::function<void(const Series&)>& take) {
  const Driver& d = bench.driver();
  const auto nothing = [] {};
  const auto settle = [&] { bench.synchronize(); };
  const int batch = effort.batch();
  take(series_of(
      "asynchronous launch, caller's thread", effort, batch, [&] { bench.launch(); }, settle));
  take(series_of(
      "idle cuStreamQuery", effort, batch, [&] { d.check(d.cuStreamQuery_p(bench.stream()), "cuStreamQuery"); },
      nothing));
  take(series_of(
      "cuMemGetInfo", effort, batch / 5,
      [&] {
        std::size_t free_bytes = 0, total = 0;
        d.check(d.cuMemGetInfo_p(&free_bytes, &total), "cuMemGetInfo");
      },
      nothing));
  take(series_of(
      "idle cuStreamSynchronize", effort, batch, [&] { bench.synchronize(); }, nothing));
  take(series_of(
      "launch + cuStreamSynchronize", effort, batch,
      [&] {
        bench.launch();
        bench.synchronize();
      },
      nothing));
  take(series_of(
      "cuEventRecord", effort, batch,
      [&] { d.check(d.cuEventRecord_p(bench.event(), bench.stream()), "cuEventRecord"); }, settle));
  take(series_of(
      "cuEventQuery, done", effort, batch, [&] { d.check(d.cuEventQuery_p(bench.event()), "cuEventQuery"); }, nothing));
  take(series_of(
      "cuMemAlloc + cuMemFree, 1 MiB", effort, batch / 5,
      [&] {
        CUdeviceptr pointer = 0;
        d.check(d.cuMemAlloc_p(&pointer, 1u << 20), "cuMemAlloc");
        d.check(d.cuMemFree_p(pointer), "cuMemFree");
      },
      nothing));
  take(series_of(
      "cuMemAllocAsync + cuMemFreeAsync, 1 MiB", effort, batch / 5,
      [&] {
        CUdeviceptr pointer = 0;
        d.check(d.cuMemAllocAsync_p(&pointer, 1u << 20, bench.stream()), "cuMemAllocAsync");
        d.check(d.cuMemFreeAsync_p(pointer, bench.stream()), "cuMemFreeAsync");
      },
      settle));
}

void measure_copies(const Bench& bench, const Effort& effort, const std::function<void(const Series&)>& take) {
  const Driver& d = bench.driver();
  const std::size_t most = effort.large_copy();
  CUdeviceptr device = 0;
  d.check(d.cuMemAlloc_p(&device, most), "cuMemAlloc");
  const std::unique_ptr<char, void (*)(void*)> pageable(static_cast<char*>(std::malloc(most)), &std::free);
  void* pinned = nullptr;
  d.check(d.cuMemAllocHost_p(&pinned, most), "cuMemAllocHost");
  // Touched before anything is measured: the first use of a page is the kernel's work, not the copy's.
  std::memset(pageable.get(), 1, most);
  std::memset(pinned, 1, most);
  for (const CopySize& size : copy_sizes(effort))
    for (const bool is_pinned : {false, true}) {
      void* host = is_pinned ? pinned : pageable.get();
      const std::string kind = std::string(size.name) + (is_pinned ? ", pinned" : ", pageable");
      take(copy_series("HtoD " + kind, size.unit, effort, size.bytes,
                       [&] { d.check(d.cuMemcpyHtoD_p(device, host, size.bytes), "cuMemcpyHtoD"); }));
      take(copy_series("DtoH " + kind, size.unit, effort, size.bytes,
                       [&] { d.check(d.cuMemcpyDtoH_p(host, device, size.bytes), "cuMemcpyDtoH"); }));
    }
  d.check(d.cuMemFreeHost_p(pinned), "cuMemFreeHost");
  d.check(d.cuMemFree_p(device), "cuMemFree");
}

}  // namespace

void measure(const std::filesystem::path& library, const Effort& effort,
             const std::function<void(const Series&)>& take) {
  const Bench bench(library);
  measure_calls(bench, effort, take);
  measure_copies(bench, effort, take);
}

void measure_memcpy(const Effort& effort, const std::function<void(const Series&)>& take) {
  const std::size_t most = effort.large_copy();
  const std::unique_ptr<char, void (*)(void*)> from(static_cast<char*>(std::malloc(most)), &std::free);
  const std::unique_ptr<char, void (*)(void*)> to(static_cast<char*>(std::malloc(most)), &std::free);
  std::memset(from.get(), 1, most);
  std::memset(to.get(), 2, most);
  for (const CopySize& size : copy_sizes(effort))
    take(copy_series(std::string("memcpy ") + size.name, size.unit, effort, size.bytes, [&] {
      std::memcpy(to.get(), from.get(), size.bytes);
      // The compiler must not see that nobody reads it.
      __asm__ volatile("" : : "r"(to.get()) : "memory");
    }));
}

void stay_idle(const std::filesystem::path& library, const std::function<void()>& ready) {
  const Bench bench(library);
  bench.launch();
  bench.synchronize();
  ready();
  char byte;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

std::string device_name(const std::filesystem::path& library) {
  const Bench bench(library);
  std::array<char, 256> name{};
  bench.driver().check(bench.driver().cuDeviceGetName_p(name.data(), name.size(), bench.device()), "cuDeviceGetName");
  return name.data();
}

}  // namespace vgpu::bench
