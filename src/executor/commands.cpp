#include "executor/commands.hpp"

namespace vgpu::executor {

using protocol::ExecutorCommand;
using protocol::u32;
using namespace std::chrono_literals;

namespace {
/// Reading what is left in the ring may take one second.
constexpr auto kPatience = 1500ms;
}  // namespace

Commands::Commands(Link& link, Signal& signal, std::atomic<u32>& watch, std::function<void()> force)
    : link_(link), signal_(signal), watch_(watch), force_(std::move(force)), thread_([this] { listen(); }) {}

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

Commands::Lease Commands::lease() {
  std::lock_guard lock(mutex_);
  return lease_;
}

void Commands::note(const ExecutorCommand& command) {
  const bool runs = command.type == ExecutorCommand::Type::run;
  {
    std::lock_guard lock(mutex_);
    const std::chrono::microseconds quantum(command.quantum_microseconds);
    if (runs) {
      lease_.order = command.order;
      lease_.quantum = quantum;
      lease_.backlog = std::chrono::microseconds(command.backlog_microseconds);
    } else {
      lease_.yielded_order = command.order;
      lease_.yield_quantum = quantum;
    }
  }
  wish(runs ? kRun : kYield);
}

void Commands::listen() {
  ExecutorCommand command;
  while (link_.receive(command) == Link::Received::command) {
    switch (command.type) {
      case ExecutorCommand::Type::run:
      case ExecutorCommand::Type::yield:
        note(command);
        break;
      case ExecutorCommand::Type::stop:
        wish(kStop);
        wait_for_finish();
        return;
      case ExecutorCommand::Type::watch:
        watch_.store(command.watch, std::memory_order_relaxed);
        break;
      case ExecutorCommand::Type::prepare:
      case ExecutorCommand::Type::start:
        break;
    }
  }
  wish(kGone);
  wait_for_finish();
}

}  // namespace vgpu::executor
