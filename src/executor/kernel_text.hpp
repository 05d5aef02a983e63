#pragma once
#include <atomic>
#include <cstddef>
#include <mutex>
#include <span>

#include "protocol/layout.h"
#include "protocol/types.hpp"

namespace vgpu::executor {

/// What kernels print. The driver writes it to the standard output of its process, which here is a file in memory: it
/// never blocks the driver, and holds kBytes of what the guest has not fetched; more is lost, as in the driver's own
/// buffer. The guest fetches it when vgpu_control.text_waiting says that there is some.
class KernelText {
 public:
  static constexpr protocol::u64 kBytes = 64u << 20;

  /// Puts such a file in the place of descriptor 1, with stdio's buffer off. Before any driver is loaded. Returns
  /// another descriptor of it, -1 if it can't be made.
  static int catch_standard_output() noexcept;

  /// `file`: of catch_standard_output(), or -1: there is never any text.
  KernelText(int file, vgpu_control& control) noexcept : file_(file), control_(control) {}

  /// Tells the guest if there is text. Before an answer that says that work is done. Any thread.
  void look() noexcept;
  /// Moves as much as there is room for into `into`; returns how much. Any thread.
  protocol::u64 read(std::span<std::byte> into) noexcept;

  /// The driver hands a kernel's text out at its own synchronizations (CUDA C++ programming guide, "Formatted Output"),
  /// which polling an event is not: true if the session must make one. Any thread.
  bool wanted() const noexcept { return wanted_.load(std::memory_order_relaxed); }
  /// Looks whether the kernels of an image that was loaded may print. Any thread.
  void note_image(std::span<const std::byte> image) noexcept;

 private:
  protocol::u64 written() const noexcept;
  void start_again() noexcept;

  const int file_;
  vgpu_control& control_;
  std::atomic<bool> wanted_{false};
  std::mutex mutex_;
  std::atomic<protocol::u64> read_to_{0};
};

}  // namespace vgpu::executor
