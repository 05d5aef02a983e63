#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>

namespace vgpu::daemon {

/// Numbers of users that nobody else on the machine has. Each is given to one holder at a time. Any thread.
class IdRange : public std::enable_shared_from_this<IdRange> {
 public:
  /// One number; it goes back to its range when this object ends.
  class Id {
   public:
    Id(std::shared_ptr<IdRange> range, std::uint32_t number) : range_(std::move(range)), number_(number) {}
    ~Id() { range_->give_back(number_); }
    Id(const Id&) = delete;
    Id& operator=(const Id&) = delete;
    std::uint32_t number() const noexcept { return number_; }

   private:
    std::shared_ptr<IdRange> range_;
    std::uint32_t number_;
  };

  /// From `first` to `last`, both included.
  static std::shared_ptr<IdRange> make(std::uint32_t first, std::uint32_t last);

  /// Null: all are taken. A number that was given back comes again as late as possible.
  std::unique_ptr<Id> take();

 private:
  IdRange(std::uint32_t first, std::uint32_t last) : first_(first), last_(last), next_(first) {}
  void give_back(std::uint32_t number);

  const std::uint32_t first_, last_;
  std::mutex mutex_;
  std::uint32_t next_;
  std::set<std::uint32_t> taken_;
};

}  // namespace vgpu::daemon
