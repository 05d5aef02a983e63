#include "actors/image_folders.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace vgpu::daemon {
namespace {

constexpr const char* kPrefix = "vgpud-images-";
constexpr int kAttempts = 20;

UniqueFd open_folder(const std::filesystem::path& folder) {
  return UniqueFd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
}

/// Removes the folders that nobody holds the lock of.
void remove_stale(const std::filesystem::path& parent) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    const UniqueFd folder = open_folder(entry.path());
    struct stat status {};
    if (!folder || ::fstat(folder.get(), &status) != 0 || status.st_uid != ::geteuid()) continue;
    if (::flock(folder.get(), LOCK_EX | LOCK_NB) == 0) std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace

std::unique_ptr<ImageFolders> ImageFolders::make(const std::filesystem::path& parent, std::string& error, For whom) {
  std::error_code failure;
  std::filesystem::create_directories(parent, failure);
  remove_stale(parent);
  // Another daemon that starts at this moment may take the folder for a stale one before it is locked: then a new one.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::string folder = (parent / (std::string(kPrefix) + "XXXXXX")).string();
    if (::mkdtemp(folder.data()) == nullptr) break;
    UniqueFd lock = open_folder(folder);
    struct stat status {};
    // A folder that was removed before the lock was had no longer has a name.
    if (lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0 && ::fstat(lock.get(), &status) == 0 && status.st_nlink > 0)
      return std::unique_ptr<ImageFolders>(new ImageFolders(std::move(folder), std::move(lock), whom));
    std::filesystem::remove_all(folder, failure);
  }
  error = "no folder for images can be made in " + parent.string() + ": " + std::strerror(errno) +
          "; name another one with images in [executor], or \"off\"";
  return nullptr;
}

ImageFolders::~ImageFolders() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

UniqueFd ImageFolders::open(std::uint32_t vm, bool in_vm, uid_t user) const {
  const std::filesystem::path folder =
      folder_ / (std::to_string(vm) + (in_vm ? "-guest-" : "-host-") + std::to_string(user));
  const std::lock_guard lock(mutex_);
  std::set<uid_t>& users = users_[{vm, in_vm}];
  if (!users.contains(user) && users.size() == kMostUsers) return UniqueFd();
  const bool made = ::mkdir(folder.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return UniqueFd();
  // Beyond what the daemon's umask leaves.
  if (made && whom_ == For::any_user && ::chmod(folder.c_str(), 0777) != 0) {
    ::rmdir(folder.c_str());
    return UniqueFd();
  }
  users.insert(user);
  return open_folder(folder);
}

}  // namespace vgpu::daemon
