#pragma once
#include <memory>
#include <span>

#include "protocol/payload.hpp"

namespace vgpu::executor {

/// Bytes of an image, followed by a NUL, that stay readable and the same while this lives.
class StoredImage {
 public:
  StoredImage(const void* memory, std::size_t bytes) noexcept : memory_(memory), bytes_(bytes) {}
  ~StoredImage();
  StoredImage(const StoredImage&) = delete;
  StoredImage& operator=(const StoredImage&) = delete;
  const void* bytes() const noexcept { return memory_; }

 private:
  const void* memory_;
  std::size_t bytes_;
};

/// The folder of images that processes of one user of one VM have sent, which their executors share: an image crosses
/// once, and lies in the host's memory once. Any thread.
class ImageStore {
 public:
  /// `folder`: a descriptor, which stays the caller's; -1: nothing is kept. `most_bytes`: how much may lie there, where
  /// even the smallest image counts as kLeastKeyedImageBytes, so that there are not too many; the oldest images go
  /// first.
  ImageStore(int folder, protocol::u64 most_bytes) noexcept : folder_(folder), most_bytes_(most_bytes) {}

  /// The image of that name; null: there is none.
  std::shared_ptr<const StoredImage> find(const protocol::ImageKey& key) const;
  /// Keeps the image under that name. Null: it can't be kept, and the caller goes on without.
  std::shared_ptr<const StoredImage> keep(const protocol::ImageKey& key, std::span<const std::byte> image) const;

 private:
  bool make_room(protocol::u64 bytes) const;
  int begin_file(const char* name, protocol::u64 bytes) const;

  int folder_;
  protocol::u64 most_bytes_;
};

}  // namespace vgpu::executor
