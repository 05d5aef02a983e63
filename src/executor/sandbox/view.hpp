#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/unique_fd.hpp"

namespace vgpu::executor {

/// A root of one's own, made of pieces of the file system that was there before. Used in this order: begin(), add() for
/// each piece, enter(). Texts that are returned say why something failed; empty: it did not.
class View {
 public:
  /// Gives the process a mount namespace of its own.
  std::string begin();

  /// The file or folder will be there under its own name, and so will the symbolic links that lead to it.
  /// `attributes`: MOUNT_ATTR_…. What does not exist is left out.
  void add(const std::filesystem::path& path, std::uint64_t attributes);
  /// The same under another name.
  void add_at(const std::filesystem::path& path, const std::filesystem::path& place, std::uint64_t attributes);

  /// An empty folder of this process alone, in memory, for files of a few MiB.
  void add_scratch(const std::filesystem::path& place) { scratch_.push_back(place); }

  /// Makes it the process's root, read-only but for pieces that were added otherwise. `own_processes`: /proc is made
  /// anew for this PID namespace.
  std::string enter(bool own_processes);

 private:
  struct Piece {
    UniqueFd tree;
    bool folder = false;
  };

  std::optional<std::filesystem::path> follow(const std::filesystem::path& path);
  bool within_piece(const std::filesystem::path& path) const;
  std::string place(const std::filesystem::path& path, const Piece& piece);
  std::string place_processes(const Piece& old, bool own_processes);

  std::map<std::filesystem::path, Piece> pieces_;                 ///< by place; a folder comes before what lies in it
  std::map<std::filesystem::path, std::filesystem::path> links_;  ///< and where they lead
  std::vector<std::filesystem::path> scratch_;
};

}  // namespace vgpu::executor
