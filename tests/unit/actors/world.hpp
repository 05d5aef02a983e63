#pragma once
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

namespace vgpu::daemon::test {

using namespace std::chrono_literals;
using protocol::ExecutorCommand;
using protocol::ExecutorEvent;

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
  void send(const ExecutorCommand& command) override {
    commands.push_back(command.type);
    last_command = command;
    if (command.type == ExecutorCommand::Type::run) order = command.order;
  }
  void resume() override { ++resumed; }
  void kill() override { killed = true; }
  void abandon() override {
    killed = true;
    handlers = {};
  }

  void say(ExecutorEvent::Type type, const char* text = "", vgpu_end_reason reason = VGPU_END_NONE, int result = 0) {
    ExecutorEvent event;
    event.type = type;
    event.order = order;
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
  ExecutorCommand last_command;
  std::uint64_t order = 0;  ///< of the last run
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

  explicit World(bool fair = false, std::size_t most_connections = 100) {
    config.set("scheduler.policy", caf::atom("testing"));
    actors = std::make_unique<caf::actor_system>(config);
    configure("");
    context->own_uid = 1000;
    context->most_connections = most_connections;
    context->metrics = actors->spawn(metrics, store, std::shared_ptr<Accounting>());
    for (const PoolConfig& pool : context->config()->pools)
      context->pools[pool.name].members.push_back(
          {{}, actors->spawn(pool_scheduler, pool.name, boxed(fair ? make_fair_share({}) : make_concurrent()))});
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
    tell_pools(stop_atom_v);
    run();
    CHECK(actors->registry().running() == 0);
    context->pools.clear();
    context->metrics = nullptr;
    listening = nullptr;
    processes.clear();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Puts a configuration in place, as a reload does, and tells the pools.
  void configure(const std::string& text) {
    context->set_config(std::get<Config>(read_config("[executor]\nregion_size=\"66MiB\"\n" + text, "test")));
    tell_pools(changed_atom_v, context->config());
  }
  template <typename... Message>
  void tell_pools(const Message&... message) {
    context->for_each_member(
        [&](const std::string&, const Pool::Member& member) { caf::anon_send(member.scheduler, message...); });
  }

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
  void greet(FakeSocket& socket, std::uint32_t vm = protocol::kNoVm, const std::string& pool = "",
             std::uint64_t features = VGPU_FEATURE_ARENA) {
    protocol::Hello hello;
    hello.vm = vm;
    hello.features = features;
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

inline vgpu_control control_of(const SessionMemory& memory) {
  vgpu_control control{};
  REQUIRE(::pread(memory.region_fd(), &control, sizeof control, 0) == sizeof control);
  return control;
}

}  // namespace vgpu::daemon::test
