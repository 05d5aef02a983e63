#include "fake_executor.hpp"

#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "protocol/ring.hpp"
#include "shim/session.hpp"

namespace vgpu::shim::test {

using protocol::shared;

namespace {

constexpr u64 kArenaBytes = 64u << 20;
FakeExecutor* current = nullptr;

Opened open_fake() { return {current->carrier(), CUDA_SUCCESS, {}}; }

}  // namespace

class TestCarrier final : public Carrier {
 public:
  explicit TestCarrier(FakeExecutor& executor) : executor_(executor) {}
  int region_fd() const noexcept override { return executor_.memory_fd_; }
  u64 region_bytes() const noexcept override { return executor_.region_bytes_; }
  void ring_doorbell() noexcept override {
    ++executor_.doorbells_;
    const u64 one = 1;
    static_cast<void>(!::write(executor_.doorbell_fd_, &one, sizeof one));
  }
  bool alive() noexcept override { return executor_.alive_; }
  void close() noexcept override {}
  void abandon() noexcept override {}

 private:
  FakeExecutor& executor_;
};

FakeExecutor::FakeExecutor() {
  region_bytes_ = VGPU_ARENA_OFFSET + kArenaBytes;
  memory_fd_ = ::memfd_create("vgpu-test-region", MFD_CLOEXEC);
  doorbell_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  REQUIRE(::ftruncate(memory_fd_, static_cast<off_t>(region_bytes_)) == 0);
  void* at = ::mmap(nullptr, region_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd_, 0);
  REQUIRE(at != MAP_FAILED);
  region_ = static_cast<std::byte*>(at);
  control_ = reinterpret_cast<vgpu_control*>(region_);
  control_->magic = VGPU_MAGIC;
  control_->version = VGPU_VERSION;
  control_->features = VGPU_FEATURE_ARENA | VGPU_FEATURE_HOST_FUNCTIONS;
  control_->region_bytes = region_bytes_;
  control_->arena_bytes = kArenaBytes;
  control_->arena_address = u64{0x3000} << 32;
  control_->ring_bytes = VGPU_RING_BYTES;
  control_->slot_count = VGPU_SLOT_COUNT;
  control_->record_max_bytes = VGPU_RECORD_MAX_BYTES;
  control_->staging_chunks = VGPU_STAGING_CHUNKS;
  control_->session = 7;
  control_->state = VGPU_STATE_OPEN;
  thread_ = std::thread([this] { run(); });
}

FakeExecutor::~FakeExecutor() {
  stop_ = true;
  pause(false);
  const u64 one = 1;
  static_cast<void>(!::write(doorbell_fd_, &one, sizeof one));
  thread_.join();
  ::munmap(region_, region_bytes_);
  ::close(memory_fd_);
  ::close(doorbell_fd_);
}

std::unique_ptr<Carrier> FakeExecutor::carrier() { return std::make_unique<TestCarrier>(*this); }

vgpu_slot& FakeExecutor::slot(u32 index) { return reinterpret_cast<vgpu_slot*>(region_ + VGPU_SLOTS_OFFSET)[index]; }

void FakeExecutor::pause(bool paused) {
  std::lock_guard lock(mutex_);
  paused_ = paused;
  changed_.notify_all();
}

void FakeExecutor::run() {
  protocol::RingReader reader(control_, region_ + VGPU_RING_OFFSET);
  protocol::RingReader::Record raw;
  while (!stop_) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !paused_ || stop_; });
    }
    const auto status = reader.next(raw);
    if (status == protocol::RingReader::Status::violation) {
      end_session(reader.reason(), CUDA_ERROR_UNKNOWN);
      return;
    }
    if (status == protocol::RingReader::Status::empty) {
      shared(control_->executor_sleeping).store(1);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (reader.pending() || stop_) continue;
      pollfd events{doorbell_fd_, POLLIN, 0};
      ::poll(&events, 1, -1);
      u64 count = 0;
      static_cast<void>(!::read(doorbell_fd_, &count, sizeof count));
      continue;
    }
    Record record;
    record.header = raw.header;
    const u32 request_bytes = protocol::kCalls[raw.index].request_bytes;
    record.request.assign(raw.request, raw.request + request_bytes);
    record.tail.assign(raw.tail, raw.tail + raw.header.tail_bytes);
    handle(record);
    reader.consume(raw);
    std::lock_guard lock(mutex_);
    read_to_ = shared(control_->tail).load();
    changed_.notify_all();
  }
}

void FakeExecutor::handle(const Record& record) {
  Handler handler;
  {
    std::lock_guard lock(mutex_);
    records_.push_back(record);
    if (const auto found = handlers_.find(record.header.call); found != handlers_.end()) handler = found->second;
  }
  const Answer given = handler ? handler(record) : respond(record);
  if (given.hold) return;
  if (record.header.slot == VGPU_NO_SLOT) {
    if (given.result != CUDA_SUCCESS) set_async_error(given.result);
    return;
  }
  answer(record, given);
}

void FakeExecutor::answer(const Record& record, const Answer& given) {
  vgpu_slot& place = slot(record.header.slot);
  if (!given.reply.empty()) std::memcpy(place.reply, given.reply.data(), given.reply.size());
  place.result = given.result;
  place.reply_bytes = static_cast<u32>(given.reply.size());
  shared(place.done).store(record.header.ticket, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (shared(place.sleeping).load() != 0) ::syscall(SYS_futex, &place.done, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

void FakeExecutor::end_session(vgpu_end_reason reason, CUresult result) {
  control_->end_reason = reason;
  control_->end_result = result;
  shared(control_->state).store(VGPU_STATE_ENDED, std::memory_order_release);
}

void FakeExecutor::set_async_error(CUresult error) {
  i32 none = 0;
  shared(control_->async_error).compare_exchange_strong(none, static_cast<i32>(error));
}

std::vector<Record> FakeExecutor::records() {
  std::unique_lock lock(mutex_);
  const u64 published = shared(control_->head).load();
  changed_.wait_for(lock, std::chrono::seconds(10), [&] { return read_to_ >= published; });
  return records_;
}

void FakeExecutor::forget_records() {
  static_cast<void>(records());
  std::lock_guard lock(mutex_);
  records_.clear();
}

std::byte* FakeExecutor::device_memory(u64 address) {
  std::lock_guard lock(memory_mutex_);
  auto after = memory_.upper_bound(address);
  if (after == memory_.begin()) return nullptr;
  auto& [base, bytes] = *std::prev(after);
  return address - base < bytes.size() ? bytes.data() + (address - base) : nullptr;
}

Answer FakeExecutor::allocate(u64 bytes) {
  std::lock_guard lock(memory_mutex_);
  const u64 address = next_address_;
  next_address_ += (bytes + 0xfffff) / 0x100000 * 0x100000 + 0x100000;
  memory_[address].resize(bytes);
  return reply_with(call::cuMemAlloc::Reply{protocol::Pointer{address}});
}

Answer FakeExecutor::answer_device_info(const Record& record) {
  const auto& request = record.as<call::vgpuDeviceInfo>();
  protocol::DeviceInfo info{};
  const auto set = [&](CUdevice_attribute attribute, int value) {
    info.attribute[attribute] = value;
    info.known[attribute] = 1;
  };
  set(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kMaxThreads);
  set(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536);
  set(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, kMaxThreads);
  set(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, kMaxThreads);
  set(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64);
  set(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 0x7fffffff);
  set(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535);
  set(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535);
  set(CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32);
  set(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 4);
  set(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048);
  std::strcpy(info.name.data(), "Pretended GPU");
  std::strcpy(info.pci_bus_id.data(), "0000:3B:00.0");
  info.uuid[0] = 0xab;
  info.total_memory = u64{8} << 30;
  info.compute_major = 9;
  // As the driver: the range is known only where a context is current.
  info.greatest_stream_priority = record.header.context != 0 ? -5 : 0;
  std::memcpy(region_ + static_cast<u64>(request.into), &info, sizeof info);
  return reply_with(call::vgpuDeviceInfo::Reply{sizeof info});
}

std::byte* FakeExecutor::at_side(const protocol::CopySide& side, u64 row, u64 plane) {
  using protocol::CopySide;
  if (side.kind == CopySide::kArray) {
    auto& [pitch, rows, bytes] = arrays_.at(side.base);
    return bytes.data() + ((plane + side.z) * rows + row + side.y) * pitch + side.x;
  }
  const u64 at = side.base + (plane * side.plane_rows + row) * side.pitch;
  return side.kind == CopySide::kRegion ? region_ + at : device_memory(at);
}

void FakeExecutor::copy_box(const Record& record) {
  const auto& r = record.as<call::cuMemcpy3DAsync>();  // the same fields as cuMemcpy3D
  for (u64 plane = 0; plane < r.extent.depth; ++plane)
    for (u64 row = 0; row < r.extent.height; ++row)
      std::memcpy(at_side(r.destination, row, plane), at_side(r.source, row, plane), r.extent.width);
}

Answer FakeExecutor::respond(const Record& record) {
  switch (record.header.call) {
    case call::vgpuAttach::number:
      return reply_with(call::vgpuAttach::Reply{13000, 1});
    case call::vgpuDeviceInfo::number:
      return answer_device_info(record);
    case call::vgpuServeHostFunctions::number:
      return {CUDA_SUCCESS, {}, true};
    case call::cuMemAlloc::number:
      return allocate(record.as<call::cuMemAlloc>().bytes);
    case call::cuMemAllocAsync::number:
      return allocate(record.as<call::cuMemAllocAsync>().bytes);
    case call::cuMemHostAlloc::number: {
      const u64 at = static_cast<u64>(record.as<call::cuMemHostAlloc>().extent) - VGPU_ARENA_OFFSET;
      return reply_with(call::cuMemHostAlloc::Reply{protocol::Pointer{control_->arena_address + at}});
    }
    case call::cuMemcpyHtoD::number:
    case call::cuMemcpyHtoDAsync::number: {
      const auto& r = record.as<call::cuMemcpyHtoD>();
      const bool in_tail = r.source == protocol::kInline;
      std::memcpy(device_memory(static_cast<u64>(r.destination)),
                  in_tail ? record.tail.data() : region_ + static_cast<u64>(r.source), r.bytes);
      return {};
    }
    case call::cuMemcpyDtoH::number:
    case call::cuMemcpyDtoHAsync::number: {
      const auto& r = record.as<call::cuMemcpyDtoH>();
      std::memcpy(region_ + static_cast<u64>(r.destination), device_memory(static_cast<u64>(r.source)), r.bytes);
      return {};
    }
    case call::cuMemcpyDtoD::number:
    case call::cuMemcpyDtoDAsync::number: {
      const auto& r = record.as<call::cuMemcpyDtoD>();
      std::memcpy(device_memory(static_cast<u64>(r.destination)), device_memory(static_cast<u64>(r.source)), r.bytes);
      return {};
    }
    case call::cuMemcpy3D::number:
    case call::cuMemcpy3DAsync::number:
      copy_box(record);
      return {};
    case call::cuArray3DCreate::number: {
      const auto& r = record.as<call::cuArray3DCreate>();
      const u64 pitch = r.shape.width * r.shape.channels * 4;  // the widest texel
      const u64 rows = std::max<u64>(r.shape.height, 1);
      arrays_[r.array.value] = {pitch, rows, std::vector<std::byte>(pitch * rows * std::max<u64>(r.shape.depth, 1))};
      return {};
    }
    case call::cuFuncGetAttribute::number: {
      const u32 attribute = record.as<call::cuFuncGetAttribute>().attribute;
      const int value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK           ? 512
                        : attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ? 49152
                                                                                       : 3;
      return reply_with(call::cuFuncGetAttribute::Reply{value, 0});
    }
    default: {
      // Success with a reply of zeros, as long as the call's.
      const u16 index = protocol::index_of_number(record.header.call);
      return {CUDA_SUCCESS, std::vector<std::byte>(protocol::kCalls[index].reply_bytes), false};
    }
  }
}

Session::Session(bool initialize) {
  current = &executor;
  set_carrier_opener(open_fake);
  if (!initialize) return;
  REQUIRE(cuInit(0) == CUDA_SUCCESS);
  REQUIRE(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
  REQUIRE(cuCtxSetCurrent(context) == CUDA_SUCCESS);
  executor.forget_records();
}

Session::~Session() {
  executor.pause(false);
  forget_session();
}

CUfunction Session::function(const std::vector<u32>& sizes, const char* name) {
  executor.on<call::cuModuleGetFunction>([sizes](const Record&) {
    call::cuModuleGetFunction::Reply reply{};
    for (const u32 size : sizes) {
      reply.parameter_bytes = (reply.parameter_bytes + size - 1) / size * size;
      reply.parameters.layout[reply.parameter_count++] = {static_cast<u16>(reply.parameter_bytes),
                                                          static_cast<u16>(size)};
      reply.parameter_bytes += size;
    }
    return reply_with(reply);
  });
  CUmodule module = nullptr;
  REQUIRE(cuModuleLoadData(&module, fatbin_image()) == CUDA_SUCCESS);
  CUfunction found = nullptr;
  REQUIRE(cuModuleGetFunction(&found, module, name) == CUDA_SUCCESS);
  return found;
}

const void* fatbin_image() {
  static const struct {
    u32 magic = 0xba55ed50;
    u16 version = 1;
    u16 header_bytes = 16;
    u64 bytes = 8;
    u64 data = 0;
  } image;
  return &image;
}

}  // namespace vgpu::shim::test
