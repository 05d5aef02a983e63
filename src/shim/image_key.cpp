#include "shim/image_key.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdio>
#include <memory>
#include <string>

namespace vgpu::shim {
namespace {

using protocol::u64;

/// One line of /proc/self/maps (proc(5)).
struct Mapping {
  u64 start = 0;
  u64 end = 0;
  u64 offset = 0;
  u64 inode = 0;
  dev_t device = 0;
  bool writable = false;
  std::string path;

  bool read(const char* line) {
    char permissions[5] = {};
    unsigned major_number = 0;
    unsigned minor_number = 0;
    int path_at = 0;
    if (std::sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &start, &end, permissions, &offset, &major_number,
                    &minor_number, &inode, &path_at) != 7)
      return false;
    writable = permissions[1] == 'w';
    device = ::makedev(major_number, minor_number);
    path = line + path_at;
    if (!path.empty() && path.back() == '\n') path.pop_back();
    return true;
  }
};

/// The mapping that the address lies in.
bool find_mapping(u64 address, Mapping& found) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> maps(std::fopen("/proc/self/maps", "re"), &std::fclose);
  if (!maps) return false;
  char* line = nullptr;
  std::size_t room = 0;
  bool hit = false;
  while (!hit && ::getline(&line, &room, maps.get()) > 0)
    hit = found.read(line) && address >= found.start && address < found.end;
  std::free(line);
  return hit;
}

u64 nanoseconds(const timespec& time) noexcept {
  return static_cast<u64>(time.tv_sec) * 1'000'000'000u + static_cast<u64>(time.tv_nsec);
}

}  // namespace

std::optional<protocol::ImageKey> file_of_image(std::span<const std::byte> image) {
  if (image.size() < protocol::kLeastKeyedImageBytes) return std::nullopt;
  const u64 address = reinterpret_cast<u64>(image.data());
  Mapping mapping;
  if (!find_mapping(address, mapping) || mapping.inode == 0 || mapping.writable) return std::nullopt;
  if (image.size() > mapping.end - address) return std::nullopt;
  // A library that was replaced while the program runs has another inode; overlays may number it otherwise: no key.
  struct stat file {};
  if (::stat(mapping.path.c_str(), &file) != 0 || file.st_ino != mapping.inode || file.st_dev != mapping.device)
    return std::nullopt;
  return protocol::ImageKey{file.st_dev,
                            file.st_ino,
                            nanoseconds(file.st_mtim),
                            nanoseconds(file.st_ctim),
                            mapping.offset + (address - mapping.start),
                            image.size()};
}

}  // namespace vgpu::shim
