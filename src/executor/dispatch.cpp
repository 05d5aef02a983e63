#include "executor/dispatch.hpp"

#include <fmt/format.h>

#include <cstring>
#include <new>
#include <vector>

#include "executor/call_log.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

union Reply {
  alignas(8) std::byte bytes[VGPU_SLOT_REPLY_BYTES];
};

struct Entry {
  CUresult (*run)(Invocation& in, const std::byte* request, Reply& reply);
  bool (*zeros)(const std::byte* request);
  void (*print_request)(const std::byte* request, std::string& out);
  void (*print_reply)(const Reply& reply, std::string& out);
  u64 (*bytes)(const std::byte* request);
};

template <typename T>
T load(const std::byte* bytes) noexcept {
  T value;
  if constexpr (!std::is_empty_v<T>) std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <typename T>
constexpr bool is_zero(const T& value) noexcept {
  if constexpr (std::is_integral_v<T>) return value == 0;
  return true;
}

// Names are compared by the compiler: this runs for each record.
#define CALL(number, name, mode)                                                         \
  bool reserved_are_zero([[maybe_unused]] const call::name::Request& request) noexcept { \
    bool good = true;
#define IN(type, field) \
  if constexpr (std::string_view(#field) == "zero") good = good && is_zero(request.field);
#define OUT(type, field)
#define END(name) \
  return good;    \
  }
#include "protocol/catalogue.def"
#undef CALL
#undef IN
#undef OUT
#undef END

template <typename Call>
struct Glue {
  static CUresult run(Invocation& in, const std::byte* bytes, Reply& out) {
    const auto request = load<typename Call::Request>(bytes);
    typename Call::Reply reply{};
    const CUresult result = Handler<Call>::run(in, request, reply);
    if constexpr (!std::is_empty_v<typename Call::Reply>) std::memcpy(out.bytes, &reply, sizeof reply);
    return result;
  }
  static bool zeros(const std::byte* bytes) { return reserved_are_zero(load<typename Call::Request>(bytes)); }
  static void print_request(const std::byte* bytes, std::string& out) {
    visit(load<typename Call::Request>(bytes), FieldPrinter(out));
  }
  static void print_reply(const Reply& reply, std::string& out) {
    visit(load<typename Call::Reply>(reply.bytes), FieldPrinter(out));
  }
  static u64 bytes(const std::byte* request) {
    u64 sum = 0;
    visit(load<typename Call::Request>(request), [&]<typename T>(std::string_view field, const T& value) {
      if constexpr (std::is_integral_v<T>) {
        if (field == "bytes") sum += value;
      } else if constexpr (std::is_same_v<T, CopyExtent>) {
        sum += value.width * value.height * value.depth;
      }
    });
    return sum;
  }
};

constexpr std::array<Entry, kCallCount> kEntries{{
#define CALL(number, name, mode)                                                            \
  Entry{&Glue<call::name>::run, &Glue<call::name>::zeros, &Glue<call::name>::print_request, \
        &Glue<call::name>::print_reply, &Glue<call::name>::bytes},
#define IN(type, field)
#define OUT(type, field)
#define END(name)
#include "protocol/catalogue.def"
#undef CALL
#undef IN
#undef OUT
#undef END
}};

CallNote note_call(const Session& session, u32 index, const std::byte* request) {
  CallNote note;
  note.watch = session.watch.load(std::memory_order_relaxed);
  if (note.watch == 0) return note;
  note.begin = std::chrono::steady_clock::now();
  if ((note.watch & kWatchProfile) != 0) note.bytes = kEntries[index].bytes(request);
  if ((note.watch & (kWatchLog | kWatchTrace)) == 0) return note;
  note.line = fmt::format("call={}", kCalls[index].name);
  kEntries[index].print_request(request, note.line);
  return note;
}

/// Runs the handler in this thread; false if the session is over.
bool invoke(Invocation& in, const std::byte* request, Reply& reply, CUresult& result) {
  result = in.current.set(in.header.context);
  if (result == CUDA_SUCCESS) {
    try {
      result = kEntries[in.index].run(in, request, reply);
    } catch (const std::bad_alloc&) {
      result = CUDA_ERROR_OUT_OF_MEMORY;
    }
  }
  if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY && !in.session.ended())
    in.session.note_fault(result, kCalls[in.index].name);
  return !in.session.ended();
}

/// The reply of a failed call is not sent: nothing that the driver left there means anything.
void answer(Invocation& in, CUresult result, const Reply& reply, const CallNote& note) {
  Session& session = in.session;
  if (note.watch != 0) {
    std::string fields;
    if (result == CUDA_SUCCESS && !note.line.empty()) kEntries[in.index].print_reply(reply, fields);
    tell(session, note, in.index, result, fields);
  }
  session.completions.complete(in.answer(), result, reply.bytes, kCalls[in.index].reply_bytes);
}

/// A call that may block, on its way to a worker: everything of it is copied out of shared memory.
class CallJob final : public Job {
 public:
  CallJob(Session& session, const RingReader::Record& record, CallNote note)
      : session_(session),
        header_(record.header),
        index_(record.index),
        tail_(record.tail, record.tail + record.header.tail_bytes),
        unfinished_(session.unfinished.serial()),
        note_(std::move(note)) {
    std::memcpy(request_, record.request, sizeof request_);
    session_.blocking_calls.fetch_add(1, std::memory_order_relaxed);
  }
  ~CallJob() override { session_.blocking_calls.fetch_sub(1, std::memory_order_release); }
  void run(CurrentContext& current) noexcept override {
    if (session_.ended()) return;
    Invocation in{session_, session_.cuda, current, header_, tail_, index_};
    in.on_worker = true;
    in.unfinished = unfinished_;
    Reply reply{};
    CUresult result = CUDA_SUCCESS;
    if (invoke(in, request_, reply, result)) answer(in, result, reply, note_);
  }

 private:
  Session& session_;
  vgpu_record header_;
  u32 index_;
  std::vector<std::byte> tail_;
  const u64 unfinished_;
  CallNote note_;
  alignas(8) std::byte request_[kMaxRequestBytes];
};

void count(Session& session, const RingReader::Record& record) {
  if (record.header.slot != VGPU_NO_SLOT) bump(session.stats.sync_calls);
  if ((record.header.flags & VGPU_RECORD_MORE) != 0) return;
  bump(session.stats.calls_processed);
  bump(session.stats.calls_by_name[record.index]);
}

}  // namespace

CUresult Invocation::violate(vgpu_end_reason reason, std::string_view what) {
  session.end(reason,
              fmt::format("call={} position={:#x} what={}", protocol::kCalls[index].name, header.sequence, what));
  return CUDA_ERROR_UNKNOWN;
}

CUresult Invocation::refuse() { return refuse(protocol::kCalls[index].name); }

CUresult Invocation::refuse(std::string_view name) {
  session.count_unsupported(name);
  return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult Invocation::answer_after(CUstream stream) {
  if (!has_slot()) return CUDA_SUCCESS;
  // The event would become a part of the guest's graph, and the wait would never end.
  if (session.captures.captures(cuda, stream)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  CUresult result = session.parking.events().take(header.context, wait_event);
  if (result != CUDA_SUCCESS) {
    wait_event = {};
    return result;
  }
  result = cuda.cuEventRecord(wait_event.native, stream);
  if (result != CUDA_SUCCESS) {
    session.parking.events().give(wait_event);
    wait_event = {};
  }
  return result;
}

bool Invocation::name(std::string& out) {
  if (tail.empty() || tail.size() > protocol::kMaxNameBytes) {
    violate(VGPU_END_BAD_REQUEST, "length of a name");
    return false;
  }
  out.assign(reinterpret_cast<const char*>(tail.data()), tail.size());
  if (out.back() == '\0') out.pop_back();
  if (out.find('\0') != std::string::npos) {
    violate(VGPU_END_BAD_REQUEST, "NUL within a name");
    return false;
  }
  return true;
}

void dispatch(Session& session, CurrentContext& current, const RingReader::Record& record) {
  const Entry& entry = kEntries[record.index];
  Invocation in{session, session.cuda, current, record.header, {record.tail, record.header.tail_bytes}, record.index};
  if (!entry.zeros(record.request)) {
    in.violate(VGPU_END_BAD_REQUEST, "a reserved field is not 0");
    return;
  }
  if (record.header.context > Contexts::kMaxIndex) {
    in.violate(VGPU_END_BAD_REQUEST, "context index");
    return;
  }
  count(session, record);
  session.contexts.mark_dirty(record.header.context);
  CallNote note = note_call(session, record.index, record.request);
  const Mode mode = kCalls[record.index].mode;
  if (in.has_slot() && !session.completions.defer(record.header.slot)) {
    in.violate(VGPU_END_BAD_REQUEST, "a completion slot that waits for another answer");
    return;
  }
  if (mode == Mode::blocking) {
    session.workers.post(std::make_unique<CallJob>(session, record, std::move(note)));
    return;
  }
  Reply reply{};
  CUresult result = CUDA_SUCCESS;
  if (!invoke(in, record.request, reply, result)) return;
  if (session.backlog.on() && in.touched && !session.captures.any())
    session.backlog.submitted(record.header.context, *in.touched, Backlog::Clock::now());
  if (result == CUDA_SUCCESS && in.wait_event.native != nullptr) {
    const u64 finishes = in.wait_pooled ? session.unfinished.serial() : 0;
    session.parking.park(
        {in.wait_event, in.wait_pooled, in.wait_for_context, finishes, in.answer(), record.index, std::move(note)});
    return;
  }
  if (result == CUDA_SUCCESS && in.deferred) return;
  if (in.wants_worker) {
    session.workers.post(std::make_unique<CallJob>(session, record, std::move(note)));
    return;
  }
  if (!in.has_slot() && result != CUDA_SUCCESS) session.async_failure(result);
  answer(in, result, reply, note);
}

}  // namespace vgpu::executor
