#include "softgpu/context.hpp"

#include <algorithm>

#include "softgpu/driver.hpp"
#include "softgpu/kernel_heap.hpp"
#include "softgpu/log.hpp"

namespace vgpu::softgpu {
namespace {

std::atomic<std::uint64_t> next_id{1};

struct ThreadStream {
  std::shared_ptr<Context> context;
  std::uint64_t epoch;
  std::shared_ptr<Stream> stream;
};

/// The per-thread default streams of one thread; they end with it.
struct ThreadStreams {
  std::vector<ThreadStream> entries;
  ~ThreadStreams() {
    for (ThreadStream& entry : entries) entry.context->retire(entry.stream);
  }
};

thread_local ThreadStreams thread_streams;

bool erase(std::vector<std::shared_ptr<Stream>>& list, const std::shared_ptr<Stream>& stream) {
  const auto found = std::find(list.begin(), list.end(), stream);
  if (found == list.end()) return false;
  list.erase(found);
  return true;
}

constexpr std::size_t kDefaultLimits[] = {
    1024,                  // CU_LIMIT_STACK_SIZE
    std::size_t{7} << 20,  // CU_LIMIT_PRINTF_FIFO_SIZE
    std::size_t{8} << 20,  // CU_LIMIT_MALLOC_HEAP_SIZE
    2,                     // CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH
    2048,                  // CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT
    128,                   // CU_LIMIT_MAX_L2_FETCH_GRANULARITY
    0,                     // CU_LIMIT_PERSISTING_L2_CACHE_SIZE
};

}  // namespace

std::vector<std::shared_ptr<Context>>& context_stack() noexcept {
  thread_local std::vector<std::shared_ptr<Context>> stack;
  return stack;
}

Context::Context(Device& device, bool is_primary, unsigned context_flags)
    : primary(is_primary), id(next_id.fetch_add(1)), flags(context_flags), device_(device) {
  for (std::size_t i = 0; i < limits_.size(); ++i) {
    limits_[i].store(i < std::size(kDefaultLimits) ? kDefaultLimits[i] : 0);
  }
}

Context::~Context() = default;

void Context::activate() {
  const std::lock_guard lock(order_);
  legacy_ = std::make_shared<Stream>(*this, StreamKind::legacy, 0);
  epoch_.fetch_add(1);
  active_.store(true, std::memory_order_release);
}

void Context::deactivate() {
  active_.store(false, std::memory_order_release);
  synchronize();
  forget_peers();
  driver().destroy_objects_of(*this);
  std::vector<std::shared_ptr<Stream>> streams;
  {
    const std::scoped_lock lock(order_, lists_mutex_);
    streams.swap(blocking_);
    streams.insert(streams.end(), non_blocking_.begin(), non_blocking_.end());
    streams.insert(streams.end(), retired_.begin(), retired_.end());
    streams.push_back(legacy_);
    non_blocking_.clear();
    retired_.clear();
    // The legacy stream's object stays as a closed one: a thread that raced with the end must not meet a null pointer.
  }
  for (const auto& stream : streams) {
    stream->close();
    stream->join();
  }
  const std::lock_guard lock(heap_mutex_);
  heap_.reset();  // its memory went with the context's
}

std::shared_ptr<Stream> Context::legacy() {
  const std::shared_lock lock(order_);
  return legacy_;
}

std::shared_ptr<Stream> Context::per_thread() {
  const std::uint64_t epoch = epoch_.load();
  auto& entries = thread_streams.entries;
  for (const ThreadStream& entry : entries) {
    if (entry.context.get() == this && entry.epoch == epoch) return entry.stream;
  }
  std::erase_if(entries, [this](const ThreadStream& entry) { return entry.context.get() == this; });
  auto stream = create_stream(StreamKind::blocking, 0);
  entries.push_back({shared_from_this(), epoch, stream});
  return stream;
}

std::shared_ptr<Stream> Context::create_stream(StreamKind kind, int priority) {
  join_ended();
  auto stream = std::make_shared<Stream>(*this, kind, priority);
  if (kind == StreamKind::non_blocking) {
    const std::lock_guard lock(lists_mutex_);
    non_blocking_.push_back(stream);
  } else {
    const std::lock_guard lock(order_);
    blocking_.push_back(stream);
  }
  return stream;
}

void Context::retire(const std::shared_ptr<Stream>& stream) {
  {
    const std::scoped_lock lock(order_, lists_mutex_);
    // A blocking stream with pending work must still hold the legacy stream back, so it leaves the list when it is
    // idle.
    const bool found = stream->kind() == StreamKind::non_blocking
                           ? erase(non_blocking_, stream)
                           : std::find(blocking_.begin(), blocking_.end(), stream) != blocking_.end();
    if (!found) return;
    retired_.push_back(stream);
  }
  stream->close();
  if (stream->idle()) stream->join();
  join_ended();
}

void Context::join_ended() {
  std::vector<std::shared_ptr<Stream>> ended;
  {
    const std::lock_guard lists(lists_mutex_);
    if (retired_.empty()) return;
    for (auto it = retired_.begin(); it != retired_.end();) {
      if ((*it)->ended()) {
        ended.push_back(std::move(*it));
        it = retired_.erase(it);
      } else {
        ++it;
      }
    }
  }
  for (const auto& stream : ended) {
    stream->join();
    const std::lock_guard lock(order_);
    erase(blocking_, stream);
  }
}

std::vector<Point> Context::pending(Stream& stream) {
  std::vector<Point> points;
  if (!stream.idle()) points.push_back(stream.last());
  if (stream.kind() == StreamKind::legacy) {
    const std::shared_lock lock(order_);
    for (const auto& other : blocking_) {
      if (!other->idle()) points.push_back(other->last());
    }
  }
  return points;
}

std::vector<Point> Context::pending() {
  std::vector<Point> points;
  const std::shared_lock lock(order_);
  const std::lock_guard lists(lists_mutex_);
  const auto add = [&](const std::shared_ptr<Stream>& stream) {
    if (!stream->idle()) points.push_back(stream->last());
  };
  if (legacy_ != nullptr) add(legacy_);
  for (const auto& stream : blocking_) add(stream);
  for (const auto& stream : non_blocking_) add(stream);
  for (const auto& stream : retired_) add(stream);
  return points;
}

void Context::synchronize() {
  for (const Point& point : pending()) point.wait();
}

CUresult Context::get_limit(CUlimit limit, std::size_t& value) const {
  const auto index = static_cast<std::size_t>(limit);
  if (index >= std::size(kDefaultLimits))
    return limit < CU_LIMIT_MAX ? CUDA_ERROR_UNSUPPORTED_LIMIT : CUDA_ERROR_INVALID_VALUE;
  value = limits_[index].load();
  return CUDA_SUCCESS;
}

ptx::DeviceHeap* Context::kernel_heap() {
  const std::lock_guard lock(heap_mutex_);
  if (heap_ == nullptr) {
    const std::size_t bytes = limits_[CU_LIMIT_MALLOC_HEAP_SIZE].load();
    // As a variable: nothing that the host calls frees it.
    const std::uint64_t base = bytes == 0 ? 0 : driver().memory.allocate(*this, bytes, MemoryKind::variable);
    if (base == 0) {
      log(LogLevel::error, "no room for the heap of kernels bytes={}", bytes);
      return nullptr;
    }
    heap_ = std::make_unique<KernelHeap>(base, bytes);
  }
  return heap_.get();
}

CUresult Context::set_limit(CUlimit limit, std::size_t value) {
  const auto index = static_cast<std::size_t>(limit);
  if (index >= std::size(kDefaultLimits))
    return limit < CU_LIMIT_MAX ? CUDA_ERROR_UNSUPPORTED_LIMIT : CUDA_ERROR_INVALID_VALUE;
  if (limit == CU_LIMIT_MAX_L2_FETCH_GRANULARITY && value > 128) return CUDA_ERROR_INVALID_VALUE;
  if (limit == CU_LIMIT_PERSISTING_L2_CACHE_SIZE && value != 0) return CUDA_ERROR_INVALID_VALUE;
  if (limit == CU_LIMIT_STACK_SIZE) {
    // Each thread of a block has its own stack; the device rounds it as an H100 does.
    constexpr std::size_t kMaxStack = std::size_t{512} << 10;
    if (value > kMaxStack) return CUDA_ERROR_INVALID_VALUE;
    value = (value + 15) / 16 * 16;
  }
  const std::lock_guard lock(heap_mutex_);
  // The heap keeps its size (CUDA driver API, cuCtxSetLimit).
  if (limit == CU_LIMIT_MALLOC_HEAP_SIZE && heap_ != nullptr) return CUDA_ERROR_INVALID_VALUE;
  limits_[index].store(value);
  return CUDA_SUCCESS;
}

}  // namespace vgpu::softgpu
