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

  /// Whose processes may use a folder, once they have its descriptor: nobody else's may enter the folder above.
  enum class For { own_user, any_user };

  /// Makes the daemon's folder within `parent`. Null: `error` says why.
  static std::unique_ptr<ImageFolders> make(const std::filesystem::path& parent, std::string& error,
                                            For whom = For::own_user);
  ~ImageFolders();
  ImageFolders(const ImageFolders&) = delete;
  ImageFolders& operator=(const ImageFolders&) = delete;

  /// The folder of a user, made if need be; empty if that fails, or if kMostUsers of the VM have one: which users there
  /// are is the guest's to say. `in_vm`: the user is the guest's, not the host's.
  UniqueFd open(std::uint32_t vm, bool in_vm, uid_t user) const;

 private:
  ImageFolders(std::filesystem::path folder, UniqueFd lock, For whom) noexcept
      : folder_(std::move(folder)), lock_(std::move(lock)), whom_(whom) {}

  std::filesystem::path folder_;
  UniqueFd lock_;  ///< of the folder, held as long as the daemon lives
  const For whom_;
  mutable std::mutex mutex_;
  mutable std::map<std::pair<std::uint32_t, bool>, std::set<uid_t>> users_;  ///< that have a folder, by VM
};

}  // namespace vgpu::daemon
