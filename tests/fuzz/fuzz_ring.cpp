// Arbitrary bytes in the ring, read by the real reader and run by the real dispatch with a fake driver. The input's
// first byte chooses: as it is, or with sequence and check words made right, so that more of it reaches the dispatch.
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "executor/dispatch.hpp"
#include "fake_cuda.hpp"
#include "seeds.hpp"

using namespace vgpu;
using namespace vgpu::protocol;

namespace {

constexpr u64 kRegionBytes = (64u << 20) + (4u << 20);

class SilentWaker final : public executor::Waker {
 public:
  void wake(vgpu_slot&) noexcept override {}
};

/// What all runs share: making it anew for each would take longer than the run.
struct World {
  World() {
    spdlog::set_level(spdlog::level::off);
    region_fd = memfd_create("region", MFD_CLOEXEC);
    if (ftruncate(region_fd, static_cast<off_t>(kRegionBytes)) != 0) std::abort();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) != 0) std::abort();
  }
  int region_fd;
  int pair[2];
};

/// Makes sequence and check words fit, as far as the bytes look like records; returns how many bytes are records.
std::size_t repair(std::byte* ring, std::size_t bytes) {
  std::size_t at = 0;
  while (at + sizeof(vgpu_record) <= bytes) {
    vgpu_record header;
    std::memcpy(&header, ring + at, sizeof header);
    const CallInfo& info = kCalls[header.call % kCallCount];
    header.call = info.number;
    header.flags &= VGPU_RECORD_FLAGS;
    header.tail_bytes %= 2048;
    header.bytes = record_bytes(info.request_bytes, header.tail_bytes);
    header.context %= 4;
    if (info.mode != Mode::async || header.slot % 2 != 0)
      header.slot %= VGPU_SLOT_COUNT;
    else
      header.slot = VGPU_NO_SLOT;
    if (header.ticket == 0) header.ticket = 1;
    if (at + header.bytes > bytes) break;
    header.sequence = static_cast<u32>(at);
    header.check = check_word(header, ring + at + sizeof header, info.request_bytes);
    std::memcpy(ring + at, &header, sizeof header);
    at += header.bytes;
  }
  return at;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  if (size < 9) return 0;
  const bool repaired = (data[0] & 1) != 0;
  u64 head = 0;
  std::memcpy(&head, data + 1, sizeof head);
  data += 9;
  size = std::min<std::size_t>(size - 9, VGPU_RING_BYTES);

  test::FakeCuda cuda;
  executor::Region region;
  std::string error;
  if (!region.map(world.region_fd, kRegionBytes, {}, error)) std::abort();
  auto* ring = const_cast<std::byte*>(region.ring());
  std::memset(static_cast<void*>(region.control()), 0, VGPU_PAGE);
  std::memset(static_cast<void*>(region.slots()), 0, VGPU_SLOT_COUNT * VGPU_SLOT_BYTES);
  std::memcpy(ring, data, size);
  if (repaired) {
    head = repair(ring, size);
  } else {
    // Most heads are refused at once: let one in two be that of the bytes there are.
    if ((data[-9] & 2) != 0) head = size / VGPU_RECORD_ALIGN * VGPU_RECORD_ALIGN;
  }
  shared(region.control()->head).store(head, std::memory_order_release);

  executor::Link link(dup(world.pair[1]));
  SilentWaker waker;
  const auto stats = std::make_unique<SessionStats>();
  executor::Session session({}, cuda.driver(), region, *stats, link, waker);
  executor::CurrentContext current(session.cuda, session.contexts);
  RingReader reader(region.control(), region.ring());
  RingReader::Record record;
  while (!session.ended() && reader.next(record) == RingReader::Status::record) {
    executor::dispatch(session, current, record);
    reader.consume(record);
    session.parking.poll(current);
  }
  session.host_functions.end();
  cuda.finish();
  std::array<char, 512> drained;
  while (recv(world.pair[0], drained.data(), drained.size(), 0) > 0) {
  }
  std::memset(ring, 0, size);
  return 0;
}

/// Without a corpus libFuzzer would have to invent a record: the first inputs are one good record of each call.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  if (seed % 16 == 0) size = fuzz::append_seed(data, size, max_size, seed / 16);
  return LLVMFuzzerMutate(data, size, max_size);
}
