#include "executor/image_store.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "common/unique_fd.hpp"

namespace vgpu::executor {

using protocol::ImageKey;
using protocol::u64;

namespace {

std::string name_of(const ImageKey& key) {
  return fmt::format("{:x}-{:x}-{:x}-{:x}-{:x}-{:x}", key.device, key.inode, key.modified_ns, key.changed_ns,
                     key.offset, key.bytes);
}

/// Maps a file of the folder, which holds the image and a NUL.
std::shared_ptr<const StoredImage> map(int file, u64 bytes) {
  struct stat status {};
  if (::fstat(file, &status) != 0 || static_cast<u64>(status.st_size) != bytes + 1) return nullptr;
  void* memory = ::mmap(nullptr, bytes + 1, PROT_READ, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) return nullptr;
  return std::make_shared<const StoredImage>(memory, bytes + 1);
}

bool write_all(int file, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t written = ::write(file, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    data = data.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

struct Kept {
  std::string name;
  u64 bytes;
  timespec used;
};

std::vector<Kept> list(int folder) {
  std::vector<Kept> files;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(::openat(folder, ".", O_RDONLY | O_CLOEXEC)),
                                                   &::closedir);
  if (!stream) return files;
  while (const dirent* entry = ::readdir(stream.get())) {
    struct stat status {};
    if (::fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
      files.push_back({entry->d_name, static_cast<u64>(status.st_size), status.st_mtim});
  }
  return files;
}

}  // namespace

StoredImage::~StoredImage() { ::munmap(const_cast<void*>(memory_), bytes_); }

std::shared_ptr<const StoredImage> ImageStore::find(const ImageKey& key) const {
  if (folder_ < 0 || key.bytes == 0 || key.bytes > protocol::kMaxImageBytes) return nullptr;
  const UniqueFd file(::openat(folder_, name_of(key).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return nullptr;
  ::futimens(file.get(), nullptr);  // used last now; without the right to say so it only goes sooner
  return map(file.get(), key.bytes);
}

bool ImageStore::make_room(u64 bytes) const {
  std::vector<Kept> files = list(folder_);
  u64 used = 0;
  for (Kept& kept : files) used += kept.bytes = std::max(kept.bytes, protocol::kLeastKeyedImageBytes);
  bytes = std::max(bytes, protocol::kLeastKeyedImageBytes);
  if (bytes > most_bytes_) return false;
  if (used <= most_bytes_ - bytes) return true;
  std::sort(files.begin(), files.end(), [](const Kept& a, const Kept& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  for (const Kept& kept : files) {
    if (used <= most_bytes_ - bytes) break;
    // Whoever has it mapped keeps it.
    if (::unlinkat(folder_, kept.name.c_str(), 0) == 0) used -= kept.bytes;
  }
  return used <= most_bytes_ - bytes;
}

/// Makes room, and takes it by giving the new file its length at once: of several that write at the same time, here and
/// in other executors, each counts what the others have taken. Returns the file, or -1.
int ImageStore::begin_file(const char* name, u64 bytes) const {
  // Locks are an open file's: one of our own for each call.
  const UniqueFd lock(::openat(folder_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock) return -1;
  while (::flock(lock.get(), LOCK_EX) != 0)
    if (errno != EINTR) return -1;
  if (!make_room(bytes)) return -1;
  UniqueFd file(::openat(folder_, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) return -1;
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) == 0) return file.release();
  ::unlinkat(folder_, name, 0);
  return -1;
}

std::shared_ptr<const StoredImage> ImageStore::keep(const ImageKey& key, std::span<const std::byte> image) const {
  if (folder_ < 0 || image.size() != key.bytes) return nullptr;
  // Under a name of its own until it is whole: another executor must never find half of it.
  const std::string name = name_of(key);
  std::uint64_t number = 0;  // not the process's: in a sandbox each is number 1
  if (::getrandom(&number, sizeof number, 0) != sizeof number) return nullptr;
  const std::string unfinished = fmt::format("{}.{:x}", name, number);
  const UniqueFd file(begin_file(unfinished.c_str(), key.bytes + 1));
  if (!file) return nullptr;
  constexpr std::byte kNul{0};
  if (write_all(file.get(), image) && write_all(file.get(), {&kNul, 1}) &&
      ::renameat(folder_, unfinished.c_str(), folder_, name.c_str()) == 0)
    return map(file.get(), key.bytes);
  ::unlinkat(folder_, unfinished.c_str(), 0);
  return nullptr;
}

}  // namespace vgpu::executor
