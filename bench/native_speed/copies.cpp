#include <array>
#include <cstdlib>
#include <cstring>
#include <new>

#include "calls.hpp"

namespace vgpu::bench {
namespace {

struct Size {
  const char* name;
  std::size_t bytes;  ///< 0: large_copy()
};
constexpr std::array<Size, 3> kSizes{{{"4b", 4}, {"64k", std::size_t{64} << 10}, {"large", 0}}};

/// From here on a sample is one copy.
constexpr std::size_t kSingle = std::size_t{1} << 20;

/// Memory of the program, in the kind that a row copies.
class HostMemory {
 public:
  HostMemory(const Driver& driver, std::size_t bytes, bool pinned) : driver_(driver), pinned_(pinned) {
    if (pinned_)
      driver_.check(driver_.cuMemAllocHost_p(&memory_, bytes), "cuMemAllocHost");
    else
      memory_ = std::malloc(bytes);
    if (memory_ == nullptr) throw std::bad_alloc();
    // Touched before anything is measured: the first use of a page is the kernel's work, not the copy's.
    std::memset(memory_, 1, bytes);
  }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  ~HostMemory() {
    if (pinned_)
      driver_.cuMemFreeHost_p(memory_);
    else
      std::free(memory_);
  }
  void* get() const noexcept { return memory_; }

 private:
  const Driver& driver_;
  bool pinned_;
  void* memory_ = nullptr;
};

/// Microseconds of each copy where it is small, else GB/s.
Figures copy(const Device& device, const Effort& effort, std::size_t bytes, bool to_device, bool pinned) {
  const Driver& d = device.driver();
  if (bytes == 0) bytes = effort.large_copy();
  const HostMemory host(d, bytes, pinned);
  CUdeviceptr memory = 0;
  d.check(d.cuMemAlloc_p(&memory, bytes), "cuMemAlloc");
  const auto one = [&] {
    if (to_device)
      d.check(d.cuMemcpyHtoD_p(memory, host.get(), bytes), "cuMemcpyHtoD");
    else
      d.check(d.cuMemcpyDtoH_p(host.get(), memory, bytes), "cuMemcpyDtoH");
  };
  Figures figures;
  if (bytes < kSingle) {
    figures = batches(effort, effort.batch() / 5, one);
  } else {
    one();
    const int samples = effort.quick ? 2 : 6;
    for (int i = 0; i < samples; ++i) {
      const auto start = Clock::now();
      one();
      figures.samples.push_back(microseconds(start, Clock::now()));
    }
    figures.times = static_cast<unsigned long>(samples) + 1;
  }
  if (bytes != kSizes[0].bytes)
    for (double& sample : figures.samples) sample = static_cast<double>(bytes) / sample / 1e3;
  d.check(d.cuMemFree_p(memory), "cuMemFree");
  return figures;
}

}  // namespace

std::vector<Row> copy_rows() {
  std::vector<Row> rows;
  for (const Size& size : kSizes)
    for (const bool pinned : {false, true})
      for (const bool to_device : {true, false})
        rows.push_back({std::string(to_device ? "htod_" : "dtoh_") + size.name + (pinned ? "_pinned" : "_pageable"),
                        [size, to_device, pinned](const Device& device, const Effort& effort) {
                          return copy(device, effort, size.bytes, to_device, pinned);
                        }});
  return rows;
}

}  // namespace vgpu::bench
