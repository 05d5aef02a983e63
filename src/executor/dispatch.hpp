#pragma once
#include <optional>
#include <span>

#include "executor/session.hpp"
#include "protocol/catalogue.hpp"
#include "protocol/payload.hpp"
#include "protocol/ring.hpp"

namespace vgpu::executor {

/// What a handler has beside its request and reply.
struct Invocation {
  Session& session;
  const Driver& cuda;
  CurrentContext& current;
  const vgpu_record& header;
  /// Bytes after the request. In shared memory when the reader thread runs the call: read each at most once.
  std::span<const std::byte> tail;
  protocol::u32 index;  ///< of the call, in kCalls

  /// Set by the handler: the slot is answered when this event is done.
  EventPool::Event wait_event{};
  bool wait_pooled = true;
  /// With it: all work of the context is waited for, of which the event is the last that is known.
  bool wait_for_context = false;
  /// Set by the handler: it keeps the answer and gives it by itself.
  bool deferred = false;
  /// The stream that the handler asked for last.
  std::optional<CUstream> touched{};
  bool on_worker = false;        ///< this thread may wait for the GPU
  protocol::u64 unfinished = 0;  ///< on a worker: serial() of what was unfinished when the record was read
  /// Set by the handler of a call with a slot, in place of anything it would do: it must wait for the GPU, and is run
  /// once more, on a worker.
  bool wants_worker = false;

  bool has_slot() const noexcept { return header.slot != VGPU_NO_SLOT; }
  Answer answer() const noexcept { return {header.slot, header.ticket}; }

  /// Ends the session because the guest broke the protocol.
  CUresult violate(vgpu_end_reason reason, std::string_view what);

  /// Counts and logs what is not carried, by the name of the CUDA function: this call's own unless said otherwise.
  CUresult refuse();
  CUresult refuse(std::string_view name);

  /// False: the handle names no stream. 0 is the legacy default stream.
  bool stream(protocol::StreamHandle handle, CUstream& native) noexcept {
    native = handle.value == 0 ? nullptr : session.handles.find<CUstream>(handle);
    if (handle.value != 0 && native == nullptr) return false;
    touched = native;
    if (!on_worker) session.unfinished.touch(header.context, native);
    return true;
  }

  /// True for what waits for all work of the GPU, if there may be some and this thread must not: the call comes back on
  /// a worker. So it does during a capture, which belongs to this thread and forbids it such calls.
  /// `waits`: it may have to wait for something else, too.
  bool leave_to_worker(bool waits = false) noexcept {
    wants_worker = !on_worker && (waits || session.captures.any() || !session.unfinished.none());
    return wants_worker;
  }

  /// Records an event of our own behind the work on the stream; the slot is answered when it is done.
  CUresult answer_after(CUstream stream);

  /// The tail as a name, copied and NUL-terminated. False: the session ended, because it is empty, too long or has a
  /// NUL within.
  bool name(std::string& out);
};

/// What one call does: makes the driver's call and fills the reply. The result answers the guest's call. For calls
/// with mode async, sync and parked it runs on the reader thread and must be quick; for blocking ones on a worker.
/// A call of the catalogue without a definition of run() does not link.
template <typename Call>
struct Handler {
  static CUresult run(Invocation& in, const typename Call::Request& request, typename Call::Reply& reply);
};

#define CALL(number, name, mode)                                                                            \
  template <>                                                                                               \
  CUresult Handler<protocol::call::name>::run(Invocation& in, const protocol::call::name::Request& request, \
                                              protocol::call::name::Reply& reply);
#define IN(type, field)
#define OUT(type, field)
#define END(name)
#include "protocol/catalogue.def"
#undef CALL
#undef IN
#undef OUT
#undef END

/// Heads the definition of a call's handler.
#define VGPU_HANDLER(name)                                                                                   \
  template <>                                                                                                \
  CUresult Handler<protocol::call::name>::run([[maybe_unused]] Invocation& in,                               \
                                              [[maybe_unused]] const protocol::call::name::Request& request, \
                                              [[maybe_unused]] protocol::call::name::Reply& reply)

/// Runs one record: in this thread or, if it may block, in a worker. Returns when its place in the ring may be given
/// back. Reader thread.
void dispatch(Session& session, CurrentContext& current, const protocol::RingReader::Record& record);

}  // namespace vgpu::executor
