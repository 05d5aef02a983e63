#pragma once
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/unique_fd.hpp"

namespace vgpu::ctl {

/// What vgpud says: objects, whose keys keep their order.
using Json = nlohmann::ordered_json;

/// Exit codes of vgpuctl. Scripts know them: docs/operations.md.
enum Exit : int {
  kDone = 0,
  kRefused = 1,  ///< vgpud refused, or is not healthy
  kUsage = 2,
  kUnreachable = 3,   ///< vgpud can't be reached, or ended
  kNotPermitted = 4,  ///< this user may not
};

/// Why something can't be done: for people, with what to do.
struct Failure {
  int exit = kRefused;
  std::string text;
};

/// A connection to a vgpud's admin socket.
class Client {
 public:
  /// Connects to `socket`, or, if that is empty, to the first of the usual places where a vgpud listens.
  static std::optional<Client> connect(const std::filesystem::path& socket, Failure& failure);

  /// Sends one request and waits for its answer. Nothing: `failure` says why; an answer that is a refusal comes back
  /// as it is.
  std::optional<Json> ask(const Json& request, Failure& failure, std::chrono::milliseconds patience);
  /// Waits for the next line of a stream, without end. Nothing: vgpud is gone.
  std::optional<Json> next(Failure& failure);

 private:
  explicit Client(UniqueFd socket) : socket_(std::move(socket)) {}
  std::optional<std::string> line(std::optional<std::chrono::milliseconds> patience, Failure& failure);

  UniqueFd socket_;
  std::string read_;
};

/// The admin sockets where a vgpud may listen, best first.
std::vector<std::filesystem::path> admin_sockets();

/// What an answer that is a refusal says; nothing if it is none.
std::optional<Failure> refusal(const Json& answer);

}  // namespace vgpu::ctl
