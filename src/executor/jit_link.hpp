#pragma once
#include <map>
#include <memory>
#include <mutex>

#include "executor/cuda_api.hpp"
#include "protocol/types.hpp"

namespace vgpu::executor {

class JitOptions;

/// One CUlinkState with what the driver uses as long as it lives: its options and their logs.
struct JitLink {
  JitLink();
  ~JitLink();
  JitLink(const JitLink&) = delete;
  JitLink& operator=(const JitLink&) = delete;

  std::mutex mutex;  ///< the driver's calls on it come one at a time
  CUlinkState native = nullptr;
  std::unique_ptr<JitOptions> options;
  void* image = nullptr;  ///< of cuLinkComplete; the driver's
  std::size_t image_bytes = 0;
};

/// The session's links by handle. Any thread. A link lives until it is destroyed and nobody uses it any more.
class JitLinks {
 public:
  /// False: the handle is malformed or taken, or too many are there.
  bool put(protocol::LinkHandle handle, std::shared_ptr<JitLink> link);
  /// Null: there is none.
  std::shared_ptr<JitLink> find(protocol::LinkHandle handle);
  std::shared_ptr<JitLink> take(protocol::LinkHandle handle);

 private:
  std::mutex mutex_;
  std::map<protocol::u64, std::shared_ptr<JitLink>> links_;
};

}  // namespace vgpu::executor
