#include "executor/executor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <array>
#include <optional>
#include <vector>

#include "common/log.hpp"
#include "executor/call_log.hpp"
#include "executor/commands.hpp"
#include "executor/ring_loop.hpp"
#include "executor/session.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// Memory that the daemon made and reads or writes, too.
template <typename T>
class Mapping {
 public:
  ~Mapping() {
    if (shared_ != nullptr) munmap(shared_, sizeof(T));
  }
  bool map(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0 || static_cast<std::size_t>(status.st_size) < sizeof(T)) return false;
    void* page = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) return false;
    shared_ = static_cast<T*>(page);
    return true;
  }
  T& get() noexcept { return *shared_; }

 private:
  T* shared_ = nullptr;
};

int fail(Link& link, CUresult result, std::string_view text) {
  spdlog::error("start failed result={} text=\"{}\"", static_cast<int>(result), text);
  ExecutorEvent event;
  event.type = ExecutorEvent::Type::failed;
  event.reason = VGPU_END_EXECUTOR_START;
  event.result = result;
  set_text(event, text);
  link.send(event);
  return 1;
}

/// Lines of `key=value` as JSON objects, beside those of a daemon that writes such.
class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& line, spdlog::memory_buf_t& out) override {
    const auto fields = log::parse_fields({line.payload.data(), line.payload.size()});
    std::string message = "call";
    std::vector<log::Field> others;
    for (const auto& [key, value] : fields) {
      const bool number = !value.empty() && value.size() < 19 && value.find_first_not_of("0123456789") == value.npos;
      if (key == "msg")
        message = value;
      else if (number)
        others.emplace_back(key, std::stoull(value));
      else
        others.emplace_back(key, value);
    }
    const auto level = line.level == spdlog::level::debug  ? log::Level::debug
                       : line.level == spdlog::level::info ? log::Level::info
                       : line.level == spdlog::level::warn ? log::Level::warn
                                                           : log::Level::error;
    const std::string text = log::json_line(line.time, level, message, others) + '\n';
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }
};

void set_up_log(bool json) {
  auto log = std::make_shared<spdlog::logger>("executor", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  log->set_pattern("time=%Y-%m-%dT%H:%M:%S.%e%z level=%l %v");
  if (json) log->set_formatter(std::make_unique<JsonFormatter>());
  log->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(log);
}

/// What `ps` and `top` call the process: one that has no session yet has its program's name.
void name_process(u32 session) { prctl(PR_SET_NAME, fmt::format("vgpu-s{}", session).c_str(), 0, 0, 0); }

/// Descriptors that came with `start`.
class StartDescriptors {
 public:
  StartDescriptors(u32 which, const std::vector<UniqueFd>& given) {
    fds_.fill(-1);
    auto next = given.begin();
    for (std::size_t i = 0; i < kStartFds && next != given.end(); ++i)
      if ((which & bit(static_cast<StartFd>(i))) != 0) fds_[i] = (next++)->get();
  }
  int operator[](StartFd fd) const noexcept { return fds_[static_cast<std::size_t>(fd)]; }

 private:
  std::array<int, kStartFds> fds_;
};

/// All that takes long and needs no session. Nothing: it is done; otherwise the exit code.
std::optional<int> prepare(Link& link, Driver& cuda) {
  ExecutorCommand command;
  if (link.receive(command) == Link::Received::closed) return 0;
  if (command.type != ExecutorCommand::Type::prepare)
    return fail(link, CUDA_ERROR_UNKNOWN, "the first message is no prepare");
  set_up_log(command.log_json != 0);
  std::string error;
  if (!cuda.load(command.driver_library.data(), error)) return fail(link, CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, error);
  if (const CUresult result = cuda.cuInit(0); result != CUDA_SUCCESS)
    return fail(link, result, "cuInit: " + cuda.result_name(result));
  return std::nullopt;
}

}  // namespace

int run_executor(const Descriptors& descriptors, const std::function<void(int)>& leave) {
  Link link(descriptors.link);
  Driver cuda;
  if (const auto code = prepare(link, cuda)) return *code;
  ExecutorCommand start;
  std::vector<UniqueFd> given;
  if (link.receive(start, given) == Link::Received::closed || start.type == ExecutorCommand::Type::stop) return 0;
  if (start.type != ExecutorCommand::Type::start)
    return fail(link, CUDA_ERROR_UNKNOWN, "the second message is no start");
  name_process(start.session);
  spdlog::set_level((start.watch & kWatchLog) != 0 ? spdlog::level::debug : spdlog::level::info);

  std::string error;
  const StartDescriptors fds(start.descriptors, given);
  Region region;
  const bool in_vm = (start.flags & ExecutorCommand::kInVm) != 0;
  const Region::Place place{start.channel_offset, in_vm, start.arena_offset, start.channel};
  if (!region.map(fds[StartFd::region], start.region_bytes, place, error)) return fail(link, CUDA_ERROR_UNKNOWN, error);
  if (in_vm && fds[StartFd::interrupt] < 0)
    return fail(link, CUDA_ERROR_UNKNOWN, "the channel's interrupt did not come");
  Mapping<SessionStats> stats;
  if (!stats.map(fds[StartFd::stats])) return fail(link, CUDA_ERROR_UNKNOWN, "the counters can't be mapped");
  Mapping<VmAccount> account;
  if (!account.map(fds[StartFd::account]) || start.account_slot >= VmAccount::kSlots)
    return fail(link, CUDA_ERROR_UNKNOWN, "the VM's account can't be mapped");

  FutexWaker by_futex;
  InterruptWaker by_interrupt(fds[StartFd::interrupt]);
  Waker& waker = in_vm ? static_cast<Waker&>(by_interrupt) : by_futex;
  SessionConfig config;
  config.session = start.session;
  config.vm = start.vm;
  config.pool = start.pool.data();
  config.watch = start.watch;
  config.kernel_text = descriptors.kernel_text;
  config.device = start.device;
  config.account = {&account.get(), start.account_slot};
  config.context_memory = start.context_memory;
  config.images_folder = fds[StartFd::images];
  if (config.images_folder < 0 && fcntl(descriptors.images, F_GETFD) >= 0) config.images_folder = descriptors.images;
  config.images_bytes = start.images_bytes;
  Session session(config, cuda, region, stats.get(), link, waker);
  CUdevice device = 0;
  if (!session.device(0, device)) return fail(link, CUDA_ERROR_NO_DEVICE, "the driver has no such device");

  ExecutorEvent ready;
  ready.type = ExecutorEvent::Type::ready;
  std::array<char, 128> name{};
  if (cuda.cuDeviceGetName(name.data(), static_cast<int>(name.size()) - 1, device) == CUDA_SUCCESS)
    set_text(ready, name.data());
  link.send(ready);
  session.log->debug("msg=\"executor ready\" {} device=\"{}\"", log_identity(session), name.data());

  Commands commands(link, session.signal, session.watch, [&leave] { leave(0); });
  RingLoop loop(session, commands, std::chrono::microseconds(start.spin_microseconds));
  loop.run();
  session.log->flush();
  // From here on destructors wait for threads that may be in the driver for ever.
  leave(0);
  return 0;
}

}  // namespace vgpu::executor
