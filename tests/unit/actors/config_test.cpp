#include "actors/config.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "actors/driver_choice.hpp"

using namespace vgpu::daemon;
using namespace std::chrono_literals;

namespace {

Config good(const std::string& text, const Overrides& overrides = {}) {
  auto read = read_config(text, "test.toml", overrides);
  if (const auto* mistakes = std::get_if<Mistakes>(&read)) FAIL(mistakes->front());
  return std::get<Config>(std::move(read));
}

/// The only mistake of a text.
std::string mistake(const std::string& text, const Overrides& overrides = {}) {
  const auto read = read_config(text, "test.toml", overrides);
  REQUIRE(std::holds_alternative<Mistakes>(read));
  const auto& mistakes = std::get<Mistakes>(read);
  std::string all;
  for (const std::string& each : mistakes) all += each + "\n";
  INFO(all);
  REQUIRE(mistakes.size() == 1);
  return mistakes.front();
}

}  // namespace

TEST_CASE("No file at all gives two pools and the defaults") {
  const Config config = good("");
  REQUIRE(config.pools.size() == 2);
  CHECK(config.pools[0].name == "A");
  CHECK(config.pools[1].name == "B");
  CHECK(config.pools[0].policy == PoolConfig::Policy::fair);
  CHECK(config.tenant(7) == Tenant{7, 100, Priority::medium});
  CHECK(config.pools[0].gpus[0].kind == GpuChoice::Kind::automatic);
  CHECK(config.unregistered_pool == "A");
  CHECK(config.allow_unregistered);
  CHECK(config.region_bytes == std::uint64_t{16} << 30);
  REQUIRE(config.metrics);
  CHECK(config.metrics->address == "127.0.0.1");
  CHECK(config.metrics->port == 9745);
  CHECK(config.socket.filename() == "vgpud.sock");
  CHECK(config.log_level == vgpu::log::Level::info);
}

TEST_CASE("Every key is read") {
  const Config config = good(R"(
gpu = "software"
[daemon]
socket = "/tmp/s"
socket_mode = "0660"
metrics = "[::1]:1234"
log_level = "debug"
log_file = "/tmp/log"
[[pool]]
name = "training"
gpu = 1
policy = "fair"
quantum_microseconds = 2000
backlog_microseconds = 500
floor_percent = 10
[[pool]]
name = "inference"
policy = "concurrent"
[[vm]]
id = 111
name = "build-host"
uuid = "8f6d6d1e-0c2b-4a57-9d3e-6f1f0f9a2b11"
pool = "inference"
weight = 300
priority = "high"
max_kernel_seconds = 2
[unregistered]
allow = false
pool = "inference"
weight = 1
priority = "low"
max_kernel_seconds = 3
[executor]
spin_microseconds = 7
spares = 5
path = "/opt/vgpu-executor"
region_size = "1 GiB"
images = "/srv/images"
images_size = "2 GiB"
[software_gpu]
memory = "512MiB"
rate = "100M"
launch_timeout_seconds = 5
)");
  CHECK(config.software_gpu.memory_bytes == std::uint64_t{512} << 20);
  CHECK(config.software_gpu.rate == 100'000'000u);
  CHECK(config.software_gpu.launch_timeout_seconds == 5u);
  CHECK(config.socket == "/tmp/s");
  CHECK(config.socket_mode == 0660);
  CHECK(config.metrics->address == "::1");
  CHECK(config.metrics->port == 1234);
  CHECK(config.log_level == vgpu::log::Level::debug);
  CHECK(config.log_file == "/tmp/log");
  REQUIRE(config.pools.size() == 2);
  CHECK(config.pools[0].gpus[0] == GpuChoice{GpuChoice::Kind::index, 1, {}});
  CHECK(config.pools[0].policy == PoolConfig::Policy::fair);
  CHECK(config.pools[0].fair == FairShareTerms{2000us, 500us, 0.1});
  CHECK(config.pools[1].policy == PoolConfig::Policy::concurrent);
  CHECK(config.pools[1].gpus[0].kind == GpuChoice::Kind::software);
  REQUIRE(config.vm(111) != nullptr);
  CHECK(config.vm(111)->pool == "inference");
  CHECK(config.vm(111)->uuid == "8f6d6d1e-0c2b-4a57-9d3e-6f1f0f9a2b11");
  CHECK(config.tenant(111) == Tenant{111, 300, Priority::high, 2s});
  CHECK(config.tenant(112) == Tenant{112, 1, Priority::low, 3s});
  CHECK(config.vm(112) == nullptr);
  CHECK(!config.allow_unregistered);
  CHECK(config.unregistered_pool == "inference");
  CHECK(config.spin_microseconds == 7);
  CHECK(config.spare_executors == 5);
  CHECK(config.executor == "/opt/vgpu-executor");
  CHECK(config.region_bytes == std::uint64_t{1} << 30);
  CHECK(config.images == "/srv/images");
  CHECK(config.images_bytes == std::uint64_t{2} << 30);
  CHECK(good("[executor]\nimages = \"off\"\n").images.empty());
}

TEST_CASE("Limits are those of the VM, and of all that are not registered") {
  const Config config = good(R"(
[[vm]]
id = 1
pool = "A"
memory = "8GiB"
sessions = 3
streams = 10
events = 11
modules = 12
graphs = 13
arena = "4GiB"
calls_per_second = 1000
in_flight = 64
[[vm]]
id = 2
pool = "A"
[unregistered]
memory = "1GiB"
)");
  using vgpu::protocol::Limit;
  const Limits& limits = config.limits_of(1);
  CHECK(limits[Limit::memory] == std::uint64_t{8} << 30);
  CHECK(limits[Limit::arena] == std::uint64_t{4} << 30);
  CHECK(limits[Limit::streams] == 10);
  CHECK(limits[Limit::events] == 11);
  CHECK(limits[Limit::modules] == 12);
  CHECK(limits[Limit::graphs] == 13);
  CHECK(limits.sessions == 3);
  CHECK(limits.calls_per_second == 1000);
  CHECK(limits.in_flight == 64);
  CHECK(config.limits_of(2).most == Limits{}.most);
  CHECK(config.limits_of(2).sessions == 1024);
  CHECK(config.limits_of(2).calls_per_second == 0);
  CHECK(config.limits_of(3)[Limit::memory] == std::uint64_t{1} << 30);
  CHECK(!config.context_memory);
  CHECK(good("[executor]\ncontext_memory = \"300MiB\"\n").context_memory == std::uint64_t{300} << 20);
}

TEST_CASE("The software GPU hears what was configured, and nothing else") {
  const Config config = good("gpu = \"software:2\"\n[software_gpu]\nmemory = \"64MiB\"\n");
  CHECK(gpu_text(config.pools[0].gpus[0]) == "software:2");
  CHECK(software_gpu_environment(config.pools[0].gpus[0], config.software_gpu) ==
        std::vector<std::string>{"VGPU_SOFTGPU_DEVICES=2", "VGPU_SOFTGPU_MEMORY=67108864"});
  CHECK(software_gpu_environment(*parse_gpu("software"), {}).empty());
  const Config several = good("gpu = [\"software\", \"software:2\", 1]\n");
  REQUIRE(several.pools[0].gpus.size() == 3);
  CHECK(software_gpu_environment(several.pools[0].gpus[1], {}) ==
        std::vector<std::string>{"VGPU_SOFTGPU_DEVICES=2", "VGPU_SOFTGPU_FIRST=1"});
  CHECK(several.pools[0].gpus[2] == GpuChoice{GpuChoice::Kind::index, 1, {}});
}

TEST_CASE("The command line wins over the file") {
  Overrides overrides;
  overrides.gpu = "software";
  overrides.socket = "/tmp/other";
  overrides.metrics = "off";
  overrides.log_level = "error";
  const Config config =
      good("[daemon]\nsocket=\"/tmp/s\"\nmetrics=\"127.0.0.1:1\"\n[[pool]]\nname=\"A\"\ngpu=\"0\"\n", overrides);
  CHECK(config.socket == "/tmp/other");
  CHECK(!config.metrics);
  CHECK(config.log_level == vgpu::log::Level::error);
  CHECK(config.pools[0].gpus[0].kind == GpuChoice::Kind::software);
  overrides.gpu = "software:3";
  CHECK(good("", overrides).pools[1].gpus[0] == GpuChoice{GpuChoice::Kind::software, 0, {}, 3});
  overrides.gpu = "fast";
  CHECK_THAT(mistake("", overrides), Catch::StartsWith("--gpu fast: "));
  overrides = {};
  overrides.metrics = "here";
  CHECK_THAT(mistake("", overrides), Catch::StartsWith("--metrics here: "));
  overrides = {};
  overrides.log_level = "loud";
  CHECK_THAT(mistake("", overrides), Catch::StartsWith("--log-level loud: "));
  overrides = {};
  overrides.socket = std::string(200, 'x');
  CHECK_THAT(mistake("", overrides), Catch::StartsWith("--socket: "));
}

TEST_CASE("Each mistake is named with its file and line") {
  const auto [text, start, part] = GENERATE(table<std::string, std::string, std::string>({
      {"[daemon]\nsocket = \n", "test.toml:2: ", "not TOML"},
      {"gpu = \"fast\"\n", "test.toml:1: ", "fast"},
      {"\ngpu = -1\n", "test.toml:2: ", "-1"},
      {"gpu = [1.5]\n", "test.toml:1: ", "or a list of such"},
      {"gpu = []\n", "test.toml:1: ", "names no GPU"},
      {"gpu = [\"auto\", 1]\n", "test.toml:1: ", "can't be one of several"},
      {"gpu = [1, \"1\"]\n", "test.toml:1: ", "named twice"},
      {"gpu = [\"software:9\", \"software:8\"]\n", "test.toml:1: ", "16 software GPUs at most"},
      {"gpu = \"software:0\"\n", "test.toml:1: ", "names no GPU"},
      {"[[pool]]\nname = \"A\"\ngpu = \"software:17\"\n", "test.toml:3: ", "N from 1 to 16"},
      {"gpu = \"software:\"\n", "test.toml:1: ", "names no GPU"},
      {"[software_gpu]\nmemory = \"1KiB\"\n", "test.toml:2: ", "1MiB to 64GiB"},
      {"[software_gpu]\nmemory = \"much\"\n", "test.toml:2: ", "\"much\""},
      {"[software_gpu]\nrate = \"0\"\n", "test.toml:2: ", "lane-instructions"},
      {"[software_gpu]\nmemory = \"4GiB\"\nrate = \"100k\"\n", "test.toml:3: ", "\"100M\""},
      {"[software_gpu]\nlaunch_timeout_seconds = -1\n", "test.toml:2: ", "found -1"},
      {"[software_gpu]\nspeed = 1\n", "test.toml:2: ", "its keys are: memory, rate, launch_timeout_seconds"},
      {"gpu = \"GPU-!\"\n", "test.toml:1: ", "names no GPU"},
      {"\n\ncolour = 1\n", "test.toml:3: ", "unknown key \"colour\""},
      {"[daemon]\nsockett = \"/tmp/x\"\n", "test.toml:2: ", "its keys are: socket, socket_mode"},
      {"[daemon]\nsocket = 3\n", "test.toml:2: ", "expected a string in quotes, found an integer"},
      {"[daemon]\nsocket = \"s\"\n", "test.toml:2: ", "absolute path"},
      {"[daemon]\nsocket = \"/" + std::string(120, 'x') + "\"\n", "test.toml:2: ", "107 bytes"},
      {"[daemon]\nsocket_mode = \"0999\"\n", "test.toml:2: ", "0660"},
      {"[daemon]\nsocket_mode = 0o070\n", "test.toml:2: ", "the owner"},
      {"[daemon]\nmetrics = \"localhost:1\"\n", "test.toml:2: ", "ADDRESS:PORT"},
      {"[daemon]\nmetrics = \"127.0.0.1:65536\"\n", "test.toml:2: ", "ADDRESS:PORT"},
      {"[daemon]\nlog_level = \"loud\"\n", "test.toml:2: ", "\"loud\" is no level"},
      {"[daemon]\nlog_format = \"xml\"\n", "test.toml:2: ", "\"journald\""},
      {"[daemon]\nadmin_socket = \"s\"\n", "test.toml:2: ", "absolute path"},
      {"[daemon]\nsocket = \"/tmp/s\"\nadmin_socket = \"/tmp/s\"\n", "test.toml:3: ", "a path of its own"},
      {"[daemon]\nadmin_socket_mode = \"rw\"\n", "test.toml:2: ", "admin_socket_mode in [daemon]"},
      {"[daemon]\nadmin_group = \"no-such-group\"\n", "test.toml:2: ", "groupadd"},
      {"[daemon]\nlog_file = \"x.log\"\n", "test.toml:2: ", "absolute path"},
      {"daemon = 1\n", "test.toml:1: ", "[daemon]"},
      {"pool = 1\n", "test.toml:1: ", "[[pool]]"},
      {"pool = [1]\n", "test.toml:1: ", "[[pool]]"},
      {"[[pool]]\npolicy = \"fair\"\n", "test.toml:1: ", "needs name"},
      {"[[pool]]\nname = \"a b\"\n", "test.toml:2: ", "1 to 31 letters"},
      {"[[pool]]\nname = \"" + std::string(32, 'x') + "\"\n", "test.toml:2: ", "1 to 31 letters"},
      {"[[pool]]\nname = \"A\"\n[[pool]]\nname = \"A\"\n", "test.toml:4: ", "stands above already"},
      {"[[pool]]\nname = \"A\"\npolicy = \"fcfs\"\n", "test.toml:3: ", "expected \"fair\""},
      {"[[pool]]\nname = \"A\"\nquantum_microseconds = -1\n", "test.toml:3: ", "found -1"},
      {"[[pool]]\nname = \"A\"\nquantum_microseconds = \"1\"\n", "test.toml:3: ", "found a string"},
      {"[[pool]]\nname = \"A\"\nfloor_percent = 31\n", "test.toml:3: ", "from 0 to 30"},
      {"[[vm]]\nid = 1\npool = \"A\"\nweight = 0\n", "test.toml:4: ", "from 1 to 1000"},
      {"[[vm]]\nid = 1\npool = \"A\"\npriority = \"urgent\"\n", "test.toml:4: ", "found \"urgent\""},
      {"[[vm]]\nid = 1\npool = \"A\"\nuuid = \"8f6d\"\n", "test.toml:4: ", "expected a UUID"},
      {"[[vm]]\npool = \"A\"\n", "test.toml:1: ", "needs id"},
      {"[[vm]]\nid = 1\n", "test.toml:1: ", "needs pool"},
      {"[[vm]]\nid = 1\npool = \"Z\"\n", "test.toml:3: ", "the pools are: A, B"},
      {"[[vm]]\nid = 4294967295\npool = \"A\"\n", "test.toml:2: ", "from 0 to 4294967294"},
      {"[[vm]]\nid = 1\npool = \"A\"\n[[vm]]\nid = 1\npool = \"B\"\n", "test.toml:5: ", "a VM 1 stands above"},
      {"[[vm]]\nid = 1\nname = \"a\\nb\"\npool = \"A\"\n", "test.toml:3: ", "1 to 64 letters"},
      {"[[vm]]\nid = 1\npool = \"A\"\nmemory = \"much\"\n", "test.toml:4: ", "\"8GiB\""},
      {"[[vm]]\nid = 1\npool = \"A\"\nmemory = \"1KiB\"\n", "test.toml:4: ", "from 1MiB"},
      {"[[vm]]\nid = 1\npool = \"A\"\nsessions = 1025\n", "test.toml:4: ", "from 1 to 1024"},
      {"[unregistered]\nstreams = 0\n", "test.toml:2: ", "from 1 to"},
      {"[unregistered]\nin_flight = 2000\n", "test.toml:2: ", "from 1 to 1024"},
      {"[unregistered]\ncalls_per_second = \"fast\"\n", "test.toml:2: ", "found a string"},
      {"[executor]\ncontext_memory = \"some\"\n", "test.toml:2: ", "528MiB"},
      {"[unregistered]\nallow = \"yes\"\n", "test.toml:2: ", "expected true or false"},
      {"[unregistered]\npool = \"Z\"\n", "test.toml:2: ", "no pool \"Z\""},
      {"[executor]\nspares = 65\n", "test.toml:2: ", "from 0 to 64"},
      {"[executor]\nspin_microseconds = 1000001\n", "test.toml:2: ", "from 0 to 1000000"},
      {"[executor]\npath = \"vgpu-executor\"\n", "test.toml:2: ", "absolute path"},
      {"[executor]\nimages = \"here\"\n", "test.toml:2: ", "absolute path or \"off\""},
      {"[executor]\nimages_size = \"much\"\n", "test.toml:2: ", "4GiB"},
      {"[executor]\nregion_size = \"64MiB\"\n", "test.toml:2: ", "66MiB"},
      {"[executor]\nregion_size = \"67MiB\"\n", "test.toml:2: ", "steps of 2MiB"},
      {"[executor]\nregion_size = \"2TiB\"\n", "test.toml:2: ", "1TiB"},
      {"[executor]\nregion_size = \"16 gigabytes\"\n", "test.toml:2: ", "16GiB"},
  }));
  const std::string found = mistake(text);
  CHECK_THAT(found, Catch::StartsWith(start));
  CHECK_THAT(found, Catch::Contains(part));
}

TEST_CASE("All mistakes are named at once") {
  const auto read = read_config("gpu = \"x\"\n[daemon]\nfoo = 1\n", "test.toml");
  REQUIRE(std::holds_alternative<Mistakes>(read));
  CHECK(std::get<Mistakes>(read).size() == 2);
}

TEST_CASE("Files that cannot be read are named, an empty one is good") {
  const auto folder = std::filesystem::temp_directory_path();
  for (const auto& path : {std::filesystem::path("/nonexistent/vgpud.toml"), folder}) {
    const auto read = read_config_file(path);
    REQUIRE(std::holds_alternative<Mistakes>(read));
    CHECK_THAT(std::get<Mistakes>(read).front(), Catch::StartsWith(path.string() + ": cannot be read"));
  }
  const auto empty = folder / "vgpu-config-test-empty.toml";
  std::ofstream(empty).close();
  CHECK(std::holds_alternative<Config>(read_config_file(empty)));
  std::filesystem::remove(empty);
}

TEST_CASE("Values") {
  CHECK(parse_size("4096") == 4096u);
  CHECK(parse_size("16GiB") == std::uint64_t{16} << 30);
  CHECK(parse_size("2 TiB") == std::uint64_t{2} << 40);
  CHECK(!parse_size(""));
  CHECK(!parse_size("GiB"));
  CHECK(!parse_size("1GB"));
  CHECK(!parse_size("17179869184TiB"));
  CHECK(parse_gpu("GPU-0123abcd-aaaa")->kind == GpuChoice::Kind::uuid);
  CHECK(!parse_gpu(""));
  CHECK(!parse_gpu("1024"));
  CHECK(gpu_text(*parse_gpu("3")) == "3");
  CHECK(!parse_endpoint("127.0.0.1"));
  CHECK(!parse_endpoint("127.0.0.1:"));
  CHECK(!parse_endpoint("::1:5"));
  CHECK(parse_endpoint("0.0.0.0:0")->port == 0);
}

TEST_CASE("QEMU's socket and a VM's ivshmem server") {
  const Config config = good(R"(
[daemon]
socket = "/tmp/vgpud.sock"
[qemu]
socket_mode = "0600"
user = "0"
group = "root"
[[vm]]
id = 111
pool = "A"
ivshmem_socket = "/tmp/vm111.sock"
ivshmem_memory = "8GiB"
ivshmem_channels = 4
[[vm]]
id = 112
pool = "B"
)");
  CHECK(config.qemu_socket == "/tmp/vgpud-qemu.sock");
  CHECK(config.qemu_socket_mode == 0600);
  CHECK(config.qemu_user == uid_t{0});
  CHECK(config.qemu_group == gid_t{0});
  CHECK(config.vms[0].ivshmem_socket == "/tmp/vm111.sock");
  CHECK(config.vms[0].ivshmem_memory == std::uint64_t{8} << 30);
  CHECK(config.vms[0].ivshmem_channels == 4);
  CHECK(config.vms[1].ivshmem_socket.empty());
}

TEST_CASE("Mistakes about QEMU and ivshmem are found") {
  using Catch::Contains;
  const std::string vm = "[[vm]]\nid = 1\npool = \"A\"\n";
  CHECK_THAT(mistake("[qemu]\nuser = \"no such user\"\n"), Contains("test.toml:2") && Contains("there is no user"));
  CHECK_THAT(mistake("[qemu]\ngroup = \"no such group\"\n"), Contains("there is no group"));
  CHECK_THAT(mistake("[qemu]\nsocket = \"relative\"\n"), Contains("absolute path"));
  CHECK_THAT(mistake("[daemon]\nsocket = \"/tmp/s\"\n[qemu]\nsocket = \"/tmp/s\"\n"), Contains("path of its own"));
  CHECK_THAT(mistake(vm + "ivshmem_memory = \"3GiB\"\n"), Contains("power of two"));
  CHECK_THAT(mistake(vm + "ivshmem_memory = \"1GiB\"\n"), Contains("too small for 16 channels"));
  CHECK_THAT(mistake(vm + "ivshmem_channels = 0\n"), Contains("test.toml:4"));
  CHECK_THAT(mistake(vm + "ivshmem_socket = \"/tmp/a\"\n[[vm]]\nid = 2\npool = \"A\"\nivshmem_socket = \"/tmp/a\"\n"),
             Contains("test.toml:8") && Contains("is VM 1's already"));
}
