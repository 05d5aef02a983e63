#include "common/socket_file.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "common/unix_address.hpp"

using namespace vgpu;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("socket-file-test-" + std::to_string(::getpid()));
  ~Folder() { fs::remove_all(path); }
};

bool connects(const fs::path& path) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const auto address = unix_address(path.native());
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0;
}

}  // namespace

TEST_CASE("A socket is made with its folder and mode, and goes with its lock") {
  const Folder folder;
  const fs::path path = folder.path / "deep" / "s";
  std::string error;
  {
    const auto file = SocketFile::open(path, SOCK_SEQPACKET, 0640, error);
    INFO(error);
    REQUIRE(file != nullptr);
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0640);
    CHECK(connects(path));
    CHECK(SocketFile::open(path, SOCK_SEQPACKET, 0640, error) == nullptr);
    CHECK_THAT(error, Catch::Contains("another vgpud") && Catch::Contains(path.string()));
    CHECK(connects(path));
  }
  CHECK(!fs::exists(path));
  CHECK(!fs::exists(path.string() + ".lock"));
}

TEST_CASE("A socket that a dead daemon left is replaced, anything else is not") {
  const Folder folder;
  fs::create_directories(folder.path);
  const fs::path path = folder.path / "s";
  std::string error;
  {
    const UniqueFd dead(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const auto address = unix_address(path.native());
    REQUIRE(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0);
    std::ofstream(path.string() + ".lock") << "";
  }
  CHECK(SocketFile::open(path, SOCK_SEQPACKET, 0600, error) != nullptr);
  std::ofstream(path) << "precious";
  CHECK(SocketFile::open(path, SOCK_SEQPACKET, 0600, error) == nullptr);
  CHECK_THAT(error, Catch::Contains("is not a socket"));
  CHECK(fs::file_size(path) == 8);
}

TEST_CASE("What cannot be a socket says so") {
  std::string error;
  CHECK(SocketFile::open("/proc/vgpu/s", SOCK_SEQPACKET, 0600, error) == nullptr);
  CHECK_THAT(error, Catch::Contains("/proc/vgpu"));
  CHECK(SocketFile::open("/tmp/" + std::string(110, 'x'), SOCK_SEQPACKET, 0600, error) == nullptr);
  CHECK_THAT(error, Catch::Contains("107"));
}
