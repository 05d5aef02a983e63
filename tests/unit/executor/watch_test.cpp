// Who watches a session's calls is told of them; who does not costs nothing and is told nothing.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

u64 allocate(Guest& guest, u64 bytes) {
  call::cuMemAlloc::Reply reply{};
  REQUIRE(guest.call<call::cuMemAlloc>({bytes}, &reply) == CUDA_SUCCESS);
  return static_cast<u64>(reply.pointer);
}

/// All lines that are there.
std::string lines(CallTraceReader& reader, const CallTrace& trace) {
  std::string all, text;
  u64 time = 0;
  while (reader.next(trace, text, time) == CallTraceReader::Result::line) all += text + '\n';
  return all;
}

}  // namespace

TEST_CASE("watch: calls are told while somebody traces, with arguments and results") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  CallTraceReader reader;
  allocate(guest, 512);
  CHECK(guest.stats->trace.written.load() == 0);

  guest.session->watch = kWatchTrace;
  const u64 pointer = allocate(guest, 4096);
  CHECK(guest.call<call::cuMemFree>({Pointer{0x1234}}) != CUDA_SUCCESS);
  const std::string told = lines(reader, guest.stats->trace);
  CHECK_THAT(told,
             Catch::Contains(fmt::format("call=cuMemAlloc bytes=4096 result=CUDA_SUCCESS pointer={:#x}\n", pointer)));
  CHECK_THAT(told, Catch::Contains("call=cuMemFree "));
  CHECK_THAT(told, Catch::Contains("result=CUDA_ERROR_"));
  CHECK(guest.stats->profile[call::cuMemAlloc::index].calls.load() == 0);

  guest.session->watch = 0;
  allocate(guest, 777);
  CHECK(lines(reader, guest.stats->trace).empty());
}

TEST_CASE("watch: a profile counts calls, the bytes that they state, and their time") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  guest.session->watch = kWatchProfile;
  allocate(guest, 1000);
  allocate(guest, 24);
  const CallProfile& profile = guest.stats->profile[call::cuMemAlloc::index];
  CHECK(profile.calls.load() == 2);
  CHECK(profile.bytes.load() == 1024);
  CHECK(profile.nanoseconds.load() > 0);
  CHECK(guest.stats->trace.written.load() == 0);
}

TEST_CASE("watch: the daemon switches it by a command") {
  FakeCuda cuda;
  Guest guest(cuda);
  ExecutorCommand command;
  command.type = ExecutorCommand::Type::watch;
  command.watch = kWatchTrace;
  REQUIRE(::send(guest.daemon_fd, &command, sizeof command, 0) == sizeof command);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (guest.session->watch.load() != kWatchTrace && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  CHECK(guest.session->watch.load() == kWatchTrace);
}
