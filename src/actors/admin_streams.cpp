#include "actors/admin_streams.hpp"

#include <algorithm>

#include "common/log.hpp"
#include "protocol/catalogue.hpp"

namespace vgpu::daemon {
namespace {

/// Lines of one session that are told at once: the others come with the next look.
constexpr int kMostAtOnce = protocol::CallTrace::kSlots;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// An executor's words end up on terminals.
void make_printable(std::string& text) {
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
}

std::uint64_t difference(std::uint64_t after, std::uint64_t before) { return after > before ? after - before : 0; }

}  // namespace

void TraceStream::add(const SessionRecordPtr& record, bool from_now) {
  const auto [found, added] = sessions_.try_emplace(record->session, Session{record, {}});
  if (added && from_now) found->second.reader.start(record->memory->stats().trace);
}

void TraceStream::take(Session& session, std::vector<std::string>& lines) {
  const SessionRecord& record = *session.record;
  const protocol::CallTrace& trace = record.memory->stats().trace;
  std::string text;
  std::uint64_t nanoseconds = 0;
  for (int i = 0; i < kMostAtOnce; ++i) {
    if (session.reader.next(trace, text, nanoseconds) == protocol::CallTraceReader::Result::none) break;
    make_printable(text);
    constexpr std::string_view kCall = "call=";
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string call = text.starts_with(kCall) ? text.substr(kCall.size(), end - kCall.size()) : "?";
    lines.push_back(dump({{"time", static_cast<double>(nanoseconds / 1000) / 1e6},
                          {"vm", record.vm},
                          {"pool", record.pool},
                          {"session", record.session},
                          {"call", call},
                          {"text", text.substr(std::min(end + 1, text.size()))}}));
  }
  if (const std::uint64_t lost = session.reader.take_lost(); lost != 0)
    lines.push_back(dump({{"vm", record.vm}, {"session", record.session}, {"lost", lost}}));
}

std::vector<std::string> TraceStream::take() {
  std::vector<std::string> lines;
  for (auto entry = sessions_.begin(); entry != sessions_.end();) {
    // In this order: who is reaped writes nothing after it.
    const bool over = entry->second.record->place != nullptr && entry->second.record->place->is_reaped();
    take(entry->second, lines);
    entry = over ? sessions_.erase(entry) : std::next(entry);
  }
  return lines;
}

std::vector<Json> EventStream::take() {
  std::vector<Json> all;
  for (const log::Event& event : log::events_after(last_)) {
    last_ = event.number;
    Json json{{"time", std::chrono::duration<double>(event.time.time_since_epoch()).count()},
              {"level", log::level_text(event.level)},
              {"event", event.message}};
    for (const log::Event::Value& field : event.fields)
      json[field.key] = field.is_number ? Json::parse(field.text) : Json(field.text);
    all.push_back(std::move(json));
  }
  return all;
}

ProfileStream::ProfileStream(SessionRecordPtr record) : record_(std::move(record)), before_(read(*record_)) {}

ProfileStream::All ProfileStream::read(const SessionRecord& record) {
  All all;
  const auto& profile = record.memory->stats().profile;
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = {profile[i].calls.load(std::memory_order_relaxed), profile[i].bytes.load(std::memory_order_relaxed),
              profile[i].nanoseconds.load(std::memory_order_relaxed)};
  return all;
}

Json ProfileStream::result() const {
  const All after = read(*record_);
  std::vector<std::pair<std::uint64_t, Json>> calls;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const std::uint64_t count = difference(after[i].calls, before_[i].calls);
    if (count == 0) continue;
    const std::uint64_t nanoseconds = difference(after[i].nanoseconds, before_[i].nanoseconds);
    calls.emplace_back(nanoseconds, Json{{"call", protocol::kCalls[i].name},
                                         {"count", count},
                                         {"bytes", difference(after[i].bytes, before_[i].bytes)},
                                         {"seconds", static_cast<double>(nanoseconds) / 1e9}});
  }
  std::stable_sort(calls.begin(), calls.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  Json list = Json::array();
  for (auto& [time, call] : calls) list.push_back(std::move(call));
  return {{"session", record_->session},
          {"vm", record_->vm},
          {"pool", record_->pool},
          {"process", record_->process},
          {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count()},
          {"ended", record_->place != nullptr && record_->place->is_reaped()},
          {"calls", std::move(list)}};
}

}  // namespace vgpu::daemon
