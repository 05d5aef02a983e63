#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include "daemon_fixture.hpp"
#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* kPools =
    "[[pool]]\nname = \"A\"\n[[pool]]\nname = \"B\"\npolicy = \"concurrent\"\n[[pool]]\nname = \"no-gpu\"\n"
    "[[pool]]\nname = \"crash\"\n[[pool]]\nname = \"stubborn\"\n";

std::optional<protocol::Welcome> open(Guest& guest, std::uint32_t vm = protocol::kNoVm, const std::string& pool = "") {
  guest.send_hello(good_hello(vm, pool));
  auto welcome = guest.welcome();
  REQUIRE(welcome.has_value());
  INFO(welcome->text.data());
  REQUIRE(welcome->result == 0);
  REQUIRE(guest.mapped());
  return welcome;
}

bool no_sessions(const Daemon& daemon) {
  return eventually([&] { return daemon.executors().empty() && daemon.metric("vgpu_sessions") == 0; });
}

}  // namespace

TEST_CASE("A guest gets a session, and its calls and doorbells are counted") {
  Daemon daemon;
  CHECK(daemon.metric("vgpu_build_info") == 1);
  CHECK(daemon.http("/metrics").find("vgpu_sessions{vm=\"0\",pool=\"A\"} 0") != std::string::npos);
  CHECK(daemon.http("/metrics").find("vgpu_calls_processed_total{vm=\"0\",pool=\"B\"} 0") != std::string::npos);
  CHECK(daemon.http("/healthz").find("200 OK") != std::string::npos);
  {
    Guest guest(daemon.socket());
    const auto welcome = open(guest, 111, "A");
    CHECK(welcome->session == 1);
    const vgpu_control& control = guest.control();
    CHECK(control.magic == VGPU_MAGIC);
    CHECK(control.version == VGPU_VERSION);
    CHECK(control.session == 1);
    CHECK(control.vm == 111);
    CHECK(control.region_bytes == welcome->region_bytes);
    CHECK(control.arena_bytes == welcome->region_bytes - VGPU_ARENA_OFFSET);
    CHECK(control.features == VGPU_FEATURE_ARENA);
    CHECK(control.state == VGPU_STATE_OPEN);
    const int seals = ::fcntl(guest.region(), F_GET_SEALS);
    CHECK((seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) == (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
    CHECK(daemon.executors().size() == 1);
    CHECK(daemon.metric("vgpu_sessions", "vm=\"111\",pool=\"A\"") == 1);
    for (int i = 0; i < 20; ++i) {
      guest.call(5);
      std::this_thread::sleep_for(2ms);
    }
    CHECK(eventually([&] { return daemon.metric("vgpu_calls_processed_total", "vm=\"111\"") == 100; }));
    CHECK(daemon.metric("vgpu_doorbells_total", "vm=\"111\"") > 0);
  }
  CHECK(no_sessions(daemon));
  CHECK(daemon.metric("vgpu_calls_processed_total", "vm=\"111\"") == 100);
  CHECK(daemon.metric("vgpu_calls_by_name_total", "pool=\"A\"") == 100);
  CHECK(daemon.metric("vgpu_faults_total") == 0);
  CHECK(daemon.log_lines("msg=\"session opened\" vm=111 pool=A session=1") == 1);
  CHECK(daemon.log_lines("msg=\"session closed\" vm=111 pool=A session=1 reason=closed") == 1);
  CHECK(daemon.stop(SIGTERM) == 0);
}

TEST_CASE("Bad Hellos are refused, and the daemon goes on") {
  Daemon daemon(kPools);
  const protocol::Hello good = good_hello(1);
  const auto bytes = std::as_bytes(std::span(&good, 1));

  SECTION("truncated at every length") {
    for (std::size_t length = 1; length < bytes.size(); ++length) {
      Guest guest(daemon.socket());
      guest.send(bytes.first(length));
      const auto answer = guest.welcome();
      REQUIRE(answer.has_value());
      CHECK(answer->result != 0);
      CHECK(answer->reason == VGPU_END_BAD_REQUEST);
      CHECK(!guest.mapped());
      CHECK(guest.closed());
    }
  }
  SECTION("wrong fields") {
    const auto refused = [&](auto change, std::uint32_t reason) {
      protocol::Hello hello = good;
      change(hello);
      Guest guest(daemon.socket());
      guest.send_hello(hello);
      const auto answer = guest.welcome();
      REQUIRE(answer.has_value());
      CHECK(answer->result != 0);
      CHECK(answer->reason == reason);
      CHECK(answer->text[0] != '\0');
      CHECK(!guest.mapped());
      CHECK(guest.closed());
    };
    refused([](auto& hello) { hello.magic ^= 1; }, VGPU_END_BAD_REQUEST);
    refused([](auto& hello) { hello.version += 1u << 16; }, VGPU_END_VERSION);
    refused([](auto& hello) { hello.version = 0; }, VGPU_END_VERSION);
    refused([](auto& hello) { hello.bytes = 0; }, VGPU_END_BAD_REQUEST);
    refused([](auto& hello) { hello.bytes += 8; }, VGPU_END_BAD_REQUEST);
    refused([](auto& hello) { hello.zero = 1; }, VGPU_END_BAD_REQUEST);
    refused([](auto& hello) { hello.pool.fill('x'); }, VGPU_END_BAD_REQUEST);
    refused([](auto& hello) { hello.process.fill('x'); }, VGPU_END_BAD_REQUEST);
    refused([](auto& hello) { std::strcpy(hello.pool.data(), "nowhere"); }, VGPU_END_LIMIT);
  }
  SECTION("longer than it says, and far too long") {
    for (std::size_t length : {129ul, 4096ul, 4097ul, 60000ul}) {
      std::vector<std::byte> message(length);
      std::memcpy(message.data(), bytes.data(), bytes.size());
      Guest guest(daemon.socket());
      guest.send(message);
      const auto answer = guest.welcome();
      REQUIRE(answer.has_value());
      CHECK(answer->reason == VGPU_END_BAD_REQUEST);
      CHECK(guest.closed());
    }
  }
  SECTION("a later minor version with more fields is served") {
    std::vector<std::byte> message(160);
    protocol::Hello later = good;
    later.version += 1;
    later.bytes = 160;
    std::memcpy(message.data(), &later, sizeof later);
    Guest guest(daemon.socket());
    guest.send(message);
    const auto answer = guest.welcome();
    REQUIRE(answer.has_value());
    CHECK(answer->result == 0);
  }
  SECTION("nothing at all") {
    Guest silent(daemon.socket());
    CHECK(!silent.closed(2s));
    CHECK(silent.closed(10s));
  }
  SECTION("gone before the answer") {
    for (int i = 0; i < 20; ++i) {
      Guest guest(daemon.socket());
      if (i % 2 == 0) guest.send_hello(good);
    }
  }
  SECTION("a second message") {
    Guest guest(daemon.socket());
    open(guest);
    guest.send_hello(good);
    CHECK(guest.reaches(VGPU_STATE_ENDED));
    CHECK(guest.closed());
  }
  Guest after(daemon.socket());
  open(after);
  after.close();
  CHECK(no_sessions(daemon));
  CHECK(daemon.stop(SIGTERM) == 0);
}

TEST_CASE("An executor that dies ends its session, wakes the guest and leaves others alone") {
  Daemon daemon;
  Guest other(daemon.socket()), guest(daemon.socket());
  open(other, 1, "B");
  const std::vector<pid_t> before = daemon.executors();
  open(guest, 902, "A");
  pid_t victim = -1;
  for (pid_t pid : daemon.executors())
    if (pid != before.at(0)) victim = pid;
  bool woken = false;
  std::chrono::milliseconds slept{};
  std::thread sleeper([&] {
    const auto begin = std::chrono::steady_clock::now();
    woken = guest.sleep_on_slot(700, 10s);
    slept = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  });
  std::this_thread::sleep_for(100ms);
  REQUIRE(::kill(victim, SIGKILL) == 0);
  CHECK(guest.reaches(VGPU_STATE_ENDED, 2s));
  sleeper.join();
  CHECK(woken);
  CHECK(slept < 2s);
  CHECK(guest.control().end_reason == VGPU_END_EXECUTOR_DIED);
  CHECK(guest.control().end_result == 999);
  CHECK(guest.closed());
  CHECK(eventually([&] { return daemon.metric("vgpu_sessions", "vm=\"902\"") == 0; }));
  CHECK(daemon.metric("vgpu_faults_total", "vm=\"902\",pool=\"A\",reason=\"executor_died\"") == 1);
  CHECK(daemon.log_lines("killed by signal 9") >= 1);
  CHECK(other.state() == VGPU_STATE_OPEN);
  other.call(3);
  CHECK(eventually([&] { return daemon.metric("vgpu_calls_processed_total", "vm=\"1\"") == 3; }));
  CHECK(daemon.stop(SIGINT) == 0);
}

TEST_CASE("A violation in the ring ends the session with its reason") {
  Daemon daemon;
  Guest guest(daemon.socket());
  open(guest, 5);
  guest.corrupt();
  CHECK(guest.reaches(VGPU_STATE_ENDED));
  CHECK(guest.control().end_reason == VGPU_END_BAD_RECORD);
  CHECK(guest.closed());
  CHECK(no_sessions(daemon));
  CHECK(daemon.metric("vgpu_faults_total", "reason=\"bad_record\"") == 1);
}

TEST_CASE("Executors that do not start") {
  Daemon daemon(kPools);
  const auto refused = [&](const std::string& pool, const std::string& text) {
    Guest guest(daemon.socket());
    guest.send_hello(good_hello(1, pool));
    const auto answer = guest.welcome();
    REQUIRE(answer.has_value());
    CHECK(answer->result != 0);
    CHECK(answer->reason == VGPU_END_EXECUTOR_START);
    CHECK_THAT(answer->text.data(), Catch::Contains(text));
    CHECK(guest.closed());
  };
  refused("no-gpu", "no device in this test");
  refused("crash", "killed by signal 6");
  CHECK(no_sessions(daemon));
  CHECK(daemon.stop(SIGTERM) == 0);
}

TEST_CASE("A guest killed by SIGKILL leaves no executor behind") {
  Daemon daemon;
  const pid_t child = ::fork();
  if (child == 0) {
    Guest guest(daemon.socket());
    guest.send_hello(good_hello(3));
    const bool opened = guest.welcome().has_value();
    while (opened) guest.call(10);
    ::_exit(1);
  }
  CHECK(eventually([&] { return daemon.metric("vgpu_calls_processed_total", "vm=\"3\"") > 100; }));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(no_sessions(daemon));
  CHECK(daemon.metric("vgpu_faults_total") == 0);
}

TEST_CASE("SIGTERM and SIGINT end everything, a stubborn executor too") {
  for (int signal : {SIGTERM, SIGINT}) {
    Daemon daemon(kPools);
    Guest guest(daemon.socket()), stubborn(daemon.socket()), silent(daemon.socket());
    open(guest);
    open(stubborn, 2, "stubborn");
    const std::vector<pid_t> executors = daemon.executors();
    REQUIRE(executors.size() == 2);
    CHECK(daemon.stop(signal, 5s) == 0);
    CHECK(guest.state() == VGPU_STATE_ENDED);
    CHECK(guest.control().end_reason == VGPU_END_DAEMON_STOPPED);
    CHECK(guest.closed());
    CHECK(silent.closed());
    for (pid_t pid : executors) CHECK(eventually([&] { return !process_exists(pid); }, 1s));
    CHECK(!std::filesystem::exists(daemon.socket()));
    CHECK(!std::filesystem::exists(daemon.socket() + ".lock"));
  }
}

TEST_CASE("SIGKILL of the daemon ends the executors, and its socket is in nobody's way") {
  Daemon daemon;
  Guest guest(daemon.socket());
  open(guest);
  const std::vector<pid_t> executors = daemon.executors();
  CHECK(daemon.stop(SIGKILL) == 1000 + SIGKILL);
  for (pid_t pid : executors) CHECK(eventually([&] { return !process_exists(pid); }));
  REQUIRE(std::filesystem::exists(daemon.socket()));
  CHECK(!Guest(daemon.socket()).connected());
}

TEST_CASE("A second daemon on the same socket is refused") {
  Daemon daemon;
  std::string output;
  CHECK(run_command(
            {VGPUD, "--config", daemon.config(), "--socket", daemon.socket(), "--metrics", "off", "--gpu", "software"},
            output) == 1);
  CHECK_THAT(output, Catch::Contains("another vgpud serves this socket already"));
  Guest guest(daemon.socket());
  open(guest);
}

TEST_CASE("Fifty guests at once") {
  Daemon daemon(kPools);
  std::vector<Guest> guests;
  for (std::uint32_t i = 0; i < 50; ++i) {
    guests.emplace_back(daemon.socket());
    guests.back().send_hello(good_hello(i % 5, i % 2 == 0 ? "A" : "B"));
  }
  for (Guest& guest : guests) {
    const auto welcome = guest.welcome(30s);
    REQUIRE(welcome.has_value());
    CHECK(welcome->result == 0);
  }
  CHECK(eventually([&] { return daemon.metric("vgpu_sessions") == 50; }));
  for (int round = 0; round < 10; ++round)
    for (Guest& guest : guests) guest.call(2);
  CHECK(eventually([&] { return daemon.metric("vgpu_calls_processed_total") == 1000; }));
  guests.clear();
  CHECK(no_sessions(daemon));
  CHECK(daemon.metric("vgpu_calls_processed_total") == 1000);
  CHECK(daemon.stop(SIGTERM) == 0);
}

TEST_CASE("An idle daemon uses no CPU, with sessions and without") {
  Daemon daemon;
  Guest guest(daemon.socket());
  open(guest);
  guest.call(1);
  std::this_thread::sleep_for(300ms);
  const auto before = daemon.cpu_time();
  std::this_thread::sleep_for(3s);
  CHECK(daemon.cpu_time() - before <= 20ms);
}

TEST_CASE("A guest that takes O_NONBLOCK off its doorbell, empties it and rings without end stops nobody") {
  Daemon daemon;
  Guest hostile(daemon.socket()), other(daemon.socket());
  open(hostile, 66);
  open(other, 1);
  const int flags = ::fcntl(hostile.doorbell(), F_GETFL);
  REQUIRE(::fcntl(hostile.doorbell(), F_SETFL, flags & ~O_NONBLOCK) == 0);
  std::atomic<bool> stop{false};
  std::thread ringer([&] {
    while (!stop) hostile.ring_doorbell();
  });
  std::thread thief([&] {
    std::uint64_t rings = 0;
    while (!stop) {
      hostile.ring_doorbell();
      [[maybe_unused]] const ssize_t got = ::read(hostile.doorbell(), &rings, sizeof rings);
    }
  });
  for (int i = 0; i < 200; ++i) {
    other.call(1);
    std::this_thread::sleep_for(1ms);
  }
  CHECK(eventually([&] { return daemon.metric("vgpu_calls_processed_total", "vm=\"1\"") == 200; }));
  stop = true;
  ringer.join();
  for (int i = 0; i < 100; ++i) {  // the thief may sleep in read()
    hostile.ring_doorbell();
    std::this_thread::sleep_for(1ms);
  }
  thief.join();
  CHECK(other.state() == VGPU_STATE_OPEN);
  hostile.close();
  other.close();
  CHECK(no_sessions(daemon));
}

TEST_CASE("vgpu-run says what is missing, with the exit codes of env") {
  std::string output;
  CHECK(run_command({VGPU_RUN, "--socket", "/nonexistent/socket", "true"}, output) == 125);
  CHECK_THAT(output, Catch::Contains("/nonexistent/socket") || Catch::Contains("libcuda.so.1"));
  CHECK(run_command({VGPU_RUN}, output) == 125);
  CHECK(run_command({VGPU_RUN, "--vm-id", "x", "true"}, output) == 125);
}
