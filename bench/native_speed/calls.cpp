#include "calls.hpp"

namespace vgpu::bench {

Figures batches(const Effort& effort, int batch, const std::function<void()>& call,
                const std::function<void()>& settle) {
  Figures figures;
  for (int i = 0; i < batch; ++i) call();
  settle();
  for (int sample = 0; sample < effort.samples(); ++sample) {
    const auto start = Clock::now();
    for (int i = 0; i < batch; ++i) call();
    figures.samples.push_back(microseconds(start, Clock::now()) / batch);
    settle();
  }
  figures.times = static_cast<unsigned long>(batch) * static_cast<unsigned long>(effort.samples() + 1);
  return figures;
}

namespace {

Figures launch(const Device& device, const Effort& effort) {
  return batches(
      effort, effort.batch(), [&] { device.launch(); }, [&] { device.synchronize(); });
}

Figures launch_sync(const Device& device, const Effort& effort) {
  return batches(effort, effort.batch(), [&] {
    device.launch();
    device.synchronize();
  });
}

Figures stream_query(const Device& device, const Effort& effort) {
  const Driver& d = device.driver();
  return batches(effort, effort.batch(), [&] { d.check(d.cuStreamQuery_p(device.stream()), "cuStreamQuery"); });
}

Figures stream_sync(const Device& device, const Effort& effort) {
  return batches(effort, effort.batch(), [&] { device.synchronize(); });
}

Figures mem_get_info(const Device& device, const Effort& effort) {
  const Driver& d = device.driver();
  return batches(effort, effort.batch() / 5, [&] {
    std::size_t free_bytes = 0, total = 0;
    d.check(d.cuMemGetInfo_p(&free_bytes, &total), "cuMemGetInfo");
  });
}

Figures event_record(const Device& device, const Effort& effort) {
  const Driver& d = device.driver();
  return batches(
      effort, effort.batch(), [&] { d.check(d.cuEventRecord_p(device.event(), device.stream()), "cuEventRecord"); },
      [&] { device.synchronize(); });
}

Figures event_query(const Device& device, const Effort& effort) {
  const Driver& d = device.driver();
  d.check(d.cuEventRecord_p(device.event(), device.stream()), "cuEventRecord");
  device.synchronize();
  return batches(effort, effort.batch(), [&] { d.check(d.cuEventQuery_p(device.event()), "cuEventQuery"); });
}

Figures alloc_free(const Device& device, const Effort& effort) {
  const Driver& d = device.driver();
  return batches(effort, effort.batch() / 5, [&] {
    CUdeviceptr pointer = 0;
    d.check(d.cuMemAlloc_p(&pointer, 1u << 20), "cuMemAlloc");
    d.check(d.cuMemFree_p(pointer), "cuMemFree");
  });
}

Figures alloc_free_async(const Device& device, const Effort& effort) {
  const Driver& d = device.driver();
  return batches(
      effort, effort.batch() / 5,
      [&] {
        CUdeviceptr pointer = 0;
        d.check(d.cuMemAllocAsync_p(&pointer, 1u << 20, device.stream()), "cuMemAllocAsync");
        d.check(d.cuMemFreeAsync_p(pointer, device.stream()), "cuMemFreeAsync");
      },
      [&] { device.synchronize(); });
}

Figures module_load(const Device& device, const Effort& effort) {
  const Driver& d = device.driver();
  return batches(effort, 1, [&] {
    CUmodule module = nullptr;
    CUfunction function = nullptr;
    d.check(d.cuModuleLoadData_p(&module, Device::image()), "cuModuleLoadData");
    d.check(d.cuModuleGetFunction_p(&function, module, "empty"), "cuModuleGetFunction");
    d.check(d.cuModuleUnload_p(module), "cuModuleUnload");
  });
}

}  // namespace

std::vector<Row> call_rows() {
  return {{"launch", launch},           {"launch_sync", launch_sync},   {"stream_query", stream_query},
          {"stream_sync", stream_sync}, {"mem_get_info", mem_get_info}, {"event_record", event_record},
          {"event_query", event_query}, {"alloc_free", alloc_free},     {"alloc_free_async", alloc_free_async},
          {"module_load", module_load}};
}

}  // namespace vgpu::bench
