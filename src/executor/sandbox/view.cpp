#include "executor/sandbox/view.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <list>
#include <system_error>

namespace vgpu::executor {
namespace fs = std::filesystem;
namespace {

/// Where the new root is built: a folder that every Linux has. What lies there was taken along before.
constexpr const char* kBase = "/dev";
constexpr int kMostLinks = 40;  // as the kernel counts
constexpr const char* kProcesses = "/proc";

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

/// A copy of the mounts at and below `path`, attached nowhere.
UniqueFd detached(const fs::path& path, std::uint64_t attributes) {
  UniqueFd tree(
      ::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW));
  if (!tree) return tree;
  mount_attr set{};
  set.attr_set = attributes;
  if (attributes != 0 && ::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &set, sizeof set) != 0)
    tree.reset();
  return tree;
}

fs::path in_base(const fs::path& path) { return fs::path(kBase) / path.relative_path(); }

bool attach(int tree, const fs::path& place) {
  return ::move_mount(tree, "", AT_FDCWD, place.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

}  // namespace

std::string View::begin() {
  if (::unshare(CLONE_NEWNS) != 0) return failed("a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failed("a private mount namespace");
  return {};
}

/// Walks the path; notes the links on its way, and returns where it ends.
std::optional<fs::path> View::follow(const fs::path& path) {
  std::list<fs::path> rest(path.begin(), path.end());
  fs::path at = "/";
  std::error_code error;
  for (int links = 0; !rest.empty();) {
    const fs::path name = rest.front();
    rest.pop_front();
    if (name.empty() || name == "." || name == "/") continue;
    if (name == "..") {
      at = at.parent_path();
      continue;
    }
    const fs::path next = at / name;
    const fs::file_status status = fs::symlink_status(next, error);
    if (!fs::exists(status)) return std::nullopt;
    if (!fs::is_symlink(status)) {
      at = next;
      continue;
    }
    const fs::path target = fs::read_symlink(next, error);
    if (error || ++links > kMostLinks) return std::nullopt;
    links_.emplace(next, target);
    if (target.is_absolute()) at = "/";
    rest.insert(rest.begin(), target.begin(), target.end());
  }
  return at;
}

void View::add(const fs::path& path, std::uint64_t attributes) {
  if (const auto end = follow(path)) add_at(*end, *end, attributes);
}

void View::add_at(const fs::path& path, const fs::path& place, std::uint64_t attributes) {
  std::error_code error;
  Piece piece{detached(path, attributes), fs::is_directory(path, error)};
  if (piece.tree) pieces_.try_emplace(place, std::move(piece));
}

bool View::within_piece(const fs::path& path) const {
  for (fs::path above = path.parent_path(); above.has_relative_path(); above = above.parent_path())
    if (const auto found = pieces_.find(above); found != pieces_.end() && found->second.folder) return true;
  return false;
}

std::string View::place(const fs::path& path, const Piece& piece) {
  const fs::path here = in_base(path);
  std::error_code error;
  fs::create_directories(piece.folder ? here : here.parent_path(), error);
  if (!piece.folder) UniqueFd(::open(here.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  return attach(piece.tree.get(), here) ? std::string() : failed("mounting " + path.string());
}

std::string View::place_processes(const Piece& old, bool own_processes) {
  const fs::path here = in_base(kProcesses);
  std::error_code error;
  fs::create_directories(here, error);
  // A container that hides parts of its /proc may not make another: then the old one has to do. What it shows of
  // others' processes can't be opened, and no call that takes a process's number takes those that it shows.
  if (own_processes && ::mount("proc", here.c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0) return {};
  return old.tree && attach(old.tree.get(), here) ? std::string() : failed("mounting /proc");
}

std::string View::enter(bool own_processes) {
  const Piece old_processes{detached(kProcesses, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC), true};
  // Only names: every file in it is a place for a mount.
  if (::mount("tmpfs", kBase, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=64k,nr_inodes=8k") != 0)
    return failed("a tmpfs for the new root");
  std::error_code error;
  // First: a piece may lie in one of them.
  for (const fs::path& place : scratch_) {
    fs::create_directories(in_base(place), error);
    if (::mount("tmpfs", in_base(place).c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                "mode=1777,size=64m,nr_inodes=1k") != 0)
      return failed("a tmpfs for " + place.string());
  }
  for (const auto& [link, target] : links_) {
    if (within_piece(link)) continue;
    fs::create_directories(in_base(link).parent_path(), error);
    fs::create_symlink(target, in_base(link), error);
  }
  for (const auto& [path, piece] : pieces_) {
    if (within_piece(path)) continue;
    if (std::string why = place(path, piece); !why.empty()) return why;
  }
  if (std::string why = place_processes(old_processes, own_processes); !why.empty()) return why;
  if (::chdir(kBase) != 0) return failed("entering the new root");
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return failed("pivot_root");
  // Both roots lie on top of each other now; the old one is taken away.
  if (::umount2(".", MNT_DETACH) != 0) return failed("leaving the old root");
  if (::chdir("/") != 0) return failed("entering the new root");
  mount_attr closed{};
  closed.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (::mount_setattr(AT_FDCWD, "/", 0, &closed, sizeof closed) != 0) return failed("closing the new root");
  return {};
}

}  // namespace vgpu::executor
