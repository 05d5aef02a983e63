#pragma once
#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "common/unique_fd.hpp"

namespace vgpu {

/// A listening Unix socket in the file system. A lock on PATH.lock makes sure that one process at a time owns the path;
/// a socket file that a dead process left is replaced. Both files go with the object.
class SocketFile {
 public:
  /// `type`: SOCK_SEQPACKET or SOCK_STREAM. `group`: whose the file is to be, unless the process's own. Null: `error`
  /// says why, and what to do.
  static std::unique_ptr<SocketFile> open(const std::filesystem::path& path, int type, mode_t mode, std::string& error,
                                          std::optional<gid_t> group = std::nullopt);
  ~SocketFile();
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;

  /// The listening descriptor, not blocking.
  int fd() const noexcept { return socket_.get(); }

 private:
  SocketFile() = default;
  std::filesystem::path path_;
  std::filesystem::path lock_path_;
  UniqueFd lock_;
  UniqueFd socket_;
};

}  // namespace vgpu
