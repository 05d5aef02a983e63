#pragma once
#include <atomic>
#include <unordered_map>

#include "executor/driver.hpp"
#include "protocol/types.hpp"

namespace vgpu::executor {

/// The captures that the guest has begun and not ended. any() by all threads, the rest by the reader thread.
/// What a stream in a capture gets becomes a node of a graph: nothing of our own may be put there.
class Captures {
 public:
  struct Entry {
    protocol::GraphHandle graph{0};
    bool existing = false;  ///< the guest's own graph: it outlives a capture that fails
  };

  /// False: all streams run their work. One load.
  bool any() const noexcept { return open_.load(std::memory_order_acquire) != 0; }
  void begin(CUstream origin, const Entry& entry) {
    origins_[origin] = entry;
    open_.store(origins_.size(), std::memory_order_release);
  }
  /// Null: no capture began in this stream.
  const Entry* find(CUstream origin) const {
    const auto found = origins_.find(origin);
    return found != origins_.end() ? &found->second : nullptr;
  }
  /// True if a capture adds to this graph: while it does, the graph and its nodes stay (CUDA driver API,
  /// cuStreamGetCaptureInfo: "all operations other than destroy and node removal are permitted").
  bool hold(protocol::GraphHandle graph) const {
    if (!any()) return false;
    for (const auto& [origin, entry] : origins_)
      if (entry.graph.value == graph.value) return true;
    return false;
  }
  void end(CUstream origin) {
    origins_.erase(origin);
    open_.store(origins_.size(), std::memory_order_release);
  }

  /// The graph that the stream's work becomes nodes of; null if it is run. Without a capture no call of the driver.
  CUgraph graph_of(const Driver& cuda, CUstream stream) const {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    CUgraph graph = nullptr;
    if (!any() || cuda.cuStreamGetCaptureInfo_v2(stream, &status, nullptr, &graph, nullptr, nullptr) != CUDA_SUCCESS)
      return nullptr;
    return status == CU_STREAM_CAPTURE_STATUS_ACTIVE ? graph : nullptr;
  }
  /// True if the stream takes part in a capture, be it a broken one.
  bool captures(const Driver& cuda, CUstream stream) const {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    return any() && cuda.cuStreamIsCapturing(stream, &status) == CUDA_SUCCESS &&
           status != CU_STREAM_CAPTURE_STATUS_NONE;
  }

 private:
  std::atomic<std::size_t> open_{0};
  std::unordered_map<CUstream, Entry> origins_;
};

}  // namespace vgpu::executor
