#include "protocol/ring.hpp"

#include <catch2/catch.hpp>
#include <memory>
#include <random>
#include <thread>
#include <vector>

using namespace vgpu::protocol;

namespace {

/// A control page and a ring in private memory, with both ends.
struct Fixture {
  std::unique_ptr<vgpu_control> control{new vgpu_control{}};
  std::vector<std::byte> ring = std::vector<std::byte>(VGPU_RING_BYTES);
  RingWriter writer{control.get(), ring.data()};
  RingReader reader{control.get(), ring.data()};
  RingReader::Record record{};

  /// Writes one record as a guest does. Returns false while the ring is full.
  template <typename Call>
  bool write(const typename Call::Request& request, std::vector<std::byte> tail = {}, u32 slot = 0) {
    const u32 bytes = record_bytes(wire_bytes<typename Call::Request>(), tail.size());
    std::byte* room = writer.reserve(bytes);
    if (room == nullptr) return false;
    std::memcpy(room + sizeof(vgpu_record), &request, sizeof request);
    if (!tail.empty()) std::memcpy(room + sizeof(vgpu_record) + sizeof request, tail.data(), tail.size());
    vgpu_record header{bytes, Call::number, 0, slot, 1, 7, static_cast<u32>(tail.size()), 0, 0};
    writer.publish(header, &request, sizeof request);
    return true;
  }
  RingReader::Status next() { return reader.next(record); }
};

constexpr call::cuMemcpyHtoD::Request kCopy{Pointer{0x1000}, StreamHandle{0}, kInline, 5};

std::vector<std::byte> bytes_of(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

}  // namespace

TEST_CASE("a record comes out as it went in") {
  Fixture f;
  REQUIRE(f.next() == RingReader::Status::empty);
  REQUIRE(f.write<call::cuMemcpyHtoD>(kCopy, bytes_of(5), 3));
  REQUIRE(f.reader.pending());
  REQUIRE(f.next() == RingReader::Status::record);
  CHECK(f.record.index == call::cuMemcpyHtoD::index);
  CHECK(f.record.header.slot == 3);
  CHECK(f.record.header.context == 7);
  CHECK(f.record.header.tail_bytes == 5);
  CHECK(std::memcmp(f.record.request, &kCopy, sizeof kCopy) == 0);
  CHECK(std::memcmp(f.record.tail, bytes_of(5).data(), 5) == 0);
  f.reader.consume(f.record);
  CHECK(f.next() == RingReader::Status::empty);
  CHECK_FALSE(f.reader.pending());
}

TEST_CASE("records of all sizes pass the ring's end many times") {
  Fixture f;
  std::mt19937 random(1);
  std::uint64_t passed = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto tail = bytes_of(random() % 3000);
    REQUIRE(f.write<call::cuMemcpyHtoD>(kCopy, tail));
    REQUIRE(f.next() == RingReader::Status::record);
    REQUIRE(f.record.header.tail_bytes == tail.size());
    REQUIRE((tail.empty() || std::memcmp(f.record.tail, tail.data(), tail.size()) == 0));
    passed += f.record.header.bytes;
    f.reader.consume(f.record);
  }
  CHECK(passed > 8 * VGPU_RING_BYTES);
}

TEST_CASE("a full ring refuses and goes on after the reader has read") {
  Fixture f;
  int written = 0;
  while (f.write<call::cuMemcpyHtoD>(kCopy, bytes_of(1000))) ++written;
  CHECK(written > 900);
  for (int i = 0; i < written; ++i) {
    REQUIRE(f.next() == RingReader::Status::record);
    f.reader.consume(f.record);
  }
  CHECK(f.write<call::cuMemcpyHtoD>(kCopy, bytes_of(1000)));
  CHECK(f.next() == RingReader::Status::record);
}

TEST_CASE("the writer learns once that the reader sleeps") {
  Fixture f;
  f.control->executor_sleeping = 1;
  const call::cuStreamQuery::Request request{{0}};
  auto publish = [&] {
    const u32 bytes = record_bytes(sizeof request, 0);
    std::byte* room = f.writer.reserve(bytes);
    REQUIRE(room != nullptr);
    std::memcpy(room + sizeof(vgpu_record), &request, sizeof request);
    return f.writer.publish({bytes, call::cuStreamQuery::number, 0, 0, 1, 0, 0, 0, 0}, &request, sizeof request);
  };
  CHECK(publish());
  CHECK_FALSE(publish());
  CHECK(f.control->executor_sleeping == 0);
}

TEST_CASE("each flipped bit of header and request is found") {
  const std::size_t fixed = sizeof(vgpu_record) + sizeof kCopy;
  for (std::size_t bit = 0; bit < fixed * 8; ++bit) {
    Fixture f;
    REQUIRE(f.write<call::cuMemcpyHtoD>(kCopy, bytes_of(5)));
    f.ring[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    INFO("bit " << bit);
    REQUIRE(f.next() == RingReader::Status::violation);
    REQUIRE(f.reader.reason() != VGPU_END_NONE);
  }
}

TEST_CASE("a record truncated at any byte is found") {
  Fixture whole;
  REQUIRE(whole.write<call::cuMemcpyHtoD>(kCopy, bytes_of(100)));
  const u64 head = whole.writer.head();
  for (u64 cut = 1; cut < head; ++cut) {
    Fixture f;
    REQUIRE(f.write<call::cuMemcpyHtoD>(kCopy, bytes_of(100)));
    f.control->head = cut;
    INFO("published up to byte " << cut);
    REQUIRE(f.next() == RingReader::Status::violation);
  }
}

TEST_CASE("a head that runs away is found") {
  Fixture f;
  f.control->head = VGPU_RING_BYTES + VGPU_RECORD_ALIGN;
  REQUIRE(f.next() == RingReader::Status::violation);
  CHECK(f.reader.reason() == VGPU_END_BAD_RING);
  Fixture backwards;
  REQUIRE(backwards.write<call::cuMemcpyHtoD>(kCopy));
  REQUIRE(backwards.next() == RingReader::Status::record);
  backwards.reader.consume(backwards.record);
  backwards.control->head = 0;
  CHECK(backwards.next() == RingReader::Status::violation);
}

TEST_CASE("what was published is read, whatever becomes of head meanwhile") {
  Fixture f;
  REQUIRE(f.write<call::cuMemcpyHtoD>(kCopy));
  REQUIRE(f.write<call::cuMemcpyHtoD>(kCopy));
  REQUIRE(f.next() == RingReader::Status::record);
  f.reader.consume(f.record);
  f.control->head = 0;
  REQUIRE(f.next() == RingReader::Status::record);
  f.reader.consume(f.record);
  CHECK(f.next() == RingReader::Status::violation);
  CHECK(f.reader.reason() == VGPU_END_BAD_RING);
}

TEST_CASE("a call that needs an answer names a slot that exists") {
  for (const u32 slot : {VGPU_NO_SLOT, VGPU_SLOT_COUNT}) {
    Fixture f;
    REQUIRE(f.write<call::cuMemcpyHtoD>(kCopy, {}, slot));
    REQUIRE(f.next() == RingReader::Status::violation);
    CHECK(f.reader.reason() == VGPU_END_BAD_REQUEST);
  }
}

TEST_CASE("two threads, a million records, in order") {
  Fixture f;
  constexpr u64 kRecords = 1'000'000;
  std::thread guest([&] {
    for (u64 i = 0; i < kRecords; ++i)
      while (!f.write<call::cuMemFree>({Pointer{i}})) std::this_thread::yield();
  });
  u64 wrong = 0;
  for (u64 i = 0; i < kRecords;) {
    switch (f.next()) {
      case RingReader::Status::empty:
        std::this_thread::yield();
        break;
      case RingReader::Status::violation:
        FAIL(f.reader.detail());
        break;
      case RingReader::Status::record: {
        call::cuMemFree::Request request;
        std::memcpy(&request, f.record.request, sizeof request);
        wrong += request.pointer != Pointer{i};
        f.reader.consume(f.record);
        ++i;
      }
    }
  }
  guest.join();
  CHECK(wrong == 0);
}
