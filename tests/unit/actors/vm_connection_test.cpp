#include "actors/vm_connection.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "protocol/status.hpp"
#include "world.hpp"

using namespace vgpu;
using namespace vgpu::daemon;
using namespace vgpu::daemon::test;

namespace {

constexpr std::uint64_t kBytes = 256u << 20;

/// QEMU and the guest's driver of one VM with two channels.
class FakeVm final : public VmLink {
 public:
  FakeVm() : memory_fd_(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    REQUIRE(::ftruncate(memory_fd_.get(), kBytes) == 0);
    REQUIRE(::fcntl(memory_fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    bytes_ = static_cast<std::byte*>(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd_.get(), 0));
    REQUIRE(bytes_ != MAP_FAILED);
  }
  ~FakeVm() override { ::munmap(bytes_, kBytes); }

  const Peer& peer() const noexcept override { return peer_; }
  void start(Handlers made) override { handlers = std::move(made); }
  void ready(std::shared_ptr<VmMemory>) override { is_ready = true; }
  void refuse(const std::string& text) override { refusal = text; }
  void rearm_doorbell(std::uint32_t channel) override { ++rearmed[channel]; }
  void close() override {
    closed = true;
    handlers = {};
  }

  void offer(std::uint32_t vm, const std::string& pool = "") {
    auto made = std::make_shared<VmOffer>();
    made->vm = vm;
    made->pool = pool;
    made->memory_bytes = kBytes;
    made->descriptors.memory.reset(::dup(memory_fd_.get()));
    for (int i = 0; i < 2; ++i)
      made->descriptors.channels.push_back({UniqueFd(::eventfd(0, 0)), UniqueFd(::eventfd(0, 0))});
    handlers.offer(made);
  }
  vgpu_device_page& page() { return *reinterpret_cast<vgpu_device_page*>(bytes_); }
  vgpu_mailbox& mailbox(std::uint32_t channel) {
    return reinterpret_cast<vgpu_mailbox*>(bytes_ + VGPU_MAILBOXES_OFFSET)[channel];
  }
  const std::byte* channel(std::uint32_t number) const { return bytes_ + VGPU_CHANNEL_OFFSET(number); }
  std::uint32_t request(std::uint32_t channel, vgpu_request_type type) {
    mailbox(channel).type = type;
    mailbox(channel).version = VGPU_VERSION;
    const std::uint32_t number = ++mailbox(channel).request;
    handlers.doorbell(channel, 1);
    return number;
  }

  Handlers handlers;
  bool is_ready = false;
  bool closed = false;
  std::string refusal;
  std::array<int, 2> rearmed{};

 private:
  const Peer peer_{100, 1000, 1000};
  UniqueFd memory_fd_;
  std::byte* bytes_ = nullptr;
};

std::shared_ptr<FakeVm> connect(World& world) {
  auto vm = std::make_shared<FakeVm>();
  caf::anon_send(world.listening, accepted_atom_v, VmLinkPtr(vm));
  world.run();
  return vm;
}

std::shared_ptr<FakeVm> ready_vm(World& world, std::uint32_t id = 111) {
  auto vm = connect(world);
  vm->offer(id);
  world.run();
  REQUIRE(vm->is_ready);
  return vm;
}

/// A session in the channel; returns the request's number.
std::uint32_t open(World& world, FakeVm& vm, std::uint32_t channel) {
  const std::uint32_t number = vm.request(channel, VGPU_REQUEST_OPEN);
  world.run();
  REQUIRE(vm.mailbox(channel).answered != number);
  world.processes.back()->say(ExecutorEvent::Type::ready, "GPU");
  world.run();
  REQUIRE(vm.mailbox(channel).answered == number);
  REQUIRE(vm.mailbox(channel).result == 0);
  return number;
}

}  // namespace

TEST_CASE("A VM's channel becomes a session, whose doorbells reach the scheduler") {
  World world;
  const auto vm = ready_vm(world);
  CHECK(vm->page().host_state == VGPU_HOST_READY);
  open(world, *vm, 1);
  FakeProcess& process = *world.processes[0];
  CHECK(process.spec.vm == 111);
  CHECK(process.spec.memory->channel() == 1);
  CHECK(std::string(vm->mailbox(1).text) == "GPU");
  process.say(ExecutorEvent::Type::idle);
  world.run();
  const auto runs = process.count(ExecutorCommand::Type::run);
  const int armed = vm->rearmed[1];
  vm->handlers.doorbell(1, 1);
  world.run();
  CHECK(process.count(ExecutorCommand::Type::run) == runs + 1);
  CHECK(vm->rearmed[1] == armed + 1);
}

TEST_CASE("A VM's process that asks for a status gets it in its channel, which is free again at its close") {
  World world;
  const auto vm = ready_vm(world);
  open(world, *vm, 0);
  vm->mailbox(1).features = VGPU_FEATURE_STATUS;
  const std::uint32_t number = vm->request(1, VGPU_REQUEST_OPEN);
  world.run();
  CHECK(vm->mailbox(1).answered == number);
  CHECK(vm->mailbox(1).result == 0);
  CHECK(vm->mailbox(1).session == 0);
  protocol::Status status;
  std::memcpy(&status, vm->channel(1) + VGPU_STAGING_OFFSET, sizeof status);
  CHECK(status.magic == VGPU_MAGIC);
  CHECK(status.vm == 111);
  CHECK(world.processes.size() == 1);
  CHECK(world.value("vgpu_sessions") == 1);
  const std::uint32_t close = vm->request(1, VGPU_REQUEST_CLOSE);
  world.run();
  CHECK(vm->mailbox(1).answered == close);
  std::memcpy(&status, vm->channel(1) + VGPU_STAGING_OFFSET, sizeof status);
  CHECK(status.magic == 0);  // the next process finds nothing of it
  vm->mailbox(1).features = 0;
  open(world, *vm, 1);
}

TEST_CASE("A close is answered when the executor is gone, not before") {
  World world;
  const auto vm = ready_vm(world);
  open(world, *vm, 0);
  const std::uint32_t close = vm->request(0, VGPU_REQUEST_CLOSE);
  world.run();
  CHECK(vm->mailbox(0).answered != close);
  const std::uint32_t again = vm->request(0, VGPU_REQUEST_OPEN);  // the close is void by now
  world.run();
  CHECK(world.processes.size() == 1);
  world.processes[0]->exit("exited with code 0");
  world.run();
  REQUIRE(world.processes.size() == 2);
  world.processes[1]->say(ExecutorEvent::Type::ready, "GPU");
  world.run();
  CHECK(vm->mailbox(0).answered == again);
}

TEST_CASE("A close that comes before the session's actor ever ran ends the session all the same") {
  World world;
  const auto vm = ready_vm(world);
  vm->request(0, VGPU_REQUEST_OPEN);
  world.scheduler().run_once();  // the VM's actor, which leaves the new connection's waiting for its turn
  const std::uint32_t close = vm->request(0, VGPU_REQUEST_CLOSE);
  world.scheduler().run_once_lifo();
  world.run();
  for (const auto& process : world.processes) process->exit("exited with code 0");
  world.run();
  CHECK(vm->mailbox(0).answered == close);
  CHECK(world.value("vgpu_sessions") == 0);
  open(world, *vm, 0);
}

TEST_CASE("A VM's end ends its sessions, then its connection") {
  World world;
  const auto vm = ready_vm(world);
  open(world, *vm, 0);
  CHECK(world.value("vgpu_vm_connected") == 1);
  vm->handlers.hangup("");
  world.run();
  CHECK_FALSE(vm->closed);
  world.processes[0]->exit("exited with code 0");
  world.run();
  CHECK(vm->closed);
  CHECK(world.value("vgpu_vm_connected") == 0);
  CHECK(world.value("vgpu_sessions") == 0);
}

TEST_CASE("A reset waits for the sessions, then begins a new epoch that forgets requests") {
  World world;
  const auto vm = ready_vm(world);
  open(world, *vm, 0);
  const std::uint32_t epoch = vm->page().host_epoch;
  ++vm->page().guest_reset;
  vm->handlers.doorbell(0, 1);
  world.run();
  const std::uint32_t late = vm->request(1, VGPU_REQUEST_OPEN);
  world.run();
  CHECK(vm->page().host_epoch == epoch);
  world.processes[0]->exit("exited with code 0");
  world.run();
  CHECK(vm->page().host_epoch == epoch + 1);
  CHECK(vm->page().reset_done == vm->page().guest_reset);
  CHECK(world.processes.size() == 1);
  CHECK(vm->mailbox(1).answered != late);
  vm->handlers.reset();
  world.run();
  CHECK(vm->page().host_epoch == epoch + 2);
}

TEST_CASE("One QEMU at a time is a VM, and its id is free again when it goes") {
  World world;
  const auto first = ready_vm(world);
  const auto second = connect(world);
  second->offer(111);
  world.run();
  CHECK_FALSE(second->is_ready);
  CHECK(second->closed);
  CHECK_THAT(second->refusal, Catch::Contains("another QEMU"));
  first->handlers.hangup("");
  world.run();
  ready_vm(world);
}

TEST_CASE("A QEMU that comes back early waits until the sessions before it are gone") {
  World world;
  const auto first = ready_vm(world);
  open(world, *first, 0);
  first->handlers.hangup("");
  world.run();
  const auto second = connect(world);
  second->offer(111);
  const auto third = connect(world);
  third->offer(111);
  world.run();
  CHECK_FALSE(second->is_ready);
  CHECK(second->refusal.empty());
  CHECK_THAT(third->refusal, Catch::Contains("another QEMU"));
  world.processes[0]->exit("exited with code 0");
  world.run();
  CHECK(second->is_ready);
  CHECK(open(world, *second, 0) != 0);
}

TEST_CASE("A QEMU that waits for its VM and goes leaves the VM to the next") {
  World world;
  const auto first = ready_vm(world);
  open(world, *first, 0);
  first->handlers.hangup("");
  world.run();
  const auto second = connect(world);
  second->offer(111);
  world.run();
  second->handlers.hangup("");
  world.run();
  CHECK(second->closed);
  world.processes[0]->exit("exited with code 0");
  world.run();
  ready_vm(world);
}

TEST_CASE("A device that never offers anything is dropped") {
  World world;
  const auto vm = connect(world);
  world.advance(10s);
  CHECK(vm->closed);
  CHECK_FALSE(vm->refusal.empty());
}

TEST_CASE("Stopping the daemon says so in every channel") {
  World world;
  const auto vm = ready_vm(world);
  open(world, *vm, 0);
  const auto memory = world.processes[0]->spec.memory;
  caf::anon_send(world.listening, stop_atom_v);
  world.run();
  vgpu_control control{};
  REQUIRE(::pread(memory->region_fd(), &control, sizeof control, static_cast<off_t>(memory->region_offset())) ==
          sizeof control);
  CHECK(control.state == VGPU_STATE_ENDED);
  CHECK(control.end_reason == VGPU_END_DAEMON_STOPPED);
  world.processes[0]->exit("exited with code 0");
  world.advance(1s);
  CHECK(vm->closed);
  CHECK(world.stopped == 1);
}
