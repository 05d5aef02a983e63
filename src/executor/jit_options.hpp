#pragma once
#include <array>
#include <span>
#include <vector>

#include "executor/dispatch.hpp"
#include "protocol/payload.hpp"

namespace vgpu::executor {

/// The options of a compilation or of a link, as the driver takes them, with logs in memory of this process. It neither
/// moves nor is copied: the driver may write to its logs for as long as what it made with them lives.
class JitOptions {
 public:
  JitOptions() = default;
  JitOptions(const JitOptions&) = delete;
  JitOptions& operator=(const JitOptions&) = delete;

  /// Takes `count` protocol::JitOptions. CUDA_ERROR_NOT_SUPPORTED for one whose value is no number;
  /// CUDA_ERROR_UNKNOWN: the session has ended.
  CUresult read(Invocation& in, protocol::u32 count, std::span<const std::byte> from);
  /// Adds logs of these sizes; 0: none. The caller has checked that they are sensible.
  void add_logs(protocol::u32 info_bytes, protocol::u32 error_bytes);
  protocol::u64 log_bytes() const noexcept { return logs_[0].text.size() + logs_[1].text.size(); }

  /// Copies the logs as the driver left them to `into`, which has log_bytes(), and tells their lengths and the timing.
  template <typename Reply>
  void write(std::byte* into, Reply& reply) const {
    reply.info_log_written = write_log(logs_[0], into);
    reply.error_log_written = write_log(logs_[1], into + logs_[0].text.size());
    reply.wall_time_ms = wall_time();
  }

  unsigned count() const noexcept { return static_cast<unsigned>(options_.size()); }
  CUjit_option* options() noexcept { return options_.data(); }
  void** values() noexcept { return values_.data(); }

 private:
  struct Log {
    std::vector<char> text;
    std::size_t written_option = 0;  ///< index of the option that tells how much was written
  };
  static constexpr std::size_t kNoOption = ~std::size_t{0};

  void add(CUjit_option option, void* value);
  protocol::u32 write_log(const Log& log, std::byte* into) const;
  protocol::FloatBits wall_time() const;

  std::vector<CUjit_option> options_;
  std::vector<void*> values_;
  std::array<Log, 2> logs_;
  std::size_t wall_time_option_ = kNoOption;
};

}  // namespace vgpu::executor
