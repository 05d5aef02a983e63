#include "softgpu/address_map.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

using vgpu::softgpu::AddressMap;

TEST_CASE("address map: heap ranges are exact to the granule") {
  AddressMap map;
  constexpr auto kBase = AddressMap::kHeapBase;
  constexpr std::uint64_t kGranule = 1 << AddressMap::kGranuleShift;
  CHECK_FALSE(map.contains(kBase, 1));
  map.mark_heap(kBase + 3 * kGranule, 200 * kGranule, true);
  CHECK(map.contains(kBase + 3 * kGranule, 200 * kGranule));
  CHECK(map.contains(kBase + 100 * kGranule + 5, 16));
  CHECK_FALSE(map.contains(kBase + 3 * kGranule - 1, 2));
  CHECK_FALSE(map.contains(kBase + 203 * kGranule - 1, 2));
  CHECK_FALSE(map.contains(kBase + 3 * kGranule, 201 * kGranule));
  map.mark_heap(kBase + 64 * kGranule, kGranule, false);
  CHECK_FALSE(map.contains(kBase + 3 * kGranule, 200 * kGranule));
  CHECK(map.contains(kBase + 65 * kGranule, 138 * kGranule));
  map.mark_heap(kBase + 3 * kGranule, 200 * kGranule, false);
  CHECK_FALSE(map.contains(kBase + 65 * kGranule, 1));
}

TEST_CASE("address map: sizes and addresses that overflow are outside") {
  AddressMap map;
  map.mark_heap(AddressMap::kHeapBase, AddressMap::kHeapBytes, true);
  CHECK(map.contains(AddressMap::kHeapBase, AddressMap::kHeapBytes));
  CHECK_FALSE(map.contains(AddressMap::kHeapBase, AddressMap::kHeapBytes + 1));
  CHECK_FALSE(map.contains(AddressMap::kHeapBase + 1, ~std::uint64_t{0}));
  CHECK_FALSE(map.contains(~std::uint64_t{0}, 2));
  CHECK_FALSE(map.contains(AddressMap::kHeapBase, 0));
  CHECK_FALSE(map.contains(0, 8));
}

TEST_CASE("address map: host ranges, in any order, up to the limit") {
  AddressMap map;
  for (std::uint64_t i = 0; i < AddressMap::kMaxHostRanges; ++i) {
    const std::uint64_t slot = (i * 1237) % AddressMap::kMaxHostRanges;
    REQUIRE(map.add_host(0x10000 + slot * 0x1000, 0x800));
  }
  CHECK_FALSE(map.add_host(0x70000000, 16));
  CHECK(map.contains(0x10000, 0x800));
  CHECK(map.contains(0x10000 + 77 * 0x1000 + 0x7ff, 1));
  CHECK_FALSE(map.contains(0x10000 + 77 * 0x1000 + 0x7ff, 2));
  CHECK_FALSE(map.contains(0xffff, 1));
  map.remove_host(0x10000 + 77 * 0x1000);
  CHECK_FALSE(map.contains(0x10000 + 77 * 0x1000, 1));
  CHECK(map.contains(0x10000 + 78 * 0x1000, 1));
  CHECK(map.add_host(0x70000000, 16));
  CHECK_FALSE(map.add_host(~std::uint64_t{0} - 3, 16));
}

TEST_CASE("address map: a range that stays is found beside changes") {
  AddressMap map;
  REQUIRE(map.add_host(0x50000, 64));
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; i < 20000; ++i) {
      map.add_host(0x40000, 64);
      map.add_host(0x60000, 64);
      map.remove_host(0x40000);
      map.remove_host(0x60000);
    }
    stop = true;
  });
  bool found = true;
  while (!stop) found = found && map.contains(0x50010, 8) && !map.contains(0x50030, 0x20);
  writer.join();
  CHECK(found);
}
