#include "daemon_fixture.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "common/unique_fd.hpp"

namespace vgpu::test {
namespace fs = std::filesystem;
namespace {

std::string read_text(const fs::path& path) {
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

pid_t spawn(const std::vector<std::string>& command, const fs::path& output) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  const int fd = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(fd, STDOUT_FILENO);
  ::dup2(fd, STDERR_FILENO);
  ::execv(arguments.front(), arguments.data());
  ::_exit(127);
}

/// Fields of /proc/PID/stat from the third on: the second, the name, may hold anything.
std::vector<std::string> stat_fields(pid_t pid) {
  const std::string text = read_text("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t end = text.rfind(')');
  std::vector<std::string> fields;
  if (end == std::string::npos) return fields;
  std::istringstream stream(text.substr(end + 1));
  for (std::string field; stream >> field;) fields.push_back(field);
  return fields;
}

}  // namespace

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

bool process_exists(pid_t pid) {
  const auto fields = stat_fields(pid);
  return !fields.empty() && fields[0] != "Z";
}

Daemon::Daemon(const std::string& config, const std::string& log_level) {
  std::string pattern = (fs::temp_directory_path() / "vgpu-daemon-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = pattern;
  std::ofstream(this->config()) << "[executor]\nspares = 0\npath = \"" FAKE_EXECUTOR "\"\nregion_size = \"66MiB\"\n"
                                << config;
  pid_ = spawn({VGPUD, "--config", this->config(), "--socket", socket(), "--metrics", "127.0.0.1:0", "--gpu",
                "software", "--log-level", log_level},
               folder_ / "log");
  const std::string mark = "metrics=127.0.0.1:";
  if (!eventually([&] { return log().find(mark) != std::string::npos || !process_exists(pid_); }) ||
      log().find(mark) == std::string::npos)
    throw std::runtime_error("the daemon did not start: " + log());
  port_ = std::atoi(log().c_str() + log().find(mark) + mark.size());
}

Daemon::~Daemon() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::string Daemon::log() const { return read_text(folder_ / "log"); }

std::size_t Daemon::log_lines(const std::string& part) const {
  std::istringstream stream(log());
  std::size_t count = 0;
  for (std::string line; std::getline(stream, line);) count += line.find(part) != std::string::npos ? 1 : 0;
  return count;
}

std::vector<pid_t> Daemon::executors() const {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    const auto fields = stat_fields(pid);
    if (fields.size() > 1 && fields[0] != "Z" && fields[1] == std::to_string(pid_)) found.push_back(pid);
  }
  return found;
}

std::string Daemon::http(const std::string& path) const {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port_));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return "";
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string answer;
  std::array<char, 8192> bytes;
  for (ssize_t got = 0; (got = ::recv(socket.get(), bytes.data(), bytes.size(), 0)) > 0;)
    answer.append(bytes.data(), static_cast<std::size_t>(got));
  return answer;
}

double Daemon::metric(const std::string& name, const std::string& labels) const {
  std::istringstream stream(http("/metrics"));
  double sum = 0;
  for (std::string line; std::getline(stream, line);)
    if (line.starts_with(name + "{") && line.find(labels) != std::string::npos)
      sum += std::atof(line.c_str() + line.rfind(' ') + 1);
  return sum;
}

std::chrono::milliseconds Daemon::cpu_time() const {
  const auto fields = stat_fields(pid_);
  const long ticks = fields.size() > 12 ? std::atol(fields[11].c_str()) + std::atol(fields[12].c_str()) : -1;
  return std::chrono::milliseconds(ticks * 1000 / ::sysconf(_SC_CLK_TCK));
}

int Daemon::stop(int signal, std::chrono::milliseconds limit) {
  ::kill(pid_, signal);
  int status = 0;
  if (!eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; }, limit)) return -1;
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int run_command(const std::vector<std::string>& command, std::string& output) {
  std::string pattern = (fs::temp_directory_path() / "vgpu-output-XXXXXX").string();
  const UniqueFd file(::mkstemp(pattern.data()));
  const pid_t pid = spawn(command, pattern);
  int status = 0;
  ::waitpid(pid, &status, 0);
  output = read_text(pattern);
  fs::remove(pattern);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

}  // namespace vgpu::test
