#include "shim/streaming_copy.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

TEST_CASE("A streaming copy moves every byte and no other, at any alignment") {
  constexpr std::size_t kMargin = 80, kMost = 700;
  std::vector<std::byte> source(kMost + 2 * kMargin);
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::byte>(i * 7 + 1);
  for (std::size_t to = 0; to < kMargin; to += 3) {
    for (const std::size_t from : {0, 1, 8, 33}) {
      for (const std::size_t bytes : {0, 1, 63, 64, 65, 127, 128, 200, 640, 700}) {
        std::vector<std::byte> destination(kMost + 2 * kMargin, std::byte{0xee});
        vgpu::shim::streaming_copy(destination.data() + to, source.data() + from, bytes);
        const auto begin = destination.begin() + static_cast<std::ptrdiff_t>(to);
        const auto end = begin + static_cast<std::ptrdiff_t>(bytes);
        const auto untouched = [](std::byte byte) { return byte == std::byte{0xee}; };
        INFO(to << " " << from << " " << bytes);
        CHECK(std::equal(begin, end, source.begin() + static_cast<std::ptrdiff_t>(from)));
        CHECK(std::all_of(destination.begin(), begin, untouched));
        CHECK(std::all_of(end, destination.end(), untouched));
      }
    }
  }
}
