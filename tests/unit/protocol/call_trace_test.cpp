#include "protocol/call_trace.hpp"

#include <catch2/catch.hpp>
#include <memory>

using namespace vgpu::protocol;
using Result = CallTraceReader::Result;

namespace {

std::string next(CallTraceReader& reader, const CallTrace& trace) {
  std::string text;
  std::uint64_t time = 0;
  return reader.next(trace, text, time) == Result::line ? text : "none";
}

}  // namespace

TEST_CASE("call trace: lines come in order, once, from where the reader began") {
  const auto trace = std::make_unique<CallTrace>();
  CallTraceReader all, later;
  CHECK(next(all, *trace) == "none");
  trace->write("one", 1);
  later.start(*trace);
  trace->write("two words", 2);
  trace->write(std::string(CallTrace::kMaxText + 9, 'x'), 3);
  CHECK(next(all, *trace) == "one");
  CHECK(next(all, *trace) == "two words");
  CHECK(next(all, *trace) == std::string(CallTrace::kMaxText, 'x'));
  CHECK(next(all, *trace) == "none");
  CHECK(next(later, *trace) == "two words");
  CHECK(all.take_lost() == 0);
}

TEST_CASE("call trace: a slow reader is told how many lines it has missed") {
  const auto trace = std::make_unique<CallTrace>();
  CallTraceReader reader;
  for (std::size_t i = 1; i <= CallTrace::kSlots + 10; ++i) trace->write(std::to_string(i), 0);
  CHECK(next(reader, *trace) == "11");
  CHECK(reader.take_lost() == 10);
  CHECK(reader.take_lost() == 0);
}

TEST_CASE("call trace: a writer that lies harms no reader") {
  const auto trace = std::make_unique<CallTrace>();
  CallTraceReader reader;
  trace->write("one", 0);
  trace->slots[1].bytes = ~std::uint64_t{0};
  CHECK(next(reader, *trace).size() == CallTrace::kMaxText);
  trace->slots[2].number = 0;
  trace->written = 2;
  CHECK(next(reader, *trace) == "none");  // being written, for ever
  trace->written = ~std::uint64_t{0};
  CHECK(next(reader, *trace) == "none");
  trace->written = 0;
  CHECK(next(reader, *trace) == "none");
}
