#include "actors/metrics_server.hpp"

#include <CivetServer.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <vector>

#include "common/log.hpp"
#include "common/unique_fd.hpp"

namespace vgpu::daemon {
namespace {

void answer(mg_connection* connection, const char* status, const char* type, const std::string& body) {
  mg_printf(connection,
            "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
            "Connection: close\r\n\r\n",
            status, type, body.size());
  mg_write(connection, body.data(), body.size());
}

class MetricsHandler final : public CivetHandler {
 public:
  explicit MetricsHandler(std::shared_ptr<const prometheus::Collectable> metrics) : metrics_(std::move(metrics)) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    try {
      answer(connection, "200 OK", "text/plain; version=0.0.4; charset=utf-8",
             prometheus::TextSerializer().Serialize(metrics_->Collect()));
    } catch (const std::exception& failure) {
      log::error("metrics could not be collected", {{"error", failure.what()}});
      answer(connection, "500 Internal Server Error", "text/plain", "metrics could not be collected\n");
    }
    return true;
  }

 private:
  std::shared_ptr<const prometheus::Collectable> metrics_;
};

class HealthHandler final : public CivetHandler {
 public:
  explicit HealthHandler(MetricsServer::Problems problems) : problems_(std::move(problems)) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    const std::string problems = problems_();
    answer(connection, problems.empty() ? "200 OK" : "503 Service Unavailable", "text/plain",
           problems.empty() ? "ok\n" : problems);
    return true;
  }

 private:
  const MetricsServer::Problems problems_;
};

std::string endpoint_text(const Endpoint& endpoint) {
  const bool v6 = endpoint.address.find(':') != std::string::npos;
  return (v6 ? "[" + endpoint.address + "]" : endpoint.address) + ":" + std::to_string(endpoint.port);
}

class CivetMetricsServer final : public MetricsServer {
 public:
  CivetMetricsServer(const Endpoint& endpoint, std::shared_ptr<const prometheus::Collectable> metrics,
                     Problems problems)
      : address_(endpoint.address),
        metrics_(std::move(metrics)),
        health_(std::move(problems)),
        server_(std::vector<std::string>{"listening_ports", endpoint_text(endpoint), "num_threads", "2",
                                         "request_timeout_ms", "5000", "enable_keep_alive", "no"}) {
    server_.addHandler("/metrics", metrics_);
    server_.addHandler("/healthz", health_);
  }
  /// civetweb's main thread looks for its end after each connection, or after two seconds without one: so connect.
  ~CivetMetricsServer() override {
    std::atomic<bool> closed{false};
    std::thread closer([&] {
      server_.close();
      closed = true;
    });
    while (!closed) {
      knock();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    closer.join();
  }
  std::uint16_t port() const noexcept override { return port_; }
  void find_port() {
    const std::vector<int> ports = server_.getListeningPorts();
    if (!ports.empty()) port_ = static_cast<std::uint16_t>(ports.front());
  }

 private:
  void knock() const {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port_);
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port_);
    if (::inet_pton(AF_INET, address_.c_str(), &v4.sin_addr) == 1)
      knock(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
    else if (::inet_pton(AF_INET6, address_.c_str(), &v6.sin6_addr) == 1)
      knock(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  }
  static void knock(const sockaddr* address, socklen_t bytes) {
    const UniqueFd socket(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    // Whether anyone answers is no matter: the server may have ended just before.
    [[maybe_unused]] const int result = ::connect(socket.get(), address, bytes);
  }

  const std::string address_;
  MetricsHandler metrics_;
  HealthHandler health_;
  CivetServer server_;  // last: it ends before the handlers that it calls
  std::uint16_t port_ = 0;
};

}  // namespace

std::unique_ptr<MetricsServer> MetricsServer::start(const Endpoint& endpoint,
                                                    std::shared_ptr<const prometheus::Collectable> metrics,
                                                    Problems problems, std::string& error) {
  try {
    auto server = std::make_unique<CivetMetricsServer>(endpoint, std::move(metrics), std::move(problems));
    server->find_port();
    return server;
  } catch (const std::exception&) {
    // civetweb keeps the system's reason to itself.
    error = "metrics cannot be served on " + endpoint_text(endpoint) +
            ": the address is taken (by another vgpud?) or is not this machine's; use --metrics ADDRESS:PORT with "
            "another, or --metrics off";
    return nullptr;
  }
}

}  // namespace vgpu::daemon
