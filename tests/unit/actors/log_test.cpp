#include "common/log.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "common/journal.hpp"

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

TEST_CASE("What a line of text has can be read again") {
  using Fields = std::vector<std::pair<std::string, std::string>>;
  CHECK(log::parse_fields("msg=\"unsupported call\" vm=111 call=cuX") ==
        Fields{{"msg", "unsupported call"}, {"vm", "111"}, {"call", "cuX"}});
  CHECK(log::parse_fields("side=1:0x2+0,0,0 pitch=4 of words") ==
        Fields{{"side", "1:0x2+0,0,0"}, {"pitch", "4 of words"}});
  CHECK(log::parse_fields("text=\"a \\\"b\\\" \\\\\"") == Fields{{"text", "a \"b\" \\"}});
  CHECK(log::parse_fields("x=\"never ends") == Fields{{"x", "never ends"}});
  CHECK(log::parse_fields("alone") == Fields{{"", "alone"}});
  CHECK(log::parse_fields("").empty());
}

TEST_CASE("A line as JSON is one object, whatever guests chose") {
  const std::vector<log::Field> fields{{"vm", 7}, {"process", "a\"b\n\xff"}};
  const auto time = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'700'000'000'042));
  const std::string line = log::json_line(time, log::Level::warn, "it ended", fields);
  CHECK(line.find('\n') == std::string::npos);
  const auto json = nlohmann::json::parse(line);
  CHECK(json["time"] == "2023-11-14T22:13:20.042Z");
  CHECK(json["level"] == "warn");
  CHECK(json["msg"] == "it ended");
  CHECK(json["vm"] == 7);
  CHECK(json["process"].get<std::string>().starts_with("a\"b\n"));
}

TEST_CASE("In the journal a line's fields are fields") {
  const std::vector<log::Field> fields{{"vm", 7}, {"pool", "A"}, {"gpu-name", "two words"}};
  CHECK(log::journal_fields(log::Level::error, "fault", fields) ==
        std::vector<std::string>{"MESSAGE=fault vm=7 pool=A gpu-name=\"two words\"", "PRIORITY=3", "VM=7", "VGPU_VM=7",
                                 "POOL=A", "VGPU_POOL=A", "VGPU_GPU_NAME=two words"});
}

TEST_CASE("The last lines are kept with their fields, those below info are not") {
  log::keep_events(2);
  log::set_writer([](log::Level, std::string_view, std::span<const log::Field>) {});
  log::debug("quiet");
  log::info("one");
  log::info("two", {{"vm", 5}});
  log::warn("three");
  const auto events = log::events_after(0);
  REQUIRE(events.size() == 2);
  CHECK(events[0].message == "two");
  CHECK(events[0].fields[0].text == "5");
  CHECK(events[0].fields[0].is_number);
  CHECK(events[1].level == log::Level::warn);
  CHECK(log::events_after(events[1].number).empty());
  log::keep_events(0);
  log::set_writer(log::write_text);
}
