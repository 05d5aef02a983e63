#include "actors/service_manager.hpp"

#include <systemd/sd-daemon.h>
#include <time.h>

namespace vgpu::daemon {

void ServiceManager::ready(std::function<void()> ask_all) {
  ::sd_notify(0, "READY=1");
  std::uint64_t microseconds = 0;
  if (::sd_watchdog_enabled(0, &microseconds) <= 0) return;
  every_ = std::chrono::microseconds(microseconds / 2);
  ask_all_ = std::move(ask_all);
  wait();
}

void ServiceManager::wait() {
  timer_.expires_after(every_);
  timer_.async_wait([this](const asio::error_code& error) {
    if (error) return;
    ask_all_();
    wait();
  });
}

void ServiceManager::alive() { ::sd_notify(0, "WATCHDOG=1"); }

void ServiceManager::reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const long long microseconds = now.tv_sec * 1'000'000LL + now.tv_nsec / 1000;
  ::sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", microseconds);
}

void ServiceManager::reloaded() { ::sd_notify(0, "READY=1"); }

void ServiceManager::stopping() { ::sd_notify(0, "STOPPING=1\nSTATUS=ending sessions"); }

void ServiceManager::status(const std::string& text) { ::sd_notify(0, ("STATUS=" + text).c_str()); }

}  // namespace vgpu::daemon
