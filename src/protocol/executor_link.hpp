#pragma once
#include <array>
#include <atomic>
#include <cstdint>

#include "protocol/call_trace.hpp"
#include "protocol/catalogue.hpp"
#include "protocol/vm_account.hpp"

/// What passes between vgpud and the vgpu-executor process of one session: fixed-size messages over a SOCK_SEQPACKET
/// pair, and a page of counters. Both ends are the same build; the executor is still not trusted with more than its
/// session.
namespace vgpu::protocol {

/// Descriptors that the executor inherits.
inline constexpr int kLinkFd = 3;  ///< the message socket
inline constexpr int kImagesFd =
    4;  ///< folder of images, where its mount view must have it from the start; else closed
inline constexpr int kLastFd = kImagesFd;

/// Descriptors that come with `start`, in this order. Those that a session does not have are left out.
enum class StartFd : u32 {
  region,     ///< memfd of the session's region; VM: of the whole BAR2
  stats,      ///< memfd of SessionStats, not visible to the guest
  account,    ///< memfd of VmAccount, not visible to the guest
  interrupt,  ///< VM: eventfd that raises the channel's interrupt
  images,     ///< folder of images that the VM's user had sent, unless it was inherited
  count
};
inline constexpr std::size_t kStartFds = static_cast<std::size_t>(StartFd::count);
inline constexpr u32 bit(StartFd fd) noexcept { return 1u << static_cast<u32>(fd); }

/// daemon -> executor
///
/// A lease counts from its beginning. One without limit, which then gets a quantum or must yield, counts from that
/// command's quantum before the command, if it is older: what was used while nobody else wanted it is nobody's loss.
struct ExecutorCommand {
  enum class Type : u32 {
    prepare = 6,  ///< first message: load this driver and initialize it; answered with failed, or not at all
    start = 1,    ///< second message: serve this session; answered with ready or failed
    run = 2,      ///< you hold a lease on these terms, and the ring may have records: read it until it is empty
    yield = 3,    ///< give the lease of this order up: stop reading, drain the GPU, answer with idle
    stop = 4,     ///< the guest is gone: read what is still in the ring without waiting for the GPU, then exit
    watch = 5,    ///< tell of calls what `watch` says from now on
  };
  Type type = Type::start;
  u32 session = 0;
  u32 vm = 0;
  u32 watch = 0;        ///< start, watch: bits of CallWatch
  u32 log_json = 0;     ///< prepare: 1: lines of the log are JSON objects
  u32 descriptors = 0;  ///< start: a bit for each StartFd that comes with it
  u64 region_bytes = 0;
  u32 spin_microseconds = 0;     ///< how long to poll an empty ring before sleeping
  i32 device = 0;                ///< ordinal of the device to use, as the driver library counts them; -1: all
  u64 order = 0;                 ///< run: its number, ascending; yield: of the last run that it ends
  u64 quantum_microseconds = 0;  ///< run: give the lease up by yourself when it counts so much; 0: no limit. See below
  u64 backlog_microseconds = 0;  ///< run: how much unfinished work the GPU may have; 0: any amount
  std::array<char, 32> pool{};
  std::array<char, 256> driver_library{};  ///< prepare: path or soname to dlopen

  // start: where the session's shared memory lies in the memfd.
  static constexpr u32 kInVm = 1u << 0;
  u64 channel_offset = 0;  ///< of the region's control page; 0 where the memfd is the region
  u64 arena_offset = 0;    ///< VM: of the arena's granule 0; 0: the arena follows the channel, in one piece
  u32 channel = 0;         ///< VM: its number, with which granules name their owner
  u64 images_bytes = 0;    ///< how much may lie in the folder of images
  u64 context_memory = 0;  ///< device memory that a context takes by itself
  u32 account_slot = 0;    ///< the session's slot of the VM's VmAccount
  u32 flags = 0;           ///< kInVm: the arena's granules are mapped on request, threads wake by kInterruptFd
};

/// executor -> daemon
struct ExecutorEvent {
  enum class Type : u32 {
    ready = 1,   ///< text: the device's name
    failed = 2,  ///< could not start: result and text say why
    idle = 3,    ///< ring empty and GPU drained (or after yield): the lease is back
    fault = 4,   ///< something that the operator should know and the session survives: a sticky CUDA error, with text
    ended = 5,   ///< the session ended: reason and text say why; the process exits after it
  };
  Type type = Type::ready;
  u32 reason = 0;               ///< vgpu_end_reason
  i32 result = 0;               ///< CUresult
  u32 pending = 0;              ///< idle: 1 if there are records in the ring
  u64 order = 0;                ///< idle: of the last run that was obeyed
  u64 busy_nanoseconds = 0;     ///< idle: of the lease, GPU time used
  u64 counted_nanoseconds = 0;  ///< idle: so much of that counts against the session's share
  std::array<char, 216> text{};
};

/// Upper bounds of SessionStats::queue_delays, in seconds: from a record that is read at once to a lease that is lost.
inline constexpr std::array<double, 12> kQueueDelayBounds{0.000001, 0.000005, 0.00001, 0.00005, 0.0001, 0.0005,
                                                          0.001,    0.005,    0.01,    0.05,    0.1,    1};

/// Counters of one session, written by its executor with relaxed stores, read by the daemon at each scrape. Monotone
/// but for the gauges at the end.
struct SessionStats {
  static constexpr u32 kMaxNames = 1024;
  enum Direction : u32 { host_to_device, device_to_host, device_to_device, kDirections };
  using Counter = std::atomic<u64>;

  Counter calls_processed;
  Counter kernels_launched;
  std::array<Counter, kDirections> copied_bytes;
  Counter sleeps;                                      ///< times the executor went to sleep on an empty ring
  Counter sync_calls;                                  ///< records with a completion slot
  Counter gpu_nanoseconds;                             ///< GPU time of leases, less what they were idle
  std::array<Counter, kCallCount> calls_by_name;       ///< by call::Index
  std::array<Counter, kMaxNames> unsupported_by_name;  ///< by cuda_name_index() (common/cuda_names.hpp)

  std::array<Counter, kLimits> refused;  ///< by Limit: what the VM's limits did not allow
  Counter calls_delayed;                 ///< times that reading waited for the VM's calls per second

  std::array<Counter, kQueueDelayBounds.size() + 1> queue_delays;  ///< samples, by bound; the last one: of all longer
  Counter queue_delay_nanoseconds;                                 ///< their sum

  Counter memory_used_bytes;  ///< gauge: device memory that is charged to the session, as in its slot of VmAccount
  Counter memory_changed;     ///< when that last changed, in nanoseconds of CLOCK_MONOTONIC; 0: never
  std::atomic<double> memory_byte_seconds;  ///< the sum of memory over time, up to then

  // While they are watched. Pages that nobody writes cost nothing.
  std::array<CallProfile, kCallCount> profile;  ///< by call::Index
  CallTrace trace;
};
static_assert(std::atomic<double>::is_always_lock_free);
static_assert(std::atomic<u64>::is_always_lock_free);

inline constexpr const char* direction_name(u32 direction) noexcept {
  constexpr std::array<const char*, SessionStats::kDirections> names{"host_to_device", "device_to_host",
                                                                     "device_to_device"};
  return direction < names.size() ? names[direction] : "unknown";
}

}  // namespace vgpu::protocol
