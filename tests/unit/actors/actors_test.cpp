#include "protocol/status.hpp"
#include "world.hpp"

using namespace vgpu;
using namespace vgpu::daemon;
using namespace vgpu::daemon::test;

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

TEST_CASE("In a fair pool the second session runs when the first is idle or gone") {
  World world(true);
  const auto first = world.open(1, "A");
  const auto second = world.open(2, "A");
  const auto other_pool = world.open(3, "B");
  CHECK(world.processes[0]->last_command.quantum_microseconds != 0);
  CHECK(world.processes[1]->count(ExecutorCommand::Type::run) == 0);
  CHECK(world.processes[2]->count(ExecutorCommand::Type::run) == 1);
  CHECK(world.processes[2]->last_command.quantum_microseconds == 0);
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

TEST_CASE("Others go on beside a session that does not give its lease back, and it is ended with a time-out") {
  World world(true);
  const auto hog = world.open(1, "A");
  const auto other = world.open(2, "A");
  FakeProcess& process = *world.processes[0];
  CHECK(process.last_command.quantum_microseconds == 10000);
  world.advance(59ms);
  CHECK(world.processes[1]->count(ExecutorCommand::Type::run) == 0);
  world.advance(1ms);
  CHECK(world.processes[1]->count(ExecutorCommand::Type::run) == 1);
  world.advance(9s);
  CHECK_FALSE(process.killed);
  world.advance(1100ms);
  CHECK(process.killed);
  CHECK(control_of(*hog->shared).end_reason == VGPU_END_WATCHDOG);
  CHECK(control_of(*hog->shared).end_result == 702);  // CUDA_ERROR_LAUNCH_TIMEOUT
  CHECK(control_of(*other->shared).state == VGPU_STATE_OPEN);
  process.exit("killed by signal 9");
  world.run();
  CHECK(world.value("vgpu_faults_total") == 1);
}

TEST_CASE("A VM that is moved to another pool goes there when it has no session") {
  World world(true);
  world.configure("[[vm]]\nid=1\npool=\"A\"\n");
  const auto first = world.open(1, "");
  CHECK(world.processes[0]->spec.pool == "A");
  world.configure("[[vm]]\nid=1\npool=\"B\"\n");
  const auto second = world.open(1, "");
  CHECK(world.processes[1]->spec.pool == "A");
  for (int i : {0, 1}) world.processes[static_cast<std::size_t>(i)]->exit("exited with code 0");
  world.run();
  world.advance(1s);
  const auto third = world.open(1, "");
  CHECK(world.processes[2]->spec.pool == "B");
}

TEST_CASE("A pool that is drained while a session opens does not get it") {
  World world(true);
  const auto other = world.open(2, "B");
  const auto guest = world.connect();
  world.greet(*guest, 1, "A");
  Config drained = *world.context->config();
  for (PoolConfig& pool : drained.pools) pool.drained = pool.name == "A";
  world.context->set_config(drained);
  FakeProcess& process = *world.processes.back();
  process.say(ExecutorEvent::Type::ready, "GPU");
  world.run();
  REQUIRE(guest->welcomes.size() == 1);
  CHECK(guest->shared == nullptr);
  CHECK(guest->welcomes[0].reason != VGPU_END_NONE);
  CHECK(process.last_command.type == ExecutorCommand::Type::stop);
  process.exit("exited with code 0");
  CHECK(world.value("vgpu_sessions") == 1);
  CHECK(world.value("vgpu_faults_total") == 0);
  CHECK(control_of(*other->shared).state == VGPU_STATE_OPEN);
  // Nothing is left of it with the scheduler: whom the pool takes next has the GPU at once.
  world.configure("");
  const auto next = world.open(1, "A");
  CHECK(world.processes.back()->count(ExecutorCommand::Type::run) == 1);
}

TEST_CASE("New terms reach sessions that are open") {
  World world(true);
  const auto low = world.open(1, "A");
  const auto other = world.open(2, "A");
  CHECK(world.processes[0]->last_command.type == ExecutorCommand::Type::run);
  world.configure("[[vm]]\nid=2\npool=\"A\"\npriority=\"high\"\n");
  world.run();
  CHECK(world.processes[0]->last_command.type == ExecutorCommand::Type::yield);
}

TEST_CASE("How long sessions waited for leases is counted") {
  World world(true);
  const auto first = world.open(1, "A");
  const auto second = world.open(2, "A");
  world.advance(7ms);
  world.processes[0]->say(ExecutorEvent::Type::idle);
  world.run();
  for (const MetricsStore::Account& account : world.store->accounts()) {
    if (account.vm != 2) continue;
    CHECK(account.totals.waits.count() == 1);
    CHECK(account.totals.waits.nanoseconds == 7'000'000);
    REQUIRE(kWaitBounds[6] == 0.01);
    CHECK(account.totals.waits.buckets[6] == 1);
  }
}

TEST_CASE("A session that gives its lease back late but in time, or has the pool alone, is not ended") {
  World world(true);
  const auto first = world.open(1, "A");
  world.advance(60s);
  const auto second = world.open(2, "A");
  world.advance(9s);
  world.processes[0]->say(ExecutorEvent::Type::idle);
  world.run();
  world.advance(5s);
  world.processes[1]->say(ExecutorEvent::Type::idle);
  world.run();
  world.advance(60s);
  CHECK_FALSE(world.processes[0]->killed);
  CHECK_FALSE(world.processes[1]->killed);
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
  World world(false, 2);
  const auto first = world.connect(), second = world.connect(), third = world.connect();
  CHECK(!first->closed);
  CHECK(!second->closed);
  CHECK(third->closed);
  CHECK(third->welcomes.at(0).reason == VGPU_END_LIMIT);
  first->handlers.hangup();
  world.run();
  CHECK(!world.connect()->closed);
}

TEST_CASE("A VM has as many sessions at once as it may; one that has ended makes room before its executor is gone") {
  World world;
  world.configure("[unregistered]\nsessions=2\nmemory=\"1MiB\"\n");
  const auto first = world.open(7), second = world.open(7);
  CHECK(world.processes[0]->spec.place->slot() != world.processes[1]->spec.place->slot());
  const auto third = world.connect();
  world.greet(*third, 7);
  REQUIRE(third->welcomes.size() == 1);
  CHECK(third->welcomes[0].reason == VGPU_END_LIMIT);
  CHECK(third->welcomes[0].result == kCudaErrorSystemNotReady);
  CHECK_THAT(third->welcomes[0].text.data(), Catch::Contains("as many sessions as it may"));
  CHECK(world.value("vgpu_limit_refusals_total") == 1);
  world.open(8);
  first->handlers.hangup();
  world.run();
  CHECK(world.processes[0]->handlers.exited != nullptr);
  world.open(7);
}

TEST_CASE("Who asks for a status gets one, and no session") {
  World world;
  world.context->books = world.store;
  const auto session = world.open(111, "B");
  const auto socket = world.connect();
  world.greet(*socket, 111, "B", VGPU_FEATURE_STATUS);
  CHECK(world.processes.size() == 1);
  REQUIRE(socket->welcomes.size() == 1);
  CHECK(socket->welcomes[0].result == 0);
  CHECK(socket->welcomes[0].session == 0);
  REQUIRE(socket->shared != nullptr);
  CHECK(control_of(*socket->shared).features == VGPU_FEATURE_STATUS);
  protocol::Status status;
  REQUIRE(::pread(socket->shared->region_fd(), &status, sizeof status, VGPU_STAGING_OFFSET) == sizeof status);
  CHECK(status.magic == VGPU_MAGIC);
  CHECK(status.version == protocol::kStatusVersion);
  CHECK(status.vm == 111);
  CHECK(status.gpu_count == 0);  // NVML knows none here
  CHECK(socket->closed);         // the host has done with it
  CHECK(world.value("vgpu_sessions") == 1);
  CHECK(world.value("vgpu_connections_refused_total") == 0);
}

TEST_CASE("A status is refused to those whom a session is refused to") {
  World world;
  world.configure("[unregistered]\nallow=false\n");
  const auto socket = world.connect();
  world.greet(*socket, 111, "B", VGPU_FEATURE_STATUS);
  REQUIRE(socket->welcomes.size() == 1);
  CHECK(socket->welcomes[0].result != 0);
  CHECK(socket->shared == nullptr);
  CHECK(socket->closed);
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
