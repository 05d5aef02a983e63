#pragma once
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <string>

namespace vgpu::daemon {

/// Tells systemd how vgpud is (sd_notify), if systemd wants to know. Thread of the io_context, but for the static ones.
class ServiceManager {
 public:
  explicit ServiceManager(asio::io_context& io) : timer_(io) {}

  /// vgpud serves. From now on `ask_all` is called at half of the watchdog's time, if there is one; alive() is to be
  /// called when all that it asks have answered.
  void ready(std::function<void()> ask_all);
  /// Any thread.
  static void alive();
  static void reloading();
  static void reloaded();
  static void stopping();
  /// For people: what `systemctl status` shows.
  static void status(const std::string& text);
  void stop() { timer_.cancel(); }

 private:
  void wait();

  asio::steady_timer timer_;
  std::chrono::microseconds every_{0};
  std::function<void()> ask_all_;
};

}  // namespace vgpu::daemon
