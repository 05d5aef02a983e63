#include "common/socket_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "common/unix_address.hpp"

namespace vgpu {
namespace fs = std::filesystem;
namespace {

/// In a folder that others may write to, somebody else could put a socket of his own in the place of ours.
bool prepare_folder(const fs::path& folder, std::string& error) {
  std::error_code failure;
  if (folder.empty() || fs::exists(folder, failure)) {
    struct stat status {};
    if (!folder.empty() && folder.filename().string().starts_with("vgpu-") && ::lstat(folder.c_str(), &status) == 0 &&
        (!S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & 022) != 0)) {
      error = folder.string() + " belongs to another user or others may write to it; remove it, or use another path";
      return false;
    }
    return true;
  }
  fs::create_directories(folder, failure);
  if (!failure && folder.filename().string().starts_with("vgpu-"))
    fs::permissions(folder, fs::perms::owner_all, failure);
  if (failure) {
    error = "cannot make the folder " + folder.string() + ": " + failure.message() + "; use another path";
    return false;
  }
  return true;
}

/// Locks the file at `path`, made if need be. Another daemon that ends removes the file: a lock on a removed file is
/// worth nothing, so that is tried again.
UniqueFd take_lock(const fs::path& path, std::string& error) {
  for (int attempt = 0; attempt < 16; ++attempt) {
    UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock) {
      error = "cannot make " + path.string() + ": " + std::strerror(errno) + "; use another path";
      return {};
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      error = errno == EWOULDBLOCK ? "another vgpud serves this socket already" : std::strerror(errno);
      return {};
    }
    struct stat mine {
    }, there{};
    if (::fstat(lock.get(), &mine) == 0 && ::stat(path.c_str(), &there) == 0 && mine.st_ino == there.st_ino &&
        mine.st_dev == there.st_dev)
      return lock;
  }
  error = "cannot lock " + path.string();
  return {};
}

}  // namespace

std::unique_ptr<SocketFile> SocketFile::open(const fs::path& path, int type, mode_t mode, std::string& error,
                                             std::optional<gid_t> group) {
  const auto failed = [&](const std::string& what) {
    error = what + " " + path.string() + ": " + std::strerror(errno);
    return nullptr;
  };
  const auto address = unix_address(path.native());
  if (!address) {
    error = "the socket's path must have 1 to 107 bytes: " + path.string();
    return nullptr;
  }
  if (!prepare_folder(path.parent_path(), error)) return nullptr;
  std::unique_ptr<SocketFile> file(new SocketFile);
  const fs::path lock_path = path.string() + ".lock";
  file->lock_ = take_lock(lock_path, error);
  if (!file->lock_) {
    error = path.string() + ": " + error;
    return nullptr;
  }
  file->lock_path_ = lock_path;

  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) {
      error = path.string() + " exists and is not a socket; remove it, or use --socket with another path";
      return nullptr;
    }
    if (::unlink(path.c_str()) != 0) return failed("cannot replace the old socket");
  }
  file->socket_.reset(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!file->socket_) return failed("cannot make a socket for");
  // The mode is set before anyone can connect: there is no listen() yet.
  if (::bind(file->socket_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
    return failed("cannot bind");
  file->path_ = path;
  if (group && ::chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) return failed("cannot set the group of");
  if (::chmod(path.c_str(), mode) != 0) return failed("cannot set the mode of");
  if (::listen(file->socket_.get(), 1024) != 0) return failed("cannot listen on");
  return file;
}

SocketFile::~SocketFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
  if (!lock_path_.empty()) ::unlink(lock_path_.c_str());
}

}  // namespace vgpu
