#pragma once
#include <cuda.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "protocol/catalogue.hpp"
#include "protocol/payload.hpp"
#include "shim/carrier.hpp"

/// An executor in the test's own process: reads the ring of a local region in a thread, keeps every record, and answers
/// as told. Device memory is ordinary memory behind made-up addresses.
namespace vgpu::shim::test {

using protocol::u16;
using protocol::u32;
using protocol::u64;
namespace call = protocol::call;

struct Record {
  vgpu_record header;
  std::vector<std::byte> request;
  std::vector<std::byte> tail;

  template <typename Call>
  const typename Call::Request& as() const {
    return *reinterpret_cast<const typename Call::Request*>(request.data());
  }
};

struct Answer {
  CUresult result = CUDA_SUCCESS;
  std::vector<std::byte> reply;
  bool hold = false;  ///< no answer now; the test gives it with FakeExecutor::answer()
};

template <typename Reply>
Answer reply_with(const Reply& reply, CUresult result = CUDA_SUCCESS) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&reply);
  return {result, {bytes, bytes + sizeof reply}, false};
}

class FakeExecutor {
 public:
  using Handler = std::function<Answer(const Record&)>;

  FakeExecutor();
  ~FakeExecutor();
  FakeExecutor(const FakeExecutor&) = delete;
  FakeExecutor& operator=(const FakeExecutor&) = delete;

  /// A carrier to this executor's region; the executor must outlive it.
  std::unique_ptr<Carrier> carrier();

  template <typename Call>
  void on(Handler handler) {
    std::lock_guard lock(mutex_);
    handlers_[Call::number] = std::move(handler);
  }

  /// All records so far, or those of one call. Published ones that were not read yet are waited for.
  std::vector<Record> records();
  template <typename Call>
  std::vector<Record> records_of() {
    std::vector<Record> found;
    for (Record& record : records())
      if (record.header.call == Call::number) found.push_back(std::move(record));
    return found;
  }
  void forget_records();

  void answer(const Record& record, const Answer& answer);
  /// Stops and resumes the reading of the ring.
  void pause(bool paused);
  void end_session(vgpu_end_reason reason, CUresult result);
  void set_async_error(CUresult error);
  void set_alive(bool alive) { alive_ = alive; }
  u64 doorbells() const { return doorbells_; }
  vgpu_control& control() { return *control_; }
  vgpu_slot& slot(u32 index);
  std::byte* region() { return region_; }

  /// Memory behind an address of the pretended GPU.
  std::byte* device_memory(u64 address);

  /// Limits that DeviceInfo tells.
  static constexpr int kMaxThreads = 1024;

 private:
  friend class TestCarrier;
  void run();
  void handle(const Record& record);
  Answer respond(const Record& record);
  Answer answer_device_info(const Record& record);
  Answer allocate(u64 bytes);
  std::byte* at_side(const protocol::CopySide& side, u64 row, u64 plane);
  void copy_box(const Record& record);

  int memory_fd_ = -1;
  int doorbell_fd_ = -1;
  u64 region_bytes_ = 0;
  std::byte* region_ = nullptr;
  vgpu_control* control_ = nullptr;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Record> records_;
  u64 read_to_ = 0;
  std::map<u16, Handler> handlers_;
  bool paused_ = false;

  std::mutex memory_mutex_;
  std::map<u64, std::vector<std::byte>> memory_;
  struct PretendedArray {
    u64 pitch, rows;
    std::vector<std::byte> bytes;
  };
  std::map<u64, PretendedArray> arrays_;  ///< by handle
  u64 next_address_ = u64{0x7000} << 32;

  std::atomic<bool> stop_{false};
  std::atomic<bool> alive_{true};
  std::atomic<u64> doorbells_{0};
  std::thread thread_;
};

/// One session with a fake executor, initialized, with the primary context current.
class Session {
 public:
  explicit Session(bool initialize = true);
  ~Session();
  FakeExecutor executor;
  CUcontext context = nullptr;

  /// A function with parameters of the given sizes, each aligned to its size.
  CUfunction function(const std::vector<u32>& sizes, const char* name = "kernel");
};

/// An image that measures well: an empty fatbin.
const void* fatbin_image();

}  // namespace vgpu::shim::test
