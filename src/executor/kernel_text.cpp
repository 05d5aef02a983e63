#include "executor/kernel_text.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace vgpu::executor {

using protocol::u64;

int KernelText::catch_standard_output() noexcept {
  const int file = memfd_create("vgpu-kernel-text", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return -1;
  // Of fixed size: what does not fit is refused to the writer, who is not made to wait.
  if (ftruncate(file, static_cast<off_t>(kBytes)) != 0 || fcntl(file, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) != 0 ||
      dup2(file, STDOUT_FILENO) < 0) {
    close(file);
    return -1;
  }
  setvbuf(stdout, nullptr, _IONBF, 0);
  return file;
}

/// The descriptors share one position, which writing moves.
u64 KernelText::written() const noexcept {
  const off_t at = lseek(file_, 0, SEEK_CUR);
  return at < 0 ? 0 : std::min(static_cast<u64>(at), kBytes);
}

void KernelText::look() noexcept {
  if (file_ < 0 || written() == read_to_.load(std::memory_order_relaxed)) return;
  wanted_.store(true, std::memory_order_relaxed);
  std::atomic_ref(control_.text_waiting).store(1, std::memory_order_release);
}

u64 KernelText::read(std::span<std::byte> into) noexcept {
  if (file_ < 0) return 0;
  const std::lock_guard lock(mutex_);
  // Before looking how much there is: whoever writes more says so again.
  std::atomic_ref(control_.text_waiting).store(0, std::memory_order_seq_cst);
  const u64 from = read_to_.load(std::memory_order_relaxed);
  const u64 there = written();
  const u64 wanted = std::min<u64>(into.size(), there - std::min(from, there));
  if (wanted == 0) return 0;
  const ssize_t got = pread(file_, into.data(), wanted, static_cast<off_t>(from));
  if (got <= 0) return 0;
  read_to_.store(from + static_cast<u64>(got), std::memory_order_relaxed);
  start_again();
  return static_cast<u64>(got);
}

/// Once half of the file has been read, and all that was written, it is written from its start again.
void KernelText::start_again() noexcept {
  const u64 read_to = read_to_.load(std::memory_order_relaxed);
  if (read_to < kBytes / 2) return;
  flockfile(stdout);  // nobody writes meanwhile
  if (written() == read_to && lseek(file_, 0, SEEK_SET) == 0) {
    read_to_.store(0, std::memory_order_relaxed);
    static_cast<void>(fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(kBytes)));
  }
  funlockfile(stdout);
}

void KernelText::note_image(std::span<const std::byte> image) noexcept {
  // The device function behind printf, as PTX and the symbols of machine code name it. Compressed images hide it now
  // and then, and in large ones, which are libraries', looking for it costs more than it is worth: their first text is
  // handed out at the next call that the driver synchronizes by itself.
  constexpr char kName[] = "vprintf";
  constexpr std::size_t kMostLooked = 8u << 20;
  if (file_ < 0 || wanted() || image.size() > kMostLooked) return;
  if (memmem(image.data(), image.size(), kName, sizeof kName - 1) != nullptr)
    wanted_.store(true, std::memory_order_relaxed);
}

}  // namespace vgpu::executor
