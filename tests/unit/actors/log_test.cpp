#include "common/log.hpp"

#include <catch2/catch.hpp>

using namespace vgpu;

TEST_CASE("Values that could break a line or forge a field are quoted") {
  CHECK(log::quoted("plain-1.2/x:y") == "plain-1.2/x:y");
  CHECK(log::quoted("") == "\"\"");
  CHECK(log::quoted("two words") == "\"two words\"");
  CHECK(log::quoted("a=b") == "\"a=b\"");
  CHECK(log::quoted("x\nlevel=error") == "\"x\\nlevel=error\"");
  CHECK(log::quoted("quote\"back\\") == "\"quote\\\"back\\\\\"");
  CHECK(log::quoted(std::string("\x1b[31m\0", 6)) == "\"\\x1b[31m\\x00\"");
  CHECK(log::quoted("\xc3\xa4") == "\"\\xc3\\xa4\"");
}

TEST_CASE("Levels have names") {
  for (const char* name : {"trace", "debug", "info", "warn", "error"})
    CHECK(std::string(log::level_text(*log::level_from_text(name))) == name);
  CHECK(!log::level_from_text("loud"));
  CHECK(!log::level_from_text(""));
}
