#pragma once
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "common/unique_fd.hpp"

namespace vgpu::daemon {

/// Where executors keep the images of programs: one folder for each user of each VM, so that nobody can lay an image
/// under another's name. All of it goes with the daemon; what a daemon left that was killed, the next one removes. Any
/// thread.
class ImageFolders {
 public:
  static constexpr std::size_t kMostUsers = 64;

  /// Groups for the folders: each gets the next one, so that executors of other users than the daemon's can share a
  /// folder. `last` 0: none, folders are for the daemon's own user.
  struct Groups {
    gid_t first = 0, last = 0;
  };

  /// Makes the daemon's folder within `parent`. Null: `error` says why.
  static std::unique_ptr<ImageFolders> make(const std::filesystem::path& parent, std::string& error, Groups groups);
  static std::unique_ptr<ImageFolders> make(const std::filesystem::path& parent, std::string& error) {
    return make(parent, error, Groups());
  }
  ~ImageFolders();
  ImageFolders(const ImageFolders&) = delete;
  ImageFolders& operator=(const ImageFolders&) = delete;

  /// The folder of a user, made if need be; empty if that fails, or if kMostUsers of the VM have one: which users there
  /// are is the guest's to say. `in_vm`: the user is the guest's, not the host's.
  UniqueFd open(std::uint32_t vm, bool in_vm, uid_t user) const;

 private:
  ImageFolders(std::filesystem::path folder, UniqueFd lock, Groups groups) noexcept
      : folder_(std::move(folder)), lock_(std::move(lock)), groups_(groups) {}
  bool give_to_group(const std::filesystem::path& folder) const;

  std::filesystem::path folder_;
  UniqueFd lock_;  ///< of the folder, held as long as the daemon lives
  mutable std::mutex mutex_;
  mutable Groups groups_;                                                    ///< that are left
  mutable std::map<std::pair<std::uint32_t, bool>, std::set<uid_t>> users_;  ///< that have a folder, by VM
};

}  // namespace vgpu::daemon
