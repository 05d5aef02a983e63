#pragma once
#include <algorithm>
#include <optional>

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

/// An image on its way: its bytes, and what a request's tail says of them.
class ImageTransfer {
 public:
  ImageTransfer(const ImageParts& parts, const JitOptions& options);

  /// The file that the image is mapped from is known.
  bool has_key() const noexcept { return key_.has_value(); }
  /// The tail of a request with this source.
  std::span<const std::byte> tail(protocol::ImageSource source) const;
  u64 image_bytes() const noexcept { return image_bytes_; }
  u32 part_count() const noexcept { return part_count_; }
  /// Copies the image to memory of image_bytes() bytes.
  void write(std::byte* to) const;

 private:
  const ImageParts& parts_;
  u64 image_bytes_ = 0;
  u32 part_count_ = 0;
  std::optional<protocol::ImageKey> key_;
  std::vector<std::byte> tail_;  ///< options, sizes of the parts, the key
};

/// One request of load_image().
template <typename Call, typename HandleType>
CUresult send_image(u32 context, HandleType handle, const ImageTransfer& image, protocol::ImageSource source,
                    const JitOptions& options) {
  const u64 logs_at = source == protocol::kImageNamed ? 0 : (image.image_bytes() + 7) / 8 * 8;
  Transfer transfer(std::max<u64>(logs_at + options.info_log_bytes() + options.error_log_bytes(), 1));
  if (!transfer.memory()) return transfer.why();
  if (source != protocol::kImageNamed) image.write(transfer.memory());
  typename Call::Reply reply{};
  const CUresult result =
      ask<Call>(context,
                {handle, transfer.offset(), image.image_bytes(), Offset{static_cast<u64>(transfer.offset()) + logs_at},
                 options.info_log_bytes(), options.error_log_bytes(), static_cast<u32>(options.numbers().size()),
                 source, image.part_count(), 0},
                &reply, image.tail(source));
  if (source == protocol::kImageNamed && result == CUDA_ERROR_FILE_NOT_FOUND) return result;
  // A failed compilation, too, fills the logs.
  options.write_back(transfer.memory() + logs_at, reply.info_log_written, reply.error_log_written, reply.wall_time_ms);
  return result;
}

/// Sends an image with its options as Call (cuModuleLoadData, cuLibraryLoadData) under a minted handle. What the host
/// has from an earlier process is only named.
template <typename Call, typename HandleType>
CUresult load_image(u32 context, HandleType handle, const ImageParts& parts, const JitOptions& options) {
  const ImageTransfer image(parts, options);
  if (!image.has_key()) return send_image<Call>(context, handle, image, protocol::kImagePlain, options);
  const CUresult named = send_image<Call>(context, handle, image, protocol::kImageNamed, options);
  if (named != CUDA_ERROR_FILE_NOT_FOUND) return named;
  return send_image<Call>(context, handle, image, protocol::kImageKeep, options);
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
