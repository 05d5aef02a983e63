#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "actors/config.hpp"
#include "actors/device_nodes.hpp"
#include "actors/executor_cgroups.hpp"
#include "actors/id_range.hpp"
#include "actors/image_folders.hpp"
#include "common/sandbox_order.hpp"

using namespace vgpu;
using namespace vgpu::daemon;
using sandbox::Order;
using sandbox::Part;
using sandbox::Parts;

namespace {

std::optional<Order> crossed(const Order& order) {
  const std::vector<std::string> texts = order.arguments();
  std::vector<const char*> arguments;
  for (const std::string& text : texts) arguments.push_back(text.c_str());
  return Order::from_arguments(arguments);
}

std::variant<Config, Mistakes> executor_table(const std::string& text) {
  return read_config("[executor]\n" + text, "vgpud.toml");
}

}  // namespace

TEST_CASE("what the daemon orders reaches the executor") {
  Order order;
  order.parts.add(Part::files);
  order.parts.add(Part::system_calls);
  order.in_pid_namespace = true;
  order.uid = 4'000'000'000;
  order.gid = 77;
  order.driver = "/usr/lib/with spaces,and commas/libcuda.so.1";
  for (const bool user_namespace : {false, true}) {
    order.in_user_namespace = user_namespace;
    const auto got = crossed(order);
    REQUIRE(got);
    CHECK(got->parts == order.parts);
    CHECK(got->in_pid_namespace);
    CHECK(got->in_user_namespace == user_namespace);
    CHECK(got->uid == order.uid);
    CHECK(got->gid == order.gid);
    CHECK(got->driver == order.driver);
    CHECK_FALSE(got->probe);
  }
  CHECK(crossed(Order())->parts.empty());
}

TEST_CASE("an order that makes no sense is none") {
  const auto refused = [](std::vector<const char*> arguments) { return !Order::from_arguments(arguments); };
  REQUIRE_FALSE(refused({"--sandbox", "files", "none", "1", "2", "/d"}));
  CHECK(refused({}));
  CHECK(refused({"--sandbox", "files", "none", "1", "2"}));
  CHECK(refused({"--help", "files", "none", "1", "2", "/d"}));
  CHECK(refused({"--sandbox", "files,walls", "none", "1", "2", "/d"}));
  CHECK(refused({"--sandbox", "files", "some", "1", "2", "/d"}));
  CHECK(refused({"--sandbox", "files", "none", "-1", "2", "/d"}));
  CHECK(refused({"--sandbox", "files", "none", "1", "4294967296", "/d"}));
}

TEST_CASE("a report says which part is in force and why another is not") {
  const std::vector<sandbox::Finding> sent{{Part::network, ""}, {Part::user, "setresuid: Operation not permitted"}};
  const auto got = sandbox::findings_in(sandbox::report_text(sent) + "noise\nwalls are thick\n");
  REQUIRE(got.size() == 2);
  CHECK(got[0].part == Part::network);
  CHECK(got[0].reason.empty());
  CHECK(got[1].part == Part::user);
  CHECK(got[1].reason == "setresuid: Operation not permitted");
}

TEST_CASE("every part has a name of its own") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < sandbox::kParts; ++i) {
    const auto part = static_cast<Part>(i);
    names.insert(part_name(part));
    CHECK(sandbox::part_of(part_name(part)) == part);
  }
  CHECK(names.size() == sandbox::kParts);
  CHECK(Parts::from_text(Parts::all().text()) == Parts::all());
}

TEST_CASE("no two executors have the same user, and a freed one comes again last") {
  const auto range = IdRange::make(100, 102);
  auto first = range->take(), second = range->take(), third = range->take();
  REQUIRE(third);
  CHECK(std::set<std::uint32_t>{first->number(), second->number(), third->number()} ==
        std::set<std::uint32_t>{100, 101, 102});
  CHECK_FALSE(range->take());
  second.reset();
  first.reset();
  CHECK(range->take()->number() == 100);
  CHECK(range->take()->number() == 101);
}

TEST_CASE("a range of users may end at the highest number") {
  const auto range = IdRange::make(0xfffffffd, 0xfffffffe);
  const auto one = range->take(), other = range->take();
  REQUIRE(other);
  CHECK(one->number() + 1 == other->number());
  CHECK_FALSE(range->take());
}

TEST_CASE("the sandbox is configured") {
  using Mode = SandboxConfig::Mode;
  const auto mode = [](const std::string& text) { return std::get<Config>(executor_table(text)).sandbox.mode; };
  CHECK(mode("") == Mode::automatic);
  CHECK(mode("sandbox = \"auto\"") == Mode::automatic);
  CHECK(mode("sandbox = \"required\"") == Mode::required);
  CHECK(mode("sandbox = \"off\"") == Mode::off);
  const auto config = std::get<Config>(executor_table("sandbox_ids = \"100000-100255\""));
  CHECK(config.sandbox.first_id == 100'000);
  CHECK(config.sandbox.last_id == 100'255);
  CHECK_FALSE(config.sandbox.host_memory_bytes);
  CHECK(std::get<Config>(executor_table("host_memory = \"2GiB\"")).sandbox.host_memory_bytes == std::uint64_t{2} << 30);
  REQUIRE(std::holds_alternative<Mistakes>(executor_table("host_memory = \"255MiB\"")));
  for (const char* wrong : {"sandbox = \"on\"", "sandbox = true", "sandbox_ids = \"100000-100254\"",
                            "sandbox_ids = \"1000-100000\"", "sandbox_ids = \"100000\"", "sandbox_ids = \"a-b\"",
                            "sandbox_ids = \"100000-4294967295\"", "sandbox_ids = \"100300-100000\""}) {
    INFO(wrong);
    const auto read = executor_table(wrong);
    REQUIRE(std::holds_alternative<Mistakes>(read));
    CHECK(std::get<Mistakes>(read).front().starts_with("vgpud.toml:2: sandbox"));
  }
}

TEST_CASE("missing device nodes are made once, by the program that makes them") {
  std::string folder = "/tmp/vgpu-nodes-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::filesystem::path devices = folder, program = devices / "modprobe";
  CHECK_FALSE(make_device_nodes(devices, program));  // there is no such program
  {
    std::ofstream(program) << "#!/bin/sh\n[ \"$*\" = '-u -c 0' ] && cd " << folder
                           << " && touch nvidiactl nvidia-uvm && echo x >>runs\n";
  }
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  CHECK(make_device_nodes(devices, program));
  CHECK(make_device_nodes(devices, program));
  CHECK(std::filesystem::file_size(devices / "runs") == 2);
  std::filesystem::remove_all(folder);
}

TEST_CASE("a folder of images is open to every user that has its descriptor, and to nobody by its path") {
  std::string parent = "/tmp/vgpu-sandbox-XXXXXX";
  REQUIRE(::mkdtemp(parent.data()) != nullptr);
  std::string error;
  const auto whom = GENERATE(ImageFolders::For::own_user, ImageFolders::For::any_user);
  auto folders = ImageFolders::make(parent, error, whom);
  REQUIRE(folders);
  const UniqueFd folder = folders->open(1, true, 1000);
  const UniqueFd above(::openat(folder.get(), "..", O_PATH | O_CLOEXEC));
  const auto mode = [](const UniqueFd& place) {
    struct stat status {};
    return place && ::fstat(place.get(), &status) == 0 ? status.st_mode & 07777u : 0u;
  };
  CHECK(mode(folder) == (whom == ImageFolders::For::any_user ? 0777u : 0700u));
  CHECK(mode(above) == 0700u);
  folders.reset();
  std::filesystem::remove_all(parent);
}

namespace {

/// A group of the machine's own cgroups, where this user may make one.
struct Cgroup {
  Cgroup() {
    for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
      struct statfs status {};
      if (::statfs(mount, &status) != 0 || status.f_type != CGROUP2_SUPER_MAGIC) continue;
      const std::filesystem::path folder = std::filesystem::path(mount) / ("vgpu-test-" + std::to_string(::getpid()));
      if (::mkdir(folder.c_str(), 0755) == 0) path = folder;
    }
  }
  ~Cgroup() {
    ::rmdir((path / "vgpud").c_str());
    ::rmdir(path.c_str());
  }
  std::string text(const std::filesystem::path& file) const {
    std::ifstream stream(file);
    return std::string(std::istreambuf_iterator<char>(stream), {});
  }
  std::filesystem::path path;
};

/// A process that does nothing until it is ended.
struct Sleeper {
  Sleeper() : pid(::fork()) {
    if (pid != 0) return;
    ::pause();
    ::_exit(0);
  }
  ~Sleeper() { end(); }
  void end() {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    pid = -1;
  }
  pid_t pid;
};

}  // namespace

TEST_CASE("each executor has a cgroup that ends with it, where cgroups are to be had") {
  const Cgroup group;
  if (group.path.empty()) {
    WARN("no cgroup can be made here");
    return;
  }
  std::string reason;
  CHECK(ExecutorCgroups::make(group.path, {}, {"no-such-controller"}, reason) == nullptr);
  CHECK(reason == group.path.string() + " has no controller no-such-controller");

  // Whatever limits this machine can divide.
  std::vector<std::string> controllers;
  for (const char* controller : {"memory", "pids"})
    if (group.text(group.path / "cgroup.controllers").find(controller) != std::string::npos)
      controllers.push_back(controller);
  Sleeper daemon, executor;
  { std::ofstream(group.path / "cgroup.procs") << daemon.pid; }
  const auto groups = ExecutorCgroups::make(group.path, {std::uint64_t{1} << 30, 100}, controllers, reason);
  INFO(reason);
  REQUIRE(groups != nullptr);
  CHECK(group.text(group.path / "vgpud/cgroup.procs") == std::to_string(daemon.pid) + "\n");
  auto leaf = groups->make_leaf(7, reason);
  INFO(reason);
  REQUIRE(leaf != nullptr);
  REQUIRE(leaf->add(executor.pid));
  CHECK(group.text(leaf->folder() / "cgroup.procs") == std::to_string(executor.pid) + "\n");
  for (const std::string& controller : controllers) {
    if (controller == "pids") CHECK(group.text(leaf->folder() / "pids.max") == "100\n");
    if (controller == "memory") CHECK(group.text(leaf->folder() / "memory.max") == "1073741824\n");
  }
  const std::filesystem::path folder = leaf->folder();
  executor.end();
  leaf.reset();
  groups->make_leaf(8, reason).reset();  // if the kernel still held it, it goes now
  CHECK_FALSE(std::filesystem::exists(folder));
}
