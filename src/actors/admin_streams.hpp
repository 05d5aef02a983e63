#pragma once
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "actors/admin_request.hpp"
#include "actors/metrics_store.hpp"
#include "protocol/call_trace.hpp"

/// What an operator watches for a while. None of these is ever waited for by what it watches.
namespace vgpu::daemon {

/// The calls of a VM's sessions.
class TraceStream {
 public:
  /// Tells of this session, too. `from_now`: its lines that are there already are not told.
  void add(const SessionRecordPtr& record, bool from_now);
  /// What is new: a line for each call, and one for each session of which some were lost.
  std::vector<std::string> take();

 private:
  struct Session {
    SessionRecordPtr record;
    protocol::CallTraceReader reader;
  };
  static void take(Session& session, std::vector<std::string>& lines);
  std::map<std::uint32_t, Session> sessions_;
};

/// What happened in the daemon: log::Event, from those that were kept on.
class EventStream {
 public:
  std::vector<Json> take();

 private:
  std::uint64_t last_ = 0;
};

/// The calls of one session, by name, from its making on.
class ProfileStream {
 public:
  explicit ProfileStream(SessionRecordPtr record);
  std::uint32_t session() const noexcept { return record_->session; }
  Json result() const;

 private:
  struct Counts {
    std::uint64_t calls = 0, bytes = 0, nanoseconds = 0;
  };
  using All = std::array<Counts, protocol::kCallCount>;
  static All read(const SessionRecord& record);

  const SessionRecordPtr record_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  const All before_;
};

}  // namespace vgpu::daemon
