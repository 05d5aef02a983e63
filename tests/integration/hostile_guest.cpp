// A guest that means harm. Opens one session after another, does one bad thing in each, and prints for each
// `NAME ended=0|1 reason=TEXT`; the test decides what should have been.
//   hostile-guest SOCKET VM GROUP [STEP]     groups: hello, truncate, flip, header, request, ring, bulk, storm, garbage
// STEP: do each STEP-th of a long series only.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <stdexcept>
#include <string>

#include "hostile_session.hpp"
#include "protocol/catalogue.hpp"
#include "protocol/end_reason.hpp"

namespace vgpu::hostile {
namespace {

namespace call = protocol::call;
using protocol::Offset;

constexpr int kEndMilliseconds = 30000;

struct Options {
  std::string socket;
  std::uint32_t vm = 0;
  std::size_t step = 1;
};

void report(const std::string& name, const Outcome& outcome) {
  std::printf("%s ended=%d state=%u reason=%s result=%d\n", name.c_str(), outcome.ended ? 1 : 0, outcome.state,
              protocol::end_reason_text(static_cast<vgpu_end_reason>(outcome.reason)), outcome.result);
  std::fflush(stdout);
}

using Deed = std::function<void(Session&)>;

/// A session that was honest until now, then `deed`, then its end.
void attack(const Options& options, const std::string& name, const Deed& deed, bool attached = true) {
  const protocol::Hello hello = good_hello(options.vm);
  Session session(options.socket, &hello, sizeof hello);
  if (!session.open()) throw std::runtime_error(name + ": no session: " + session.welcome().text.data());
  if (attached && !session.attach()) throw std::runtime_error(name + ": an honest first record was refused");
  deed(session);
  report(name, session.wait_end(kEndMilliseconds));
}

Bytes attach_record(std::uint64_t position) { return record_of<call::vgpuAttach>({0, VGPU_VERSION, 0}, position); }

/// A message of the wrong kind, length or version in place of Hello: no session may come of it.
void hello_group(const Options& options) {
  const protocol::Hello good = good_hello(options.vm);
  const auto tell = [&](const std::string& name, const void* message, std::size_t bytes) {
    Session session(options.socket, message, bytes);
    std::printf("%s open=%d answered=%d reason=%s result=%d\n", name.c_str(), session.open() ? 1 : 0,
                session.answered() ? 1 : 0,
                protocol::end_reason_text(static_cast<vgpu_end_reason>(session.welcome().reason)),
                session.welcome().result);
    std::fflush(stdout);
  };
  for (std::size_t bytes = 0; bytes < sizeof good; ++bytes) tell("hello:" + std::to_string(bytes), &good, bytes);
  protocol::Hello hello = good;
  hello.magic ^= 1;
  tell("magic", &hello, sizeof hello);
  hello = good;
  hello.version += 1u << 16;
  tell("version", &hello, sizeof hello);
  hello = good;
  hello.bytes = 16;
  tell("bytes", &hello, sizeof hello);
  hello = good;
  hello.pool.fill('x');
  tell("pool", &hello, sizeof hello);
  const Bytes large(60000, std::byte{0x41});
  tell("large", large.data(), large.size());
}

/// A whole record of which only the first bytes were published, and one whose length says less than it holds.
void truncate_group(const Options& options) {
  const std::size_t whole = attach_record(0).size();
  for (std::size_t bytes = 1; bytes < whole; bytes += options.step) {
    attack(
        options, "published:" + std::to_string(bytes),
        [&](Session& session) { session.publish(attach_record(0), bytes); }, false);
    attack(
        options, "length:" + std::to_string(bytes),
        [&](Session& session) {
          Bytes record = attach_record(0);
          vgpu_record header = header_of(record);
          header.bytes = static_cast<std::uint32_t>(bytes);
          set_header(record, header, sizeof(call::vgpuAttach::Request));
          session.publish(record, whole);
        },
        false);
  }
}

/// Each single bit of header and request, flipped after the check word was made.
void flip_group(const Options& options) {
  const std::size_t bits = 8 * (sizeof(vgpu_record) + sizeof(call::vgpuAttach::Request));
  for (std::size_t bit = 0; bit < bits; bit += options.step)
    attack(
        options, "bit:" + std::to_string(bit),
        [&](Session& session) {
          Bytes record = attach_record(0);
          const std::size_t whole = record.size();
          record[bit / 8] ^= std::byte{1} << (bit % 8);
          session.publish(record, whole);
        },
        false);
}

/// A header that is wrong in itself, with a check word that fits.
void header_group(const Options& options) {
  const auto change = [&](const std::string& name, const std::function<void(vgpu_record&)>& edit) {
    attack(options, name, [&](Session& session) {
      Bytes record = attach_record(session.position());
      vgpu_record header = header_of(record);
      edit(header);
      set_header(record, header, sizeof(call::vgpuAttach::Request));
      session.publish(record);
    });
  };
  for (std::uint32_t bytes : {0u, 32u, 96u, 128u << 10, (128u << 10) + 32, 1u << 20, 0x80000000u, 0xffffffe0u})
    change("bytes:" + std::to_string(bytes), [&](vgpu_record& header) { header.bytes = bytes; });
  for (std::uint16_t number : {0x7f, 0xff, 0x5ff, 0x7fff, 0xffff})
    change("call:" + std::to_string(number), [&](vgpu_record& header) { header.call = number; });
  for (std::uint16_t flags : {2, 0x8000, 0xffff})
    change("flags:" + std::to_string(flags), [&](vgpu_record& header) { header.flags = flags; });
  for (std::uint32_t slot : {VGPU_SLOT_COUNT, 0x7fffffffu, VGPU_NO_SLOT - 1, VGPU_NO_SLOT})
    change("slot:" + std::to_string(slot), [&](vgpu_record& header) { header.slot = slot; });
  change("ticket:0", [](vgpu_record& header) { header.ticket = 0; });
  for (std::uint32_t bytes : {17u, 128u << 10, 0xffffffffu, 0xffffffd0u})
    change("tail:" + std::to_string(bytes), [&](vgpu_record& header) { header.tail_bytes = bytes; });
  change("sequence", [](vgpu_record& header) { header.sequence += 64; });
}

/// Requests that no shim would write.
void request_group(const Options& options) {
  attack(
      options, "protocol-version",
      [](Session& session) {
        session.publish(record_of<call::vgpuAttach>({0, VGPU_VERSION + (1u << 16), 0}, session.position()));
      },
      false);
  attack(options, "zero-field",
         [](Session& session) { session.publish(record_of<call::cuCtxSynchronize>({0xdead}, session.position())); });
}

void ring_group(const Options& options) {
  attack(options, "head:back", [](Session& session) { session.set_head(session.position() - 32); });
  attack(options, "head:far", [](Session& session) { session.set_head(session.position() + VGPU_RING_BYTES + 32); });
  attack(options, "head:unaligned", [](Session& session) { session.set_head(session.position() + 33); });
  attack(options, "head:max", [](Session& session) { session.set_head(~std::uint64_t{0} - 31); });
  attack(options, "zeros", [](Session& session) {
    std::memset(session.at(VGPU_RING_OFFSET), 0, VGPU_RING_BYTES);
    session.set_head(session.position() + 4096);
  });
  attack(options, "padding", [](Session& session) {
    Bytes record(64);
    vgpu_record header{};
    header.bytes = 64;
    header.call = VGPU_CALL_PAD;
    header.sequence = static_cast<std::uint32_t>(session.position()) + 1;
    set_header(record, header, 0);
    session.publish(record);
  });
}

/// Offsets and lengths that lead out of the region, or wrap around.
void bulk_group(const Options& options) {
  const auto device_info = [&](const std::string& name, std::uint64_t into, std::uint64_t bytes) {
    attack(options, name, [&](Session& session) {
      session.publish(record_of<call::vgpuDeviceInfo>({0, 0, Offset{into}, bytes}, session.position()));
    });
  };
  device_info("offset:control", 0, 4096);
  device_info("offset:ring", VGPU_RING_OFFSET, 4096);
  device_info("offset:far", std::uint64_t{1} << 60, 4096);
  device_info("offset:wraps", ~std::uint64_t{0} - 100, 4096);
  device_info("bytes:huge", VGPU_STAGING_OFFSET, ~std::uint64_t{0} - VGPU_STAGING_OFFSET);
  device_info("bytes:out", VGPU_STAGING_OFFSET + VGPU_STAGING_BYTES - 64, 1u << 20);
}

/// Things that are rude but allowed: the session may live, and must still answer.
void storm_group(const Options& options) {
  const auto survive = [&](const std::string& name, const Deed& deed) {
    const protocol::Hello hello = good_hello(options.vm);
    Session session(options.socket, &hello, sizeof hello);
    if (!session.open() || !session.attach()) throw std::runtime_error(name + ": no session");
    deed(session);
    const Bytes record = record_of<call::vgpuBye>({0}, session.position());
    session.publish(record);
    const bool answered = session.wait_answer(header_of(record).ticket);
    std::printf("%s answered=%d\n", name.c_str(), answered ? 1 : 0);
    std::fflush(stdout);
  };
  survive("doorbells", [](Session& session) {
    for (int i = 0; i < 200000; ++i) session.ring_doorbell();
  });
  survive("scribbled-control", [](Session& session) {
    vgpu_control& control = session.control();
    control.magic = control.version = 0;
    control.features = control.region_bytes = control.arena_bytes = control.arena_address = ~std::uint64_t{0};
    control.ring_bytes = control.slot_count = control.record_max_bytes = control.staging_chunks = ~0u;
    control.session = control.vm = 0xffffffff;
  });
  survive("shrunk-memory", [](Session& session) {
    if (::ftruncate(session.region_fd(), 4096) == 0) throw std::runtime_error("the region can be made smaller");
  });
  survive("unread-handles", [](Session& session) {
    for (std::uint64_t value : {std::uint64_t{1}, ~std::uint64_t{0}, std::uint64_t{0x2200000000ff}}) {
      const Bytes record = record_of<call::cuStreamQuery>({protocol::StreamHandle{value}}, session.position());
      session.publish(record);
      if (!session.wait_answer(header_of(record).ticket)) throw std::runtime_error("a wrong handle was not answered");
      if (reinterpret_cast<vgpu_slot*>(session.at(VGPU_SLOTS_OFFSET))->result == 0)
        throw std::runtime_error("a handle that is none was taken");
    }
  });
}

/// Repeatable noise: ring, slots and head filled at random. Whatever comes of it, only this session may suffer.
void garbage_group(const Options& options) {
  for (unsigned seed = 1; seed <= 20; seed += static_cast<unsigned>(options.step)) {
    const protocol::Hello hello = good_hello(options.vm);
    Session session(options.socket, &hello, sizeof hello);
    if (!session.open()) throw std::runtime_error("garbage: no session");
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < 65536; i += 8) {
      const std::uint64_t word = random();
      std::memcpy(session.at(VGPU_RING_OFFSET + i), &word, 8);
      std::memcpy(session.at(VGPU_SLOTS_OFFSET + i % 65536), &word, 8);
    }
    session.set_head(32 * (1 + random() % 2048));
    report("garbage:" + std::to_string(seed), session.wait_end(kEndMilliseconds));
  }
}

}  // namespace
}  // namespace vgpu::hostile

int main(int argc, char** argv) {
  using namespace vgpu::hostile;
  const std::map<std::string, void (*)(const Options&)> groups{
      {"hello", hello_group},   {"truncate", truncate_group}, {"flip", flip_group},
      {"header", header_group}, {"request", request_group},   {"ring", ring_group},
      {"bulk", bulk_group},     {"storm", storm_group},       {"garbage", garbage_group}};
  if (argc < 4 || !groups.contains(argv[3])) {
    std::fprintf(stderr, "usage: %s SOCKET VM GROUP [STEP]\n", argv[0]);
    return 2;
  }
  Options options{argv[1], static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10)), 1};
  if (argc > 4) options.step = std::max(1ul, std::strtoul(argv[4], nullptr, 10));
  try {
    groups.at(argv[3])(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
