// The actors on CAF's testing scheduler: nothing happens but what a test lets happen, and time passes when it says so.
#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <catch2/catch.hpp>
#include <cstring>

#include "actors/connection.hpp"
#include "actors/context.hpp"
#include "actors/listener.hpp"
#include "actors/metrics.hpp"
#include "actors/pool_scheduler.hpp"

using namespace vgpu;
using namespace vgpu::daemon;
using namespace std::chrono_literals;
using protocol::ExecutorCommand;
using protocol::ExecutorEvent;

namespace {

class FakeSocket final : public GuestSocket {
 public:
  explicit FakeSocket(const Peer& peer) : peer_(peer) {}
  const Peer& peer() const noexcept override { return peer_; }
  const std::string& process() const noexcept override { return process_; }
  void start(Handlers made) override { handlers = std::move(made); }
  void welcome(const protocol::Welcome& welcome, std::shared_ptr<SessionMemory> memory) override {
    welcomes.push_back(welcome);
    shared = std::move(memory);
  }
  void rearm_doorbell() override { ++rearmed; }
  void close() override {
    closed = true;
    handlers = {};
  }

  Handlers handlers;
  std::vector<protocol::Welcome> welcomes;
  std::shared_ptr<SessionMemory> shared;
  int rearmed = 0;
  bool closed = false;

 private:
  Peer peer_;
  std::string process_ = "test";
};

class FakeProcess final : public ExecutorProcess {
 public:
  FakeProcess(const ExecutorSpec& spec_, Handlers handlers_) : spec(spec_), handlers(std::move(handlers_)) {}
  pid_t pid() const noexcept override { return 42; }
  void send(const ExecutorCommand& command) override { commands.push_back(command.type); }
  void resume() override { ++resumed; }
  void kill() override { killed = true; }
  void abandon() override {
    killed = true;
    handlers = {};
  }

  void say(ExecutorEvent::Type type, const char* text = "", vgpu_end_reason reason = VGPU_END_NONE, int result = 0) {
    ExecutorEvent event;
    event.type = type;
    event.reason = reason;
    event.result = result;
    std::strncpy(event.text.data(), text, event.text.size() - 1);
    handlers.event(event);
  }
  void exit(const std::string& how) {
    const Handlers last = std::exchange(handlers, {});
    last.exited(how);
  }
  std::size_t count(ExecutorCommand::Type type) const {
    return static_cast<std::size_t>(std::count(commands.begin(), commands.end(), type));
  }

  ExecutorSpec spec;
  Handlers handlers;
  std::vector<ExecutorCommand::Type> commands;
  int resumed = 0;
  bool killed = false;
};

/// A daemon's actors without a daemon.
struct World {
  caf::actor_system_config config;
  std::unique_ptr<caf::actor_system> actors;
  std::shared_ptr<Context> context = std::make_shared<Context>();
  std::shared_ptr<MetricsStore> store = std::make_shared<MetricsStore>();
  std::vector<std::shared_ptr<FakeProcess>> processes;
  std::string start_error;
  listener_actor listening;
  int stopped = 0;

  explicit World(std::uint32_t leases = 0, std::size_t most_connections = 100) {
    config.set("scheduler.policy", caf::atom("testing"));
    actors = std::make_unique<caf::actor_system>(config);
    context->config = std::get<Config>(read_config("[executor]\nregion_size=\"66MiB\"\n", "test"));
    context->own_uid = 1000;
    context->most_connections = most_connections;
    context->metrics = actors->spawn(metrics, store);
    for (const PoolConfig& pool : context->config.pools)
      context->pools[pool.name].scheduler =
          actors->spawn(pool_scheduler, pool.name, boxed(make_first_come_first_served(leases)));
    context->start_executor = [this](const ExecutorSpec& spec, ExecutorProcess::Handlers handlers,
                                     std::string& error) -> ExecutorProcessPtr {
      if (!start_error.empty()) {
        error = start_error;
        return nullptr;
      }
      processes.push_back(std::make_shared<FakeProcess>(spec, std::move(handlers)));
      return processes.back();
    };
    listening = actors->spawn(listener, ContextPtr(context), std::function<void()>([this] { ++stopped; }));
    run();
  }
  ~World() {
    caf::anon_send(listening, stop_atom_v);
    run();
    for (auto& process : processes)
      if (process->handlers.exited) process->exit("ended by the test");
    run();
    advance(60s);
    caf::anon_send(context->metrics, stop_atom_v);
    for (auto& [name, pool] : context->pools) caf::anon_send(pool.scheduler, stop_atom_v);
    run();
    CHECK(actors->registry().running() == 0);
    context->pools.clear();
    context->metrics = nullptr;
    listening = nullptr;
    processes.clear();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(actors->scheduler());
  }
  /// Runs what is due now; deadlines stay in the future.
  void run() {
    while (scheduler().try_run_once()) {
    }
  }
  void advance(caf::timespan span) {
    scheduler().advance_time(span);
    run();
  }
  std::shared_ptr<FakeSocket> connect(uid_t uid = 1000) {
    auto socket = std::make_shared<FakeSocket>(Peer{7, uid, uid});
    caf::anon_send(listening, accepted_atom_v, GuestSocketPtr(socket));
    run();
    return socket;
  }
  void greet(FakeSocket& socket, std::uint32_t vm = protocol::kNoVm, const std::string& pool = "") {
    protocol::Hello hello;
    hello.vm = vm;
    hello.features = VGPU_FEATURE_ARENA;
    pool.copy(hello.pool.data(), hello.pool.size() - 1);
    Bytes bytes(sizeof hello);
    std::memcpy(bytes.data(), &hello, sizeof hello);
    socket.handlers.message(bytes);
    run();
  }
  /// A guest with a session.
  std::shared_ptr<FakeSocket> open(std::uint32_t vm = protocol::kNoVm, const std::string& pool = "") {
    auto socket = connect();
    greet(*socket, vm, pool);
    processes.back()->say(ExecutorEvent::Type::ready, "GPU");
    run();
    REQUIRE(socket->welcomes.size() == 1);
    REQUIRE(socket->shared != nullptr);
    return socket;
  }
  double value(const std::string& name) {
    run();
    double sum = 0;
    for (const auto& family : store->Collect())
      if (family.name == name)
        for (const auto& metric : family.metric) sum += metric.counter.value + metric.gauge.value;
    return sum;
  }
};

vgpu_control control_of(const SessionMemory& memory) {
  vgpu_control control{};
  REQUIRE(::pread(memory.region_fd(), &control, sizeof control, 0) == sizeof control);
  return control;
}

}  // namespace

TEST_CASE("A session opens, gets its lease and closes") {
  World world;
  const auto socket = world.connect();
  CHECK(world.processes.empty());
  world.greet(*socket, 111, "B");
  REQUIRE(world.processes.size() == 1);
  FakeProcess& process = *world.processes[0];
  CHECK(process.spec.vm == 111);
  CHECK(process.spec.pool == "B");
  CHECK(socket->welcomes.empty());
  CHECK(control_of(*process.spec.memory).state == VGPU_STATE_OPENING);
  process.say(ExecutorEvent::Type::ready, "Fake GPU");
  world.run();
  REQUIRE(socket->welcomes.size() == 1);
  CHECK(socket->welcomes[0].result == 0);
  CHECK(socket->welcomes[0].session == 1);
  CHECK(std::string(socket->welcomes[0].text.data()) == "Fake GPU");
  CHECK(control_of(*process.spec.memory).state == VGPU_STATE_OPEN);
  CHECK(process.count(ExecutorCommand::Type::run) == 1);
  CHECK(world.value("vgpu_sessions") == 1);

  socket->handlers.hangup();
  world.run();
  CHECK(process.count(ExecutorCommand::Type::stop) == 1);
  CHECK(socket->closed);
  CHECK(control_of(*process.spec.memory).end_reason == VGPU_END_CLOSED);
  CHECK(world.value("vgpu_sessions") == 1);  // until its executor is gone
  process.exit("exited with code 0");
  CHECK(world.value("vgpu_sessions") == 0);
  CHECK(world.value("vgpu_faults_total") == 0);
}

TEST_CASE("Each doorbell becomes one run, and is armed again once it was handled") {
  World world;
  const auto socket = world.open();
  FakeProcess& process = *world.processes[0];
  process.say(ExecutorEvent::Type::idle);
  world.run();
  CHECK(socket->rearmed == 0);
  socket->handlers.doorbell(3);
  world.run();
  CHECK(socket->rearmed == 1);
  CHECK(process.count(ExecutorCommand::Type::run) == 2);
  CHECK(world.value("vgpu_doorbells_total") == 3);
  socket->handlers.doorbell(1);
  world.run();
  CHECK(process.count(ExecutorCommand::Type::run) == 3);  // it holds a lease, and is woken nevertheless
}

TEST_CASE("With one lease the second session runs when the first is idle or gone") {
  World world(1);
  const auto first = world.open(1, "A");
  const auto second = world.open(2, "A");
  const auto other_pool = world.open(3, "B");
  CHECK(world.processes[0]->count(ExecutorCommand::Type::run) == 1);
  CHECK(world.processes[1]->count(ExecutorCommand::Type::run) == 0);
  CHECK(world.processes[2]->count(ExecutorCommand::Type::run) == 1);
  SECTION("idle") {
    world.processes[0]->say(ExecutorEvent::Type::idle);
    world.run();
    CHECK(world.processes[1]->count(ExecutorCommand::Type::run) == 1);
  }
  SECTION("gone") {
    world.processes[0]->exit("killed by signal 9");
    world.run();
    CHECK(world.processes[1]->count(ExecutorCommand::Type::run) == 1);
  }
}

TEST_CASE("An executor that dies ends its session as a fault, and the guest is woken more than once") {
  World world;
  const auto socket = world.open(902, "A");
  const auto memory = socket->shared;
  world.processes[0]->exit("killed by signal 9 (Killed)");
  world.run();
  const vgpu_control control = control_of(*memory);
  CHECK(control.state == VGPU_STATE_ENDED);
  CHECK(control.end_reason == VGPU_END_EXECUTOR_DIED);
  CHECK(control.end_result == 999);
  CHECK(socket->closed);
  CHECK(world.value("vgpu_faults_total") == 1);
  CHECK(world.value("vgpu_sessions") == 1);  // the wakes are still to come
  world.advance(300ms);
  CHECK(world.value("vgpu_sessions") == 0);
}

TEST_CASE("A violation ends the session with the executor's reason; the process gets the grace period, then SIGKILL") {
  World world;
  const auto socket = world.open();
  FakeProcess& process = *world.processes[0];
  process.say(ExecutorEvent::Type::ended, "check word", VGPU_END_BAD_CHECK, 719);
  world.run();
  CHECK(control_of(*socket->shared).end_reason == VGPU_END_BAD_CHECK);
  CHECK(control_of(*socket->shared).end_result == 719);
  CHECK(!process.killed);
  world.advance(1900ms);
  CHECK(!process.killed);
  world.advance(200ms);
  CHECK(process.killed);
  process.exit("killed by signal 9 (Killed)");
  CHECK(world.value("vgpu_faults_total") == 1);  // the kill is no second fault
}

TEST_CASE("A fault that the session survives is counted") {
  World world;
  const auto socket = world.open();
  world.processes[0]->say(ExecutorEvent::Type::fault, "an illegal address", VGPU_END_NONE, 700);
  CHECK(world.value("vgpu_faults_total") == 1);
  CHECK(!socket->closed);
  CHECK(world.processes[0]->resumed >= 2);
}

TEST_CASE("Executors that do not start refuse the guest") {
  World world;
  SECTION("fork fails") {
    world.start_error = "fork: no";
    const auto socket = world.connect();
    world.greet(*socket);
    REQUIRE(socket->welcomes.size() == 1);
    CHECK(socket->welcomes[0].reason == VGPU_END_EXECUTOR_START);
    CHECK_THAT(socket->welcomes[0].text.data(), Catch::Contains("fork: no"));
    CHECK(socket->closed);
  }
  SECTION("no GPU") {
    const auto socket = world.connect();
    world.greet(*socket);
    world.processes[0]->say(ExecutorEvent::Type::failed, "no device", VGPU_END_EXECUTOR_START, 100);
    world.run();
    REQUIRE(socket->welcomes.size() == 1);
    CHECK(socket->welcomes[0].result == 100);
    CHECK(std::string(socket->welcomes[0].text.data()) == "no device");
    CHECK(socket->shared == nullptr);
  }
  SECTION("dies before it is ready, the link first") {
    const auto socket = world.connect();
    world.greet(*socket);
    world.processes[0]->handlers.link_closed();
    world.run();
    world.processes[0]->exit("killed by signal 6 (Aborted)");
    world.run();
    REQUIRE(socket->welcomes.size() == 1);
    CHECK(socket->welcomes[0].reason == VGPU_END_EXECUTOR_START);
  }
  SECTION("never ready") {
    const auto socket = world.connect();
    world.greet(*socket);
    world.advance(29s);
    CHECK(socket->welcomes.empty());
    world.advance(2s);
    REQUIRE(socket->welcomes.size() == 1);
    CHECK(socket->welcomes[0].reason == VGPU_END_EXECUTOR_START);
    world.advance(3s);
    CHECK(world.processes[0]->killed);
  }
  CHECK(world.value("vgpu_sessions") == 0);
  CHECK(world.value("vgpu_connections_refused_total") == 1);
}

TEST_CASE("Guests that say nothing, or the wrong thing, are closed") {
  World world;
  const auto socket = world.connect();
  SECTION("nothing") {
    world.advance(4s);
    CHECK(!socket->closed);
    world.advance(2s);
  }
  SECTION("half a Hello") {
    socket->handlers.message(Bytes(64));
    world.run();
  }
  SECTION("another user's claim") {
    const auto other = world.connect(4711);
    world.greet(*other, 5);
    CHECK(other->closed);
    CHECK(other->welcomes.at(0).result == 800);
    world.greet(*socket, 5, "nowhere");
  }
  CHECK(socket->closed);
  REQUIRE(socket->welcomes.size() == 1);
  CHECK(socket->welcomes[0].result != 0);
  CHECK(world.processes.empty());
}

TEST_CASE("A guest that leaves while its executor starts takes it along") {
  World world;
  const auto socket = world.connect();
  world.greet(*socket);
  socket->handlers.hangup();
  world.run();
  CHECK(world.processes[0]->count(ExecutorCommand::Type::stop) == 1);
  CHECK(socket->welcomes.empty());
  world.processes[0]->say(ExecutorEvent::Type::ready, "late");
  world.run();
  CHECK(socket->welcomes.empty());
}

TEST_CASE("A second message ends the session") {
  World world;
  const auto socket = world.open();
  socket->handlers.message(Bytes(1));
  world.run();
  CHECK(socket->closed);
  CHECK(world.value("vgpu_faults_total") == 1);
}

TEST_CASE("No more connections than the daemon can carry") {
  World world(0, 2);
  const auto first = world.connect(), second = world.connect(), third = world.connect();
  CHECK(!first->closed);
  CHECK(!second->closed);
  CHECK(third->closed);
  CHECK(third->welcomes.at(0).reason == VGPU_END_LIMIT);
  first->handlers.hangup();
  world.run();
  CHECK(!world.connect()->closed);
}

TEST_CASE("Stopping ends every connection, and says so after the last executor is gone") {
  World world;
  const auto open = world.open();
  const auto silent = world.connect();
  const auto starting = world.connect();
  world.greet(*starting);
  caf::anon_send(world.listening, stop_atom_v);
  world.run();
  CHECK(control_of(*open->shared).end_reason == VGPU_END_DAEMON_STOPPED);
  for (const auto& socket : {open, silent, starting}) CHECK(socket->closed);
  CHECK(world.connect()->closed);
  CHECK(world.stopped == 0);
  world.processes[0]->exit("exited with code 0");
  world.advance(300ms);
  CHECK(world.stopped == 0);
  world.processes[1]->exit("exited with code 0");
  world.run();
  CHECK(world.stopped == 1);
}
