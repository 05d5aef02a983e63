#include "actors/spare_executors.hpp"

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <utility>

#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

/// A session that has just got one starts its program now, and should not share the driver's locks with the next one.
constexpr std::chrono::milliseconds kPause{300};

class Spares final : public SpareExecutors {
 public:
  Spares(asio::io_context& io, Launch launch) : io_(io), launch_(std::move(launch)), pause_(io) {}

  ~Spares() override {
    for (const Spare& spare : spares_) spare.process->abandon();
  }

  void keep(std::vector<Driver> drivers, std::size_t each) override {
    {
      const std::lock_guard lock(mutex_);
      each_ = each;
      wanted_.clear();
      for (Driver& driver : drivers)
        if (find(driver) == nullptr) wanted_.push_back({std::move(driver)});
      std::erase_if(spares_, [&](const Spare& spare) {
        Wanted* const wanted_one = find(spare.driver);
        const bool keeps = wanted_one != nullptr && wanted_one->waiting < each;
        if (keeps)
          ++wanted_one->waiting;
        else
          spare.process->abandon();
        return !keeps;
      });
    }
    fill_after({});
  }

  PreparedExecutorPtr take(const Driver& driver) override {
    PreparedExecutorPtr taken;
    {
      const std::lock_guard lock(mutex_);
      Wanted* const wanted = find(driver);
      if (wanted == nullptr || each_ == 0) return nullptr;
      wanted->failed = false;
      // The oldest is the most likely to be ready.
      const auto oldest =
          std::find_if(spares_.begin(), spares_.end(), [&](const Spare& spare) { return spare.driver == driver; });
      if (oldest != spares_.end()) {
        taken = std::move(oldest->process);
        spares_.erase(oldest);
        --wanted->waiting;
      }
    }
    fill_after(kPause);
    return taken;
  }

  std::size_t waiting() const override {
    const std::lock_guard lock(mutex_);
    return spares_.size();
  }

 private:
  struct Wanted {
    Driver driver;
    bool failed = false;  ///< its spares can't be had: none is started until a session wants one
    std::size_t waiting = 0;
  };
  struct Spare {
    std::uint64_t number;
    Driver driver;
    PreparedExecutorPtr process;
  };

  Wanted* find(const Driver& driver) {
    const auto found =
        std::find_if(wanted_.begin(), wanted_.end(), [&](const Wanted& wanted) { return wanted.driver == driver; });
    return found != wanted_.end() ? &*found : nullptr;
  }

  std::shared_ptr<Spares> self() { return std::static_pointer_cast<Spares>(shared_from_this()); }

  void fill_after(std::chrono::milliseconds pause) {
    asio::post(io_, [self = self(), pause] {
      // Who takes one after another must not put it off for ever.
      if (std::exchange(self->pausing_, true)) return;
      self->pause_.expires_after(pause);
      self->pause_.async_wait([weak = std::weak_ptr(self)](const asio::error_code& error) {
        if (const auto spares = weak.lock(); spares != nullptr && !error) spares->fill();
      });
    });
  }

  /// Thread of io_.
  void fill() {
    pausing_ = false;
    const std::lock_guard lock(mutex_);
    for (Wanted& wanted : wanted_)
      while (!wanted.failed && wanted.waiting < each_) start(wanted);
  }

  void start(Wanted& wanted) {
    const std::uint64_t number = ++numbers_;
    ExecutorProcess::Handlers handlers;
    // They are called by the thread of io_ later on, and no more once the process has a session.
    handlers.event = [weak = weak_from_this(), number](const protocol::ExecutorEvent& event) {
      if (const auto spares = weak.lock()) static_cast<Spares&>(*spares).lost(number, event.text.data());
    };
    handlers.exited = [weak = weak_from_this(), number](const std::string& how) {
      if (const auto spares = weak.lock()) static_cast<Spares&>(*spares).lost(number, how);
    };
    std::string error;
    PreparedExecutorPtr process = launch_(wanted.driver, std::move(handlers), error);
    if (process == nullptr) return fail(wanted, error);
    spares_.push_back({number, wanted.driver, std::move(process)});
    ++wanted.waiting;
  }

  /// It said why it can't serve, or ended.
  void lost(std::uint64_t number, const std::string& how) {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::find_if(spares_.begin(), spares_.end(), [&](const Spare& spare) { return spare.number == number; });
    if (found == spares_.end()) return;
    found->process->abandon();
    if (Wanted* const wanted = find(found->driver)) {
      --wanted->waiting;
      fail(*wanted, how);
    }
    spares_.erase(found);
  }

  static void fail(Wanted& wanted, const std::string& why) {
    if (std::exchange(wanted.failed, true)) return;
    log::warn("no spare executors until a session starts: one did not last",
              {{"driver", wanted.driver.library.string()}, {"reason", why}});
  }

  asio::io_context& io_;
  const Launch launch_;
  asio::steady_timer pause_;  ///< thread of io_
  bool pausing_ = false;      ///< thread of io_
  mutable std::mutex mutex_;
  std::size_t each_ = 0;
  std::vector<Wanted> wanted_;
  std::vector<Spare> spares_;  ///< the oldest first
  std::uint64_t numbers_ = 0;
};

}  // namespace

std::shared_ptr<SpareExecutors> SpareExecutors::make(asio::io_context& io, Launch launch) {
  return std::make_shared<Spares>(io, std::move(launch));
}

}  // namespace vgpu::daemon
