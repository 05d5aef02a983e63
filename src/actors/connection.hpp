#pragma once
#include <chrono>
#include <string_view>

#include "actors/context.hpp"
#include "actors/interfaces.hpp"
#include "protocol/session.hpp"

namespace vgpu::daemon {

/// One guest process, from its connection to the end of its executor. Every way in which a session can end leads to one
/// function, end_session() in connection.cpp: the reason into the control page, every sleeping thread woken, the socket
/// closed, the executor stopped. When the executor is gone the books are closed, and this actor ends.
struct ConnectionState {
  static inline const char* name = "connection";

  enum class Phase {
    greeting,  ///< waits for the Hello
    opening,   ///< the executor starts
    open,      ///< the guest has its Welcome
    ending,    ///< waits for the executor to go
  };

  ContextPtr context;
  GuestSocketPtr socket;
  Phase phase = Phase::greeting;
  std::string process;  ///< program, as the guest or else its kernel says
  Identity identity;
  std::optional<Placement::Place> where;  ///< the session's pool and GPU, until it has ended
  pool_scheduler_actor scheduler;         ///< of that GPU; set from `opening` on
  VmPlacePtr place;                       ///< among its VM's sessions; set from `opening` on
  SessionRecordPtr record;                ///< set from `opening` on
  std::shared_ptr<SessionMemory> memory;
  executor_actor executor;
  bool asks_status = false;  ///< wants no session
  bool greeted = false;      ///< a good Hello came, and the log says so
  bool counted = false;      ///< metrics know the session
  std::size_t wakes_left = 0;
  Ending ending;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();

  /// An actor that fails leaves no guest waiting.
  ~ConnectionState();
};

connection_actor::behavior_type connection(connection_actor::stateful_pointer<ConnectionState> self, ContextPtr context,
                                           GuestSocketPtr socket);

/// A Welcome that says why there is no session. `text` is cut to what fits.
protocol::Welcome refusal_welcome(vgpu_end_reason reason, std::int32_t result, std::string_view text);

}  // namespace vgpu::daemon
