#include "process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

extern char** environ;

namespace vgpu::bench {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> environment_with(const Child::Environment& changes) {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    if (std::none_of(changes.begin(), changes.end(), [&](const auto& change) { return change.first == name; }))
      entries.push_back(text);
  }
  for (const auto& [name, value] : changes)
    if (!value.empty()) entries.push_back(name + "=" + value);
  return entries;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Fields of /proc/PID/stat after the name, which may hold anything; empty if the process is gone. [0] is the state.
std::vector<std::string> stat_fields(const fs::path& process) {
  std::ifstream file(process / "stat");
  std::string text;
  std::getline(file, text);
  const std::size_t end = text.rfind(')');
  if (end == std::string::npos) return {};
  std::istringstream rest(text.substr(end + 1));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

}  // namespace

Child::Child(const std::vector<std::string>& command, const Environment& changes, const fs::path& errors) {
  std::array<int, 2> in{}, out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  UniqueFd in_read(in[0]);
  input_.reset(in[1]);
  if (::pipe2(out.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  output_.reset(out[0]);
  UniqueFd out_write(out[1]);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in_read.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out_write.get(), STDOUT_FILENO);
  if (!errors.empty())
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  std::vector<std::string> arguments = command;
  std::vector<std::string> variables = environment_with(changes);
  const int error = ::posix_spawn(&pid_, arguments.front().c_str(), &actions, nullptr, pointers_to(arguments).data(),
                                  pointers_to(variables).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    pid_ = -1;
    throw std::runtime_error("can't start " + command.front());
  }
}

Child::~Child() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  wait();
}

bool Child::read_line(std::string& line) {
  for (;;) {
    const std::size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return true;
    }
    std::array<char, 65536> piece;
    const ssize_t bytes = ::read(output_.get(), piece.data(), piece.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) return false;
    buffer_.append(piece.data(), static_cast<std::size_t>(bytes));
  }
}

void Child::terminate() noexcept {
  if (pid_ > 0) ::kill(pid_, SIGTERM);
}

bool Child::running() noexcept {
  if (pid_ <= 0) return false;
  if (::waitpid(pid_, &status_, WNOHANG) != pid_) return true;
  pid_ = -1;
  return false;
}

int Child::wait() noexcept {
  while (pid_ > 0 && ::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

double cpu_seconds(pid_t pid) {
  const auto fields = stat_fields(fs::path("/proc") / std::to_string(pid));
  // utime and stime are fields 14 and 15 of proc(5), of which the first two are gone.
  if (fields.size() < 13) return 0;
  return (std::stod(fields[11]) + std::stod(fields[12])) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto fields = stat_fields(entry.path());
    if (fields.size() > 1 && fields[1] == std::to_string(pid)) children.push_back(std::stoi(name));
  }
  return children;
}

Daemon::Daemon(const fs::path& program, const std::string& gpu) {
  std::string pattern = (fs::temp_directory_path() / "vgpu-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("can't make a folder in the temporary folder");
  folder_ = pattern;
  socket_ = folder_ / "vgpud.sock";
  const fs::path log = folder_ / "log";
  child_ =
      std::make_unique<Child>(std::vector<std::string>{program, "--socket", socket_, "--metrics", "off", "--gpu", gpu},
                              Child::Environment{}, log);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!fs::exists(socket_)) {
    if (!child_->running() || std::chrono::steady_clock::now() > deadline) {
      std::ostringstream text;
      text << std::ifstream(log).rdbuf();
      fs::remove_all(folder_);
      throw std::runtime_error("vgpud did not start; it said:\n" + text.str());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Daemon::~Daemon() {
  child_->terminate();
  child_->wait();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

}  // namespace vgpu::bench
