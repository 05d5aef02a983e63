#pragma once
#include "shim/image.hpp"
#include "shim/session.hpp"

namespace vgpu::shim {

/// Memory of the region for one transfer: a staging chunk if that is enough, else an extent of the arena.
class Transfer {
 public:
  explicit Transfer(u64 bytes);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  std::byte* memory() const noexcept { return memory_; }  ///< null: there is none
  Offset offset() const noexcept { return offset_; }
  /// Why there is none.
  CUresult why() const noexcept;

 private:
  u64 bytes_;
  u32 chunk_ = Staging::kNone;
  std::byte* memory_ = nullptr;
  Offset offset_{0};
};

/// Sends an image with its options as Call (cuModuleLoadData, cuLibraryLoadData) under a minted handle.
template <typename Call, typename HandleType>
CUresult load_image(u32 context, HandleType handle, std::span<const std::byte> image, const JitOptions& options) {
  const u64 logs_at = (image.size() + 7) / 8 * 8;
  Transfer transfer(logs_at + options.info_log_bytes() + options.error_log_bytes());
  if (!transfer.memory()) return transfer.why();
  std::memcpy(transfer.memory(), image.data(), image.size());
  const auto numbers = options.numbers();
  typename Call::Reply reply{};
  const CUresult result =
      ask<Call>(context,
                {handle, transfer.offset(), image.size(), Offset{static_cast<u64>(transfer.offset()) + logs_at},
                 options.info_log_bytes(), options.error_log_bytes(), static_cast<u32>(numbers.size()), 0},
                &reply, std::as_bytes(numbers));
  // A failed compilation, too, fills the logs.
  options.write_back(transfer.memory() + logs_at, reply.info_log_written, reply.error_log_written, reply.wall_time_ms);
  return result;
}

/// The names of a module's functions or a library's kernels, as Call (vgpuModuleFunctionNames, vgpuLibraryKernelNames)
/// tells them.
template <typename Call, typename HandleType>
CUresult read_names(u32 context, HandleType handle, std::vector<std::string>& names) {
  u64 room = Staging::kChunkBytes;
  for (int attempt = 0; attempt < 2; ++attempt) {
    Transfer transfer(room);
    if (!transfer.memory()) return transfer.why();
    typename Call::Reply reply{};
    const CUresult result = ask<Call>(context, {handle, transfer.offset(), room}, &reply);
    if (result != CUDA_SUCCESS) return result;
    if (reply.needed_bytes > room) {
      room = reply.needed_bytes;
      continue;
    }
    const auto* at = reinterpret_cast<const char*>(transfer.memory());
    const char* const end = at + reply.needed_bytes;
    for (u64 i = 0; i < reply.count && at < end; ++i) {
      names.emplace_back(at, ::strnlen(at, static_cast<std::size_t>(end - at)));
      at += names.back().size() + 1;
    }
    return names.size() == reply.count ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
  }
  return CUDA_ERROR_UNKNOWN;
}

/// A name as a tail, without its NUL; CUDA_ERROR_NOT_FOUND for one that is too long to exist.
inline CUresult name_tail(const char* name, std::span<const std::byte>& tail) noexcept {
  const std::size_t bytes = ::strnlen(name, protocol::kMaxNameBytes + 1);
  if (bytes > protocol::kMaxNameBytes) return CUDA_ERROR_NOT_FOUND;
  tail = bytes_of(name, bytes);
  return CUDA_SUCCESS;
}

}  // namespace vgpu::shim
