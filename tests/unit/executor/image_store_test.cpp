#include "executor/image_store.hpp"

#include <fcntl.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
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
  const ImageStore store(folder.fd.get(), 2500);
  const auto first = store.keep(key(1, 1000), image(1000, 1));
  REQUIRE(first != nullptr);
  REQUIRE(store.keep(key(2, 1000), image(1000, 2)) != nullptr);
  REQUIRE(store.keep(key(3, 1000), image(1000, 3)) != nullptr);
  CHECK(store.find(key(1, 1000)) == nullptr);
  CHECK(store.find(key(2, 1000)) != nullptr);
  CHECK(store.find(key(3, 1000)) != nullptr);
  CHECK(static_cast<const unsigned char*>(first->bytes())[999] == 1);
  CHECK(store.keep(key(4, 2500), image(2500, 4)) == nullptr);
  CHECK(store.find(key(3, 1000)) != nullptr);
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
