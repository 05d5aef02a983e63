#include "executor/image_store.hpp"

#include <fcntl.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include "common/unique_fd.hpp"

using namespace vgpu;
using namespace vgpu::executor;

namespace {

struct Folder {
  Folder() {
    std::string name = "/tmp/vgpu-image-store-XXXXXX";
    path = ::mkdtemp(name.data());
    fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(path), std::filesystem::directory_iterator()));
  }
  std::filesystem::path path;
  UniqueFd fd;
};

protocol::ImageKey key(protocol::u64 inode, protocol::u64 bytes) { return {1, inode, 3, 4, 5, bytes}; }

std::vector<std::byte> image(std::size_t bytes, unsigned char with) {
  return std::vector<std::byte>(bytes, std::byte{with});
}

}  // namespace

TEST_CASE("what was kept is found under its name, with a NUL behind it") {
  Folder folder;
  const ImageStore store(folder.fd.get(), 1 << 20);
  CHECK(store.find(key(1, 1000)) == nullptr);
  const auto kept = store.keep(key(1, 1000), image(1000, 7));
  REQUIRE(kept != nullptr);
  const auto found = ImageStore(folder.fd.get(), 1 << 20).find(key(1, 1000));
  REQUIRE(found != nullptr);
  const auto* bytes = static_cast<const unsigned char*>(found->bytes());
  CHECK(bytes[0] == 7);
  CHECK(bytes[999] == 7);
  CHECK(bytes[1000] == 0);
  CHECK(store.find(key(2, 1000)) == nullptr);
  CHECK(store.find(key(1, 999)) == nullptr);
  CHECK(folder.files() == 1);
}

TEST_CASE("the oldest go when there is no room; what is in use stays readable") {
  Folder folder;
  constexpr std::size_t kBytes = 300000;
  const ImageStore store(folder.fd.get(), kBytes * 5 / 2);
  const auto first = store.keep(key(1, kBytes), image(kBytes, 1));
  REQUIRE(first != nullptr);
  REQUIRE(store.keep(key(2, kBytes), image(kBytes, 2)) != nullptr);
  REQUIRE(store.keep(key(3, kBytes), image(kBytes, 3)) != nullptr);
  CHECK(store.find(key(1, kBytes)) == nullptr);
  CHECK(store.find(key(2, kBytes)) != nullptr);
  CHECK(store.find(key(3, kBytes)) != nullptr);
  CHECK(static_cast<const unsigned char*>(first->bytes())[kBytes - 1] == 1);
  CHECK(store.keep(key(4, kBytes * 5 / 2), image(kBytes * 5 / 2, 4)) == nullptr);
  CHECK(store.find(key(3, kBytes)) != nullptr);
}

TEST_CASE("several that write at once stay within what may lie there, and small images are counted as large ones") {
  Folder folder;
  constexpr std::size_t kBytes = 400000;
  const ImageStore store(folder.fd.get(), 4 * kBytes);
  std::vector<std::thread> writers;
  for (unsigned i = 0; i < 16; ++i)
    writers.emplace_back([&, i] { store.keep(key(i, kBytes), image(kBytes, static_cast<unsigned char>(i))); });
  for (std::thread& writer : writers) writer.join();
  std::uintmax_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder.path)) bytes += file.file_size();
  CHECK(bytes <= 4 * kBytes);
  for (unsigned i = 0; i < 100; ++i) store.keep(key(100 + i, 8), image(8, 1));
  CHECK(folder.files() <= 4 * kBytes / protocol::kLeastKeyedImageBytes);
}

TEST_CASE("a file that is cut short is no image") {
  Folder folder;
  const ImageStore store(folder.fd.get(), 1 << 20);
  REQUIRE(store.keep(key(1, 1000), image(1000, 7)) != nullptr);
  std::filesystem::resize_file(std::filesystem::directory_iterator(folder.path)->path(), 500);
  CHECK(store.find(key(1, 1000)) == nullptr);
}

TEST_CASE("without a folder, and with a length that is not the image's, nothing is kept") {
  const ImageStore none(-1, 1 << 20);
  CHECK(none.keep(key(1, 8), image(8, 1)) == nullptr);
  CHECK(none.find(key(1, 8)) == nullptr);
  Folder folder;
  const ImageStore store(folder.fd.get(), 1 << 20);
  CHECK(store.keep(key(1, 9), image(8, 1)) == nullptr);
  CHECK(store.find(key(1, 0)) == nullptr);
  CHECK(folder.files() == 0);
}
