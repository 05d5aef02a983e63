#pragma once
#include <prometheus/collectable.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "actors/config.hpp"

namespace vgpu::daemon {

/// Serves /metrics and /healthz over HTTP with threads of its own, until it goes.
class MetricsServer {
 public:
  /// What is wrong with the daemon, a line for each thing; empty: nothing. Called by any thread.
  using Problems = std::function<std::string()>;

  /// Null: `error` says why, and what to do.
  static std::unique_ptr<MetricsServer> start(const Endpoint& endpoint,
                                              std::shared_ptr<const prometheus::Collectable> metrics, Problems problems,
                                              std::string& error);
  virtual ~MetricsServer() = default;
  virtual std::uint16_t port() const noexcept = 0;
};

}  // namespace vgpu::daemon
