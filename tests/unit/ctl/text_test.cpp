#include "ctl/text.hpp"

#include <catch2/catch.hpp>

using namespace vgpu::ctl;

TEST_CASE("Numbers are short") {
  CHECK(bytes_text(0) == "0 B");
  CHECK(bytes_text(1536) == "1.5 KiB");
  CHECK(bytes_text(200.0 * (1 << 20)) == "200 MiB");
  CHECK(count_text(9999) == "9999");
  CHECK(count_text(12345) == "12.3k");
  CHECK(duration_text(3 * 3600 + 7 * 60 + 5.9) == "3:07:05");
  CHECK(duration_text(2 * 86400 + 3600) == "2d 01:00");
  CHECK(short_time_text(0.0000005) == "0 us");
  CHECK(short_time_text(0.0123) == "12.3 ms");
  CHECK(short_time_text(2) == "2.00 s");
}

TEST_CASE("What guests chose does nothing to a terminal") { CHECK(printable("a\x1b[2Jb\n\xc3\xa4") == "a?[2Jb???"); }

TEST_CASE("Columns of numbers are set to the right, no line ends with spaces") {
  Table table({">VM", "NAME", ">CALLS"});
  table.add({"7", "a", "12"});
  table.add({"111", "longer", ""});
  CHECK(table.lines() == std::vector<std::string>{" VM  NAME    CALLS", "  7  a          12", "111  longer"});
}
