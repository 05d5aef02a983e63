#include "actors/daemon.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <caf/all.hpp>
#include <cerrno>
#include <cstring>
#include <thread>

#include "actors/acceptor.hpp"
#include "actors/accounting.hpp"
#include "actors/admin.hpp"
#include "actors/admin_socket.hpp"
#include "actors/build_info.hpp"
#include "actors/context.hpp"
#include "actors/device_nodes.hpp"
#include "actors/executor_process.hpp"
#include "actors/executor_sandbox.hpp"
#include "actors/guest_socket.hpp"
#include "actors/ivshmem_servers.hpp"
#include "actors/lease_policy.hpp"
#include "actors/listener.hpp"
#include "actors/live_config.hpp"
#include "actors/metrics.hpp"
#include "actors/metrics_server.hpp"
#include "actors/pool_scheduler.hpp"
#include "actors/process_setup.hpp"
#include "actors/service_manager.hpp"
#include "actors/spare_executors.hpp"
#include "actors/vm_link.hpp"
#include "common/log.hpp"
#include "common/paths.hpp"
#include "common/socket_file.hpp"

namespace vgpu::daemon {
namespace {

/// From the signal to giving up on a clean end.
constexpr std::chrono::milliseconds kStopDeadline{4'500};
/// A part of the sandbox that is the daemon's to give, not the executor's to build.

int fail(const std::string& text) {
  log::error("vgpud cannot start", {{"reason", text}});
  return 1;
}

/// The executor's program, checked. Empty: `error` says what to do.
std::filesystem::path find_executor(const Config& config, std::string& error) {
  std::filesystem::path program = config.executor;
  if (program.empty()) program = executable_directory() / "vgpu-executor";
  if (::access(program.c_str(), X_OK) == 0) return program;
  error = "the executor " + program.string() + " cannot be run: " + std::strerror(errno) +
          "; build it, or set path in [executor]";
  return {};
}

std::unique_ptr<LeasePolicy> make_policy(const PoolConfig& pool) {
  return pool.policy == PoolConfig::Policy::concurrent ? make_concurrent() : make_fair_share(pool.fair);
}

class Daemon {
 public:
  Daemon(const Config& config, ReadConfig read_again)
      : config_(config),
        read_again_(std::move(read_again)),
        io_(1),
        service_manager_(io_),
        signals_(io_, SIGTERM, SIGINT),
        reload_signal_(io_, SIGHUP),
        watchdog_(io_),
        context_(std::make_shared<Context>()) {
    // `sharing` costs no wake-ups while idle, and one message hop about a microsecond.
    actors_config_.set("scheduler.policy", caf::atom("sharing"));
    actors_config_.set("scheduler.max-threads", std::clamp<size_t>(std::thread::hardware_concurrency(), 2, 4));
    actors_config_.set("scheduler.max-throughput", size_t{100});
  }

  int run() {
    std::string error;
    if (!prepare(error)) return fail(error);
    caf::actor_system actors(actors_config_);
    spawn_actors(actors);
    asio::signal_set& signals = signals_;
    signals.async_wait([this](const asio::error_code& failure, int signal) {
      if (!failure) begin_stop(signal);
    });
    wait_for_reload();
    Acceptor guests(io_, socket_->fd(), [this](UniqueFd connection) {
      if (auto socket = make_guest_socket(io_, std::move(connection)))
        caf::anon_send(listener_, accepted_atom_v, std::move(socket));
    });
    Acceptor vms(io_, qemu_socket_->fd(), [this](UniqueFd connection) {
      if (auto link = make_vm_link(io_, std::move(connection)))
        caf::anon_send(listener_, accepted_atom_v, std::move(link));
    });
    Acceptor admins(io_, admin_socket_->fd(), [this](UniqueFd connection) {
      if (auto client = make_admin_client(io_, std::move(connection)))
        caf::anon_send(admin_, accepted_atom_v, std::move(client));
    });
    acceptors_ = {&guests, &vms, &admins};
    log_start();
    keep_spares();
    service_manager_.ready([this] { caf::anon_send(admin_, alive_atom_v); });
    tell_status();
    io_.run();
    return finish();
  }

 private:
  /// What can fail, in the order in which it is undone.
  bool prepare(std::string& error) {
    live_config_ = LiveConfig::open(config_, read_again_, config_.state, error);
    if (live_config_ == nullptr) return false;
    context_->set_config(live_config_->config());
    context_->own_uid = ::getuid();
    context_->most_connections = most_connections();
    context_->executor_program = find_executor(config_, error);
    if (context_->executor_program.empty()) return false;
    const DriverSearch search = system_driver_search();
    std::vector<std::string> warnings;
    find_gpus(config_, search, *context_->gpus, warnings);
    for (const std::string& why : warnings)
      log::warn("GPUs can't be watched: their health and sensors are not known", {{"reason", why}});
    for (const PoolConfig& pool : config_.pools) {
      std::vector<GpuPlace> places = gpu_places(pool, config_.software_gpu, search, *context_->gpus, error);
      if (places.empty()) {
        error = "pool " + pool.name + ": " + error;
        return false;
      }
      for (GpuPlace& place : places) {
        if (!place.driver.software && config_.sandbox.mode != SandboxConfig::Mode::off && !make_device_nodes())
          log::warn("NVIDIA's device nodes are missing, and executors can't make them",
                    {{"pool", pool.name}, {"remedy", "nvidia-modprobe -u -c 0"}});
        context_->pools[pool.name].members.push_back({std::move(place), {}});
      }
    }
    // Before there is a second thread: it starts a process and waits for it.
    const Driver& first = context_->pools[config_.pools.front().name].members.front().place.driver;
    sandbox_ = ExecutorSandbox::find(config_.sandbox, context_->executor_program, first, error);
    if (sandbox_ == nullptr) return false;
    socket_ = SocketFile::open(config_.socket, SOCK_SEQPACKET, config_.socket_mode, error);
    if (socket_ == nullptr) return false;
    qemu_socket_ =
        SocketFile::open(config_.qemu_socket, SOCK_STREAM, config_.qemu_socket_mode, error, config_.qemu_group);
    if (qemu_socket_ == nullptr) return false;
    admin_socket_ =
        SocketFile::open(config_.admin_socket, SOCK_STREAM, config_.admin_socket_mode, error, config_.admin_gid);
    if (admin_socket_ == nullptr) return false;
    ivshmem_ = IvshmemServers::start(io_, config_, error);
    if (ivshmem_ == nullptr) return false;
    if (!config_.images.empty()) {
      context_->images = ImageFolders::make(
          config_.images, error, sandbox_->own_user() ? ImageFolders::For::any_user : ImageFolders::For::own_user);
      if (context_->images == nullptr) return false;
    }
    if (!config_.state.empty()) {
      accounting_ = Accounting::open(config_.state / "accounting", std::chrono::system_clock::now(), error);
      if (accounting_ == nullptr) return false;
    }
    context_->quarantine = Quarantine::open(config_.state.empty() ? "" : config_.state / "quarantine", error);
    if (context_->quarantine == nullptr) return false;
    store_ = std::make_shared<MetricsStore>(context_->quarantine, context_->gpus);
    context_->books = store_;
    store_->configured(context_->config());
    store_->reloaded(true, std::chrono::system_clock::now());
    context_->for_each_member([this](const std::string& pool, const Pool::Member& member) {
      for (const std::string& uuid : member.place.uuids) store_->pool_gpu(pool, uuid);
    });
    for (const sandbox::Finding& finding : sandbox_->findings())
      store_->sandbox_part(std::string(part_name(finding.part)), finding.reason.empty());
    store_->sandbox_part(ExecutorSandbox::kCgroup, sandbox_->cgroup_missing().empty());
    if (config_.metrics) {
      server_ = MetricsServer::start(
          *config_.metrics, store_, [this] { return health_text(); }, error);
      if (server_ == nullptr) return false;
    }
    return true;
  }

  void spawn_actors(caf::actor_system& actors) {
    context_->metrics = actors.spawn(metrics, store_, accounting_);
    for (const PoolConfig& pool : config_.pools)
      for (Pool::Member& member : context_->pools[pool.name].members)
        member.scheduler = actors.spawn(pool_scheduler, pool.name, boxed(make_policy(pool)));
    spares_ = SpareExecutors::make(io_, [this](const Driver& driver, ExecutorProcess::Handlers handlers,
                                               std::string& error) {
      const ExecutorLaunch launch{context_->executor_program, driver, config_.log_format == LogFormat::json, nullptr};
      return launch_executor(io_, launch, *sandbox_, std::move(handlers), error);
    });
    context_->gpus->start([this, context = context_](const Gpu& gpu, const std::string& reason) {
      log::error("a GPU is unhealthy: its sessions are ended, and it gets no others until vgpud is reloaded",
                 {{"gpu", gpu.uuid}, {"name", gpu.name}, {"reason", reason}});
      context->for_each_member([&](const std::string&, const Pool::Member& member) {
        const auto& uuids = member.place.uuids;
        if (std::find(uuids.begin(), uuids.end(), gpu.uuid) != uuids.end())
          caf::anon_send(member.scheduler, lost_atom_v, gpu.uuid + ": " + reason);
      });
      keep_spares();
    });
    context_->start_executor = [this](const ExecutorSpec& spec, ExecutorProcess::Handlers handlers,
                                      std::string& error) -> ExecutorProcessPtr {
      if (const PreparedExecutorPtr spare = spares_->take(spec.driver)) {
        spare->begin(spec, std::move(handlers));
        return spare;
      }
      return start_executor_process(io_, spec, *sandbox_, std::move(handlers), error);
    };
    listener_ = actors.spawn(listener, ContextPtr(context_), [this] {
      asio::post(io_, [this] {
        clean_ = true;
        io_.stop();
      });
    });
    live_config_->on_reload([this](bool applied) { store_->reloaded(applied, std::chrono::system_clock::now()); });
    live_config_->on_change([this](const Config& config, bool reloaded) { apply(config, reloaded); });
    admin_ = actors.spawn(admin, admin_parts());
  }

  AdminParts admin_parts() {
    AdminParts parts;
    parts.context = context_;
    parts.sources.store = store_;
    parts.sources.gpus = context_->gpus;
    parts.sources.quarantine = context_->quarantine;
    parts.sources.metrics = metrics_text();
    context_->for_each_member([&](const std::string& pool, const Pool::Member& member) {
      parts.sources.places.push_back({pool, member.place.text, member.place.uuids});
    });
    parts.configuration = live_config_;
    parts.listener = listener_;
    parts.alive = ServiceManager::alive;
    return parts;
  }

  /// For /healthz: a line for each thing that is wrong.
  std::string health_text() const {
    std::string text;
    for (const std::string& problem : health_problems(*context_->gpus)) text += problem + "\n";
    return text;
  }

  std::string metrics_text() const {
    return server_ == nullptr ? "off" : config_.metrics->address + ":" + std::to_string(server_->port());
  }

  void tell_status() const {
    const ConfigPtr config = context_->config();
    ServiceManager::status("serving " + std::to_string(config->pools.size()) + " pools and " +
                           std::to_string(config->vms.size()) + " configured VMs; see vgpuctl status");
  }

  void log_start() {
    sandbox_->log_findings();
    if (!config_.admin_gid)
      log::info("only root and vgpud's own user may use vgpuctl", {{"missing_group", config_.admin_group}});
    for (const PoolConfig& pool : context_->config()->pools)
      if (pool.drained) log::warn("pool is drained: it gets no new sessions", {{"pool", pool.name}});
    for (const std::uint32_t vm : context_->quarantine->all()) log::warn("VM is quarantined", {{"vm", vm}});
    context_->for_each_member([](const std::string& name, const Pool::Member& member) {
      log::info("pool", {{"pool", name}, {"driver", member.place.driver.library.string()}, {"gpu", member.place.text}});
    });
    log::info("vgpud is ready", {{"version", kVersion},
                                 {"socket", config_.socket.string()},
                                 {"qemu_socket", config_.qemu_socket.string()},
                                 {"state", config_.state.empty() ? "none" : config_.state.string()},
                                 {"admin_socket", config_.admin_socket.string()},
                                 {"metrics", metrics_text()},
                                 {"pid", ::getpid()},
                                 {"most_connections", context_->most_connections}});
  }

  /// Spare executors for the GPUs that sessions may get now.
  void keep_spares() const {
    spares_->keep(context_->open_drivers(), sandbox_->takes_images_later() ? context_->config()->spare_executors : 0);
  }

  void wait_for_reload() {
    reload_signal_.async_wait([this](const asio::error_code& failure, int) {
      if (failure) return;
      reload();
      wait_for_reload();
    });
  }

  /// All of the new configuration, or nothing of it. Sessions go on.
  void reload() {
    for (const std::string& reason : live_config_->reload())
      log::error("the configuration is not reloaded", {{"reason", reason}});
  }

  /// Puts a configuration in force. Any thread, one at a time.
  void apply(const Config& config, bool reloaded) {
    if (reloaded) ServiceManager::reloading();
    context_->set_config(config);
    for (const VmConfig& vm : config.vms) context_->accounts.changed(vm.id, vm.limits);
    store_->configured(context_->config());
    if (reloaded) {
      context_->quarantine->refresh();
      log::setup(config.log_level);
      context_->gpus->forgive();
    }
    context_->for_each_member([this](const std::string&, const Pool::Member& member) {
      caf::anon_send(member.scheduler, changed_atom_v, context_->config());
    });
    keep_spares();
    if (!reloaded) return;
    log::info("the configuration was reloaded", {{"pools", config.pools.size()}, {"vms", config.vms.size()}});
    ServiceManager::reloaded();
    tell_status();
  }

  void begin_stop(int signal) {
    asio::error_code ignored;
    reload_signal_.cancel(ignored);
    log::info("vgpud stops", {{"signal", ::strsignal(signal)}});
    ServiceManager::stopping();
    service_manager_.stop();
    for (Acceptor* acceptor : acceptors_) acceptor->close();
    spares_->keep({}, 0);
    caf::anon_send(listener_, stop_atom_v);
    watchdog_.expires_after(kStopDeadline);
    watchdog_.async_wait([this](const asio::error_code& failure) {
      if (!failure) io_.stop();
    });
  }

  /// Undoes what run() did. The actor system ends when its last actor does.
  int finish() {
    server_.reset();
    if (!clean_) {
      log::error("some sessions did not end in time; their executors are killed");
      socket_.reset();
      qemu_socket_.reset();
      admin_socket_.reset();
      context_->images.reset();
      ::_exit(1);  // executors die with the daemon; waiting for their actors could take for ever
    }
    context_->gpus->stop();  // its handler holds actors
    caf::anon_send(admin_, stop_atom_v);
    admin_ = nullptr;
    caf::anon_send(context_->metrics, stop_atom_v);
    for (auto& [name, pool] : context_->pools)
      for (Pool::Member& member : pool.members) {
        caf::anon_send(member.scheduler, stop_atom_v);
        member.scheduler = nullptr;
      }
    context_->metrics = nullptr;
    listener_ = nullptr;
    socket_.reset();
    qemu_socket_.reset();
    admin_socket_.reset();
    log::info("vgpud has ended");
    return 0;
  }

  const Config& config_;  ///< that the daemon was started with
  const ReadConfig read_again_;
  caf::actor_system_config actors_config_;
  asio::io_context io_;
  ServiceManager service_manager_;
  asio::signal_set signals_;
  asio::signal_set reload_signal_;
  asio::steady_timer watchdog_;
  std::unique_ptr<SocketFile> socket_;
  std::unique_ptr<SocketFile> qemu_socket_;
  std::unique_ptr<SocketFile> admin_socket_;
  std::shared_ptr<LiveConfig> live_config_;
  std::unique_ptr<IvshmemServers> ivshmem_;
  std::unique_ptr<ExecutorSandbox> sandbox_;
  std::shared_ptr<SpareExecutors> spares_;
  std::shared_ptr<MetricsStore> store_;
  std::shared_ptr<Accounting> accounting_;
  std::unique_ptr<MetricsServer> server_;
  std::shared_ptr<Context> context_;
  listener_actor listener_;
  admin_actor admin_;
  std::vector<Acceptor*> acceptors_;
  bool clean_ = false;
};

}  // namespace

int run_daemon(const Config& config, ReadConfig read_again) {
  ::signal(SIGPIPE, SIG_IGN);
  fill_standard_descriptors();
  choose_log(config);
  std::string error;
  if (!redirect_log(config.log_file, error)) return fail(error);
  return Daemon(config, std::move(read_again)).run();
}

}  // namespace vgpu::daemon
