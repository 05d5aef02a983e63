#include "executor/commands.hpp"

#include <chrono>

namespace vgpu::executor {

using protocol::ExecutorCommand;
using protocol::u32;
using namespace std::chrono_literals;

namespace {
/// Reading what is left in the ring may take one second.
constexpr auto kPatience = 1500ms;
}  // namespace

Commands::Commands(Link& link, Signal& signal, std::function<void()> force)
    : link_(link), signal_(signal), force_(std::move(force)), thread_([this] { listen(); }) {}

Commands::~Commands() {
  finished();
  link_.shut();
  thread_.join();
}

void Commands::finished() {
  std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}

void Commands::wish(u32 wish) {
  wishes_.fetch_or(wish, std::memory_order_release);
  signal_.raise();
}

void Commands::wait_for_finish() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [this] { return finished_; })) force_();
}

void Commands::listen() {
  ExecutorCommand command;
  while (link_.receive(command) == Link::Received::command) {
    switch (command.type) {
      case ExecutorCommand::Type::run:
        lease_microseconds_.store(command.lease_microseconds, std::memory_order_relaxed);
        wish(kRun);
        break;
      case ExecutorCommand::Type::yield:
        wish(kYield);
        break;
      case ExecutorCommand::Type::stop:
        wish(kStop);
        wait_for_finish();
        return;
      case ExecutorCommand::Type::start:
        break;
    }
  }
  wish(kGone);
  wait_for_finish();
}

}  // namespace vgpu::executor
