// The admin actor among the others, with a client that a test holds in its hand.
#include "actors/admin.hpp"

#include "world.hpp"

using namespace vgpu::daemon;
using namespace vgpu::daemon::test;

namespace {

class FakeClient final : public AdminClient {
 public:
  explicit FakeClient(uid_t uid, std::vector<gid_t> groups = {}) : peer_{1, uid, uid}, groups_(std::move(groups)) {}
  const Peer& peer() const noexcept override { return peer_; }
  const std::vector<gid_t>& groups() const noexcept override { return groups_; }
  void start(Handlers made) override { handlers = std::move(made); }
  void next() override { ++wanted; }
  void send(std::string line) override { lines.push_back(Json::parse(line)); }
  void close() override { closed = true; }

  Handlers handlers;
  std::vector<Json> lines;
  int wanted = 0;
  bool closed = false;

 private:
  const Peer peer_;
  const std::vector<gid_t> groups_;
};

struct AdminWorld : World {
  AdminWorld() {
    std::string error;
    AdminParts parts;
    parts.context = context;
    parts.sources.store = store;
    parts.sources.gpus = context->gpus;
    parts.sources.quarantine = context->quarantine;
    parts.configuration = LiveConfig::open(
        *context->config(), [this] { return *context->config(); }, "", error);
    parts.configuration->on_change([this](const Config& changed, bool) { context->set_config(changed); });
    parts.listener = listening;
    parts.alive = [this] { ++alive; };
    asked = actors->spawn(admin, std::move(parts));
  }
  ~AdminWorld() {
    caf::anon_send(asked, stop_atom_v);
    asked = nullptr;
    run();
  }
  std::shared_ptr<FakeClient> join(uid_t uid = 0, std::vector<gid_t> groups = {}) {
    auto client = std::make_shared<FakeClient>(uid, std::move(groups));
    caf::anon_send(asked, accepted_atom_v, AdminClientPtr(client));
    run();
    return client;
  }
  Json ask(FakeClient& client, const Json& request) {
    client.handlers.line(request.dump());
    run();
    return client.lines.empty() ? Json() : client.lines.back();
  }

  admin_actor asked;
  int alive = 0;
};

}  // namespace

TEST_CASE("Who may administer: root, the daemon's own user, the group's members") {
  const auto may = [](uid_t uid, std::vector<gid_t> groups, std::optional<gid_t> group) {
    return may_administer(Peer{1, uid, uid}, groups, 1000, group);
  };
  CHECK(may(0, {}, std::nullopt));
  CHECK(may(1000, {}, std::nullopt));
  CHECK_FALSE(may(1001, {1000}, std::nullopt));
  CHECK(may(1001, {7, 50}, 50));
  CHECK_FALSE(may(1001, {7, 51}, 50));
}

TEST_CASE("A client that may not is told why and closed, and never served") {
  AdminWorld world;
  const auto client = world.join(1001);
  REQUIRE(client->lines.size() == 1);
  CHECK(client->lines[0]["code"] == "not_permitted");
  CHECK(client->closed);
  CHECK(client->handlers.line == nullptr);
}

TEST_CASE("kill ends a session by its number only, with its own reason") {
  AdminWorld world;
  const auto client = world.join();
  const auto first = world.open(), second = world.open();
  const Json answer = world.ask(*client, {{"verb", "kill"}, {"session", 1}});
  CHECK(answer["ended"] == Json({1}));
  CHECK(world.processes[0]->killed);
  CHECK_FALSE(world.processes[1]->killed);
  CHECK(control_of(*first->shared).end_reason == VGPU_END_KILLED);
  CHECK(world.ask(*client, {{"verb", "kill"}, {"session", 5}})["code"] == "unknown_session");
  CHECK(client->wanted == 2);
}

TEST_CASE("trace switches executors on and off, also those that start meanwhile") {
  AdminWorld world;
  const auto client = world.join(), other = world.join();
  const auto guest = world.open(111);
  FakeProcess& process = *world.processes[0];
  CHECK(world.ask(*client, {{"verb", "trace"}, {"vm", 111}})["sessions"] == Json({1}));
  CHECK(process.last_command.type == ExecutorCommand::Type::watch);
  CHECK(process.last_command.watch == vgpu::protocol::kWatchTrace);
  CHECK(world.ask(*other, {{"verb", "trace"}, {"vm", 111}})["code"] == "busy");
  const auto later = world.open(111);
  CHECK((world.processes[1]->spec.watch & vgpu::protocol::kWatchTrace) != 0);
  client->handlers.hangup();
  world.run();
  CHECK(process.last_command.watch == 0);
  CHECK(world.processes[1]->last_command.watch == 0);
  CHECK(world.ask(*other, {{"verb", "trace"}, {"vm", 111}})["ok"] == true);
  other->handlers.hangup();
  world.run();
}

TEST_CASE("profile switches its session on for its time, and off when its client goes") {
  AdminWorld world;
  const auto client = world.join();
  const auto guest = world.open();
  FakeProcess& process = *world.processes[0];
  world.ask(*client, {{"verb", "profile"}, {"session", 1}, {"seconds", 2}});
  CHECK(client->lines.empty());
  CHECK(process.last_command.watch == vgpu::protocol::kWatchProfile);
  world.advance(1s);
  CHECK(client->lines.empty());
  world.advance(1s);
  REQUIRE(client->lines.size() == 1);
  CHECK(client->lines[0]["profile"]["calls"] == Json::array());
  CHECK(process.last_command.watch == 0);
  world.ask(*client, {{"verb", "profile"}, {"session", 1}, {"seconds", 2}});
  CHECK(process.last_command.watch == vgpu::protocol::kWatchProfile);
  client->handlers.hangup();
  world.run();
  CHECK(process.last_command.watch == 0);
  world.advance(3s);
}

TEST_CASE("The watchdog is fed when all actors have answered, and only then") {
  AdminWorld world;
  caf::anon_send(world.asked, alive_atom_v);
  world.run();
  CHECK(world.alive == 1);
  caf::anon_send(world.context->pools.begin()->second.members[0].scheduler, stop_atom_v);  // it never answers again
  world.run();
  caf::anon_send(world.asked, alive_atom_v);
  world.run();
  world.advance(60s);
  CHECK(world.alive == 1);
}
