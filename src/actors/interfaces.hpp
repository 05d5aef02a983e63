#pragma once
// Every message that actors of vgpud send each other, and the types that CAF must know. Only the actors' own .cpp files
// (and tests of them) include this: CAF's headers are slow to compile. All that differs between CAF versions is here.
#include <caf/all.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/config.hpp"
#include "actors/errors.hpp"
#include "actors/lease_policy.hpp"
#include "actors/metrics_store.hpp"
#include "actors/ports.hpp"
#include "protocol/executor_link.hpp"

namespace vgpu::daemon {

/// Why a session ends, or what hurts it.
struct Ending {
  vgpu_end_reason reason = VGPU_END_NONE;
  std::int32_t result = 0;  ///< CUresult
  std::string text;         ///< for people
};

using Bytes = std::vector<std::byte>;

/// Sessions that somebody means: those to which all that is said here applies.
struct SessionFilter {
  std::optional<std::uint32_t> session;
  std::optional<std::uint32_t> vm;
  std::string pool{};  ///< empty: of any
  bool takes(const SessionRecord& record) const noexcept {
    return (!session || *session == record.session) && (!vm || *vm == record.vm) &&
           (pool.empty() || pool == record.pool);
  }
};

using SessionRecords = std::vector<SessionRecordPtr>;

}  // namespace vgpu::daemon

// All actors live in one process, so no message is ever serialized.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::Ending)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::Bytes)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::SessionFilter)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::SessionRecords)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::AdminClientPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::GuestSocketPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::VmLinkPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::VmOfferPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::SessionRecordPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::ConfigPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::Tenant)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::LeaseOrder)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::daemon::LeaseReturn)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::protocol::Welcome)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(vgpu::protocol::ExecutorEvent)

CAF_BEGIN_TYPE_ID_BLOCK(vgpu, caf::first_custom_type_id)
CAF_ADD_ATOM(vgpu, vgpu::daemon, accepted_atom, "accepted")
CAF_ADD_ATOM(vgpu, vgpu::daemon, offer_atom, "offer")
CAF_ADD_ATOM(vgpu, vgpu::daemon, claim_atom, "claim")
CAF_ADD_ATOM(vgpu, vgpu::daemon, reset_atom, "reset")
CAF_ADD_ATOM(vgpu, vgpu::daemon, welcome_atom, "welcome")
CAF_ADD_ATOM(vgpu, vgpu::daemon, message_atom, "message")
CAF_ADD_ATOM(vgpu, vgpu::daemon, hangup_atom, "hangup")
CAF_ADD_ATOM(vgpu, vgpu::daemon, doorbell_atom, "doorbell")
CAF_ADD_ATOM(vgpu, vgpu::daemon, overdue_atom, "overdue")
CAF_ADD_ATOM(vgpu, vgpu::daemon, wake_atom, "wake")
CAF_ADD_ATOM(vgpu, vgpu::daemon, ready_atom, "ready")
CAF_ADD_ATOM(vgpu, vgpu::daemon, ended_atom, "ended")
CAF_ADD_ATOM(vgpu, vgpu::daemon, fault_atom, "fault")
CAF_ADD_ATOM(vgpu, vgpu::daemon, exited_atom, "exited")
CAF_ADD_ATOM(vgpu, vgpu::daemon, event_atom, "event")
CAF_ADD_ATOM(vgpu, vgpu::daemon, unlinked_atom, "unlinked")
CAF_ADD_ATOM(vgpu, vgpu::daemon, lease_atom, "lease")
CAF_ADD_ATOM(vgpu, vgpu::daemon, idle_atom, "idle")
CAF_ADD_ATOM(vgpu, vgpu::daemon, opened_atom, "opened")
CAF_ADD_ATOM(vgpu, vgpu::daemon, closed_atom, "closed")
CAF_ADD_ATOM(vgpu, vgpu::daemon, refused_atom, "refused")
CAF_ADD_ATOM(vgpu, vgpu::daemon, tick_atom, "tick")
CAF_ADD_ATOM(vgpu, vgpu::daemon, changed_atom, "changed")
CAF_ADD_ATOM(vgpu, vgpu::daemon, overrun_atom, "overrun")
CAF_ADD_ATOM(vgpu, vgpu::daemon, overlap_atom, "overlap")
CAF_ADD_ATOM(vgpu, vgpu::daemon, lost_atom, "lost")
CAF_ADD_ATOM(vgpu, vgpu::daemon, end_atom, "end")
CAF_ADD_ATOM(vgpu, vgpu::daemon, watch_atom, "watch")
CAF_ADD_ATOM(vgpu, vgpu::daemon, alive_atom, "alive")
CAF_ADD_ATOM(vgpu, vgpu::daemon, line_atom, "line")
CAF_ADD_ATOM(vgpu, vgpu::daemon, stop_atom, "stop")
CAF_END_TYPE_ID_BLOCK(vgpu)

namespace vgpu::daemon {

/// Spells an interface as CAF 1.x does, `result<R>(Args...)`, for the CAF of Debian 12.
template <class Signature>
struct MessageOf;
template <class R, class... Args>
struct MessageOf<caf::result<R>(Args...)> {
  using type = typename caf::replies_to<Args...>::template with<R>;
};
template <class... Signatures>
using Interface = caf::typed_actor<typename MessageOf<Signatures>::type...>;

/// Spawns and ends executor processes' sessions' leases: see executor.hpp.
using executor_actor = Interface<
    // Pool scheduler: about your lease.
    caf::result<void>(lease_atom, LeaseOrder),
    // Pool scheduler: the lease should have come back long ago; the process must go, now.
    caf::result<void>(overrun_atom),
    // Pool scheduler: the GPU failed; the text says how.
    caf::result<void>(lost_atom, std::string),
    // Pool scheduler: an operator ends the session.
    caf::result<void>(end_atom),
    // Pool scheduler: tell of calls what these bits of CallWatch say from now on, and no longer what those say.
    caf::result<void>(watch_atom, std::uint32_t, std::uint32_t),
    // Process: it said something.
    caf::result<void>(event_atom, protocol::ExecutorEvent),
    // Process: its end of the link is closed.
    caf::result<void>(unlinked_atom),
    // Process: it is reaped; the text says how it ended. This actor ends.
    caf::result<void>(exited_atom, std::string),
    // Clock: a deadline of the process has passed (number: which).
    caf::result<void>(overdue_atom, std::uint32_t),
    // Connection: the session has ended; the process must go, by force if it takes longer than the grace period.
    caf::result<void>(stop_atom)>;

/// One guest process: see connection.hpp.
using connection_actor = Interface<
    // Socket: one message of the guest.
    caf::result<void>(message_atom, Bytes),
    // Socket: the guest closed it or died.
    caf::result<void>(hangup_atom),
    // Socket: the doorbell was rung so many times.
    caf::result<void>(doorbell_atom, std::uint64_t),
    // Clock: the Hello is overdue.
    caf::result<void>(overdue_atom),
    // Clock: wake the guest's threads once more.
    caf::result<void>(wake_atom),
    // Executor: the process runs and has its GPU, whose name this is.
    caf::result<void>(ready_atom, std::string),
    // Executor: something went wrong that the session survives.
    caf::result<void>(fault_atom, Ending),
    // Executor: the session has ended there, or could not begin.
    caf::result<void>(ended_atom, Ending),
    // Executor: the process is gone.
    caf::result<void>(exited_atom),
    // Listener: the daemon stops.
    caf::result<void>(stop_atom)>;

/// One virtual machine: see vm_connection.hpp.
using vm_connection_actor = Interface<
    // Link: what the VM's device is and has.
    caf::result<void>(offer_atom, VmOfferPtr),
    // Link: the guest rang the doorbell of this channel so many times.
    caf::result<void>(doorbell_atom, std::uint32_t, std::uint64_t),
    // Link: the VM was reset.
    caf::result<void>(reset_atom),
    // Link: QEMU closed it or died; or what was wrong with what it said.
    caf::result<void>(hangup_atom, std::string),
    // A channel's connection: the answer to the open request of this number.
    caf::result<void>(welcome_atom, std::uint32_t, std::uint32_t, protocol::Welcome),
    // Clock: the device's offer is overdue.
    caf::result<void>(overdue_atom),
    // Listener: the daemon stops.
    caf::result<void>(stop_atom)>;

/// Gives the leases of one GPU of a pool: see pool_scheduler.hpp.
using pool_scheduler_actor = Interface<
    // Connection: a session of this tenant opened; leases go to this executor.
    caf::result<void>(opened_atom, SessionRecordPtr, executor_actor, Tenant),
    // Connection: the session's doorbell rang.
    caf::result<void>(doorbell_atom, std::uint32_t),
    // Executor: the session gave its lease back.
    caf::result<void>(idle_atom, LeaseReturn),
    // Clock: unless the session has given back the lease of this order, others go on beside it.
    caf::result<void>(overlap_atom, std::uint32_t, std::uint64_t),
    // Clock: by now the session should have given back the lease that it held when this order was made.
    caf::result<void>(overdue_atom, std::uint32_t, std::uint64_t),
    // Daemon: this is the configuration from now on.
    caf::result<void>(changed_atom, ConfigPtr),
    // Connection or executor: the session ended.
    caf::result<void>(closed_atom, std::uint32_t),
    // Daemon: the GPU failed; the text says how.
    caf::result<void>(lost_atom, std::string),
    // Admin: end these sessions. Answered with those that there are.
    caf::result<SessionRecords>(end_atom, SessionFilter),
    // Admin: switch these bits of CallWatch on, and those off. Answered with those that there are.
    caf::result<SessionRecords>(watch_atom, SessionFilter, std::uint32_t, std::uint32_t),
    // Admin: are you there?
    caf::result<bool>(alive_atom),
    // Daemon: end.
    caf::result<void>(stop_atom)>;

/// Keeps the books: see metrics.hpp.
using metrics_actor = Interface<
    // Connection: a session opened.
    caf::result<void>(opened_atom, SessionRecordPtr),
    // Connection: a session is over and its executor gone; says why, for the log.
    caf::result<void>(closed_atom, SessionRecordPtr, Ending),
    // Connection: a fault of a session of this VM in this pool.
    caf::result<void>(fault_atom, std::uint32_t, std::string, std::uint32_t),
    // VM's connection: the VM came, or went.
    caf::result<void>(opened_atom, std::uint32_t, std::string),
    caf::result<void>(closed_atom, std::uint32_t, std::string),
    // Connection: nobody got a session, for this reason.
    caf::result<void>(refused_atom, std::uint32_t),
    // Clock: time to sample what sessions hold.
    caf::result<void>(tick_atom),
    // Connection: this VM in this pool has as many sessions as it may.
    caf::result<void>(refused_atom, std::uint32_t, std::string),
    // Admin: are you there?
    caf::result<bool>(alive_atom),
    // Daemon: end.
    caf::result<void>(stop_atom)>;

/// Takes guests in: see listener.hpp.
using listener_actor = Interface<
    // Socket: somebody connected.
    caf::result<void>(accepted_atom, GuestSocketPtr),
    // Socket: a VM's QEMU connected.
    caf::result<void>(accepted_atom, VmLinkPtr),
    // VM's connection: it wants to be the only one of this VM. Answered when it is; false: another one is, and stays.
    caf::result<bool>(claim_atom, std::uint32_t),
    // VM's connection: it is about to end, and the next one of this VM may wait for that.
    caf::result<void>(closed_atom, std::uint32_t),
    // Admin: are you there?
    caf::result<bool>(alive_atom),
    // Daemon: end every connection, then yourself.
    caf::result<void>(stop_atom)>;

/// Answers operators: see admin.hpp.
using admin_actor = Interface<
    // Socket: somebody who may connected.
    caf::result<void>(accepted_atom, AdminClientPtr),
    // Client of this number: a line.
    caf::result<void>(line_atom, std::uint64_t, std::string),
    // Client of this number: gone.
    caf::result<void>(hangup_atom, std::uint64_t),
    // Clock: look for what streams have to tell.
    caf::result<void>(tick_atom),
    // Clock: the profile of the client of this number is over.
    caf::result<void>(overdue_atom, std::uint64_t),
    // Clock: find out whether all actors answer.
    caf::result<void>(alive_atom),
    // Daemon: end.
    caf::result<void>(stop_atom)>;

}  // namespace vgpu::daemon
