#include "executor/call_log.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <bit>
#include <chrono>

#include "executor/session.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

template <typename Duration>
u64 nanoseconds(Duration time) noexcept {
  return static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
}

}  // namespace

void FieldPrinter::print(std::string_view field, Pointer value) {
  fmt::format_to(std::back_inserter(out_), " {}={:#x}", field, static_cast<u64>(value));
}

void FieldPrinter::print(std::string_view field, Offset value) {
  if (value == kInline)
    fmt::format_to(std::back_inserter(out_), " {}=inline", field);
  else
    fmt::format_to(std::back_inserter(out_), " {}={:#x}", field, static_cast<u64>(value));
}

void FieldPrinter::print(std::string_view field, FloatBits value) {
  fmt::format_to(std::back_inserter(out_), " {}={}", field, std::bit_cast<float>(value));
}

// Parameter layouts are long, and follow from the module.
void FieldPrinter::print(std::string_view, const InlineParameters&) {}

void FieldPrinter::handle(std::string_view field, u64 value) {
  static constexpr std::array<const char*, 9> kKinds{"",        "context",  "stream", "event", "module",
                                                     "library", "function", "kernel", "pool"};
  const u64 kind = (value >> 40) & 0xf;
  if (value == 0)
    fmt::format_to(std::back_inserter(out_), " {}=0", field);
  else if ((value >> 44) == 1 && kind != 0 && kind < kKinds.size())
    fmt::format_to(std::back_inserter(out_), " {}={}#{}", field, kKinds[kind], StreamHandle{value}.index());
  else
    fmt::format_to(std::back_inserter(out_), " {}={:#x}", field, value);
}

void tell(Session& session, const CallNote& note, u32 call, CUresult result, std::string_view reply) {
  if ((note.watch & kWatchProfile) != 0) {
    CallProfile& profile = session.stats.profile[call];
    profile.calls.fetch_add(1, std::memory_order_relaxed);
    profile.bytes.fetch_add(note.bytes, std::memory_order_relaxed);
    profile.nanoseconds.fetch_add(nanoseconds(std::chrono::steady_clock::now() - note.begin),
                                  std::memory_order_relaxed);
  }
  if (note.line.empty()) return;
  const std::string line = fmt::format("{} result={}{}", note.line, session.cuda.result_name(result), reply);
  if ((note.watch & kWatchTrace) != 0)
    session.stats.trace.write(line, nanoseconds(std::chrono::system_clock::now().time_since_epoch()));
  if ((note.watch & kWatchLog) != 0) session.log->debug("{} {}", log_identity(session), line);
}

std::string log_identity(const Session& session) {
  std::string text;
  if (session.config.vm != 0xffffffff) fmt::format_to(std::back_inserter(text), "vm={} ", session.config.vm);
  fmt::format_to(std::back_inserter(text), "pool={} session={}", session.config.pool, session.config.session);
  return text;
}

}  // namespace vgpu::executor
