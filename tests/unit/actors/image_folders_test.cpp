#include "actors/image_folders.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>
#include <vector>

using namespace vgpu;
using namespace vgpu::daemon;

namespace {

struct Parent {
  Parent() {
    std::string name = "/tmp/vgpu-image-folders-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~Parent() { std::filesystem::remove_all(path); }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(path), std::filesystem::directory_iterator()));
  }
  std::filesystem::path path;
};

ino_t inode(const UniqueFd& fd) {
  struct stat status {};
  REQUIRE(::fstat(fd.get(), &status) == 0);
  return status.st_ino;
}

}  // namespace

TEST_CASE("each user of each VM has a folder of its own, for its owner only") {
  Parent parent;
  std::string error;
  auto folders = ImageFolders::make(parent.path, error);
  REQUIRE(folders != nullptr);
  const UniqueFd one = folders->open(7, true, 1000);
  REQUIRE(one);
  CHECK(inode(one) == inode(folders->open(7, true, 1000)));
  CHECK(inode(one) != inode(folders->open(7, true, 1001)));
  CHECK(inode(one) != inode(folders->open(8, true, 1000)));
  CHECK(inode(one) != inode(folders->open(7, false, 1000)));
  struct stat status {};
  REQUIRE(::fstat(one.get(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
  folders.reset();
  CHECK(parent.entries() == 0);
}

TEST_CASE("a VM that names ever new users gets no more folders") {
  Parent parent;
  std::string error;
  const auto folders = ImageFolders::make(parent.path, error);
  REQUIRE(folders != nullptr);
  for (uid_t user = 0; user < ImageFolders::kMostUsers; ++user) CHECK(folders->open(1, true, user));
  CHECK_FALSE(folders->open(1, true, 5000));
  CHECK(folders->open(1, true, 3));
  CHECK(folders->open(2, true, 5000));
}

TEST_CASE("what a killed daemon left goes; what a living one uses stays") {
  Parent parent;
  std::string error;
  const auto living = ImageFolders::make(parent.path, error);
  std::filesystem::create_directories(parent.path / "vgpud-images-dead" / "1-host-0");
  std::filesystem::create_directory(parent.path / "another's");
  const auto next = ImageFolders::make(parent.path, error);
  REQUIRE(next != nullptr);
  CHECK(!std::filesystem::exists(parent.path / "vgpud-images-dead"));
  CHECK(parent.entries() == 3);
  CHECK(living->open(1, true, 0));
}

TEST_CASE("daemons that start at one moment each get a folder") {
  Parent parent;
  std::atomic<int> made{0};
  std::vector<std::thread> daemons;
  for (int i = 0; i < 8; ++i)
    daemons.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        std::string error;
        const auto folders = ImageFolders::make(parent.path, error);
        if (folders && folders->open(1, true, 0)) ++made;
      }
    });
  for (auto& daemon : daemons) daemon.join();
  CHECK(made == 400);
  CHECK(parent.entries() == 0);
}

TEST_CASE("a place that can't be written is named, with what to do") {
  std::string error;
  CHECK(ImageFolders::make("/proc/nowhere", error) == nullptr);
  CHECK_THAT(error, Catch::Contains("/proc/nowhere") && Catch::Contains("images in [executor]"));
}
