#pragma once
#include <array>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include "protocol/layout.h"
#include "protocol/types.hpp"

/// What is derived from catalogue.def: for each call `Name`
///   call::Name            traits: number, index, mode, name, Request, Reply
///   call::Name::Request   the request's fields; trivially copyable, no padding
///   call::Name::Reply     the reply's fields; at most VGPU_SLOT_REPLY_BYTES
///   visit(request, f)     calls f("field", value) for each field; so for replies
/// and kCalls, a table of all of them ordered by number.
namespace vgpu::protocol {

struct InlineParameters {
  std::array<ParameterLayout, kInlineParameters> layout;
};

namespace call {

// Requests.
#define CALL(number, call_name, mode) struct call_name##_request {
#define IN(type, field) type field;
#define OUT(type, field)
#define END(call_name) \
  }                    \
  ;
#include "protocol/catalogue.def"
#undef CALL
#undef IN
#undef OUT
#undef END

// Replies.
#define CALL(number, call_name, mode) struct call_name##_reply {
#define IN(type, field)
#define OUT(type, field) type field;
#define END(call_name) \
  }                    \
  ;
#include "protocol/catalogue.def"
#undef CALL
#undef IN
#undef OUT
#undef END

// Visitors.
#define CALL(number, call_name, mode) \
  template <typename F>               \
  void visit([[maybe_unused]] const call_name##_request& record, [[maybe_unused]] F&& f) {
#define IN(type, field) f(#field, record.field);
#define OUT(type, field)
#define END(call_name) }
#include "protocol/catalogue.def"
#undef CALL
#undef IN
#undef OUT
#undef END

#define CALL(number, call_name, mode) \
  template <typename F>               \
  void visit([[maybe_unused]] const call_name##_reply& record, [[maybe_unused]] F&& f) {
#define IN(type, field)
#define OUT(type, field) f(#field, record.field);
#define END(call_name) }
#include "protocol/catalogue.def"
#undef CALL
#undef IN
#undef OUT
#undef END

/// Dense indices, in catalogue order: for tables and counters. Not part of the wire.
enum class Index : u32 {
#define CALL(number, call_name, mode) call_name,
#define IN(type, field)
#define OUT(type, field)
#define END(call_name)
#include "protocol/catalogue.def"
#undef CALL
  kCount
};

// Traits.
#define CALL(call_number, call_name, call_mode)                                \
  struct call_name {                                                           \
    static constexpr u16 number = call_number;                                 \
    static constexpr u32 index = static_cast<u32>(Index::call_name);           \
    static constexpr Mode mode = Mode::call_mode;                              \
    static constexpr const char* name = #call_name;                            \
    using Request = call_name##_request;                                       \
    using Reply = call_name##_reply;                                           \
  };                                                                           \
  static_assert(std::is_trivially_copyable_v<call_name##_request>);            \
  static_assert(std::has_unique_object_representations_v<call_name##_request>, \
                #call_name ": the request has padding");                       \
  static_assert(sizeof(call_name##_request) % 8 == 0, #call_name ": the request is no multiple of 8 bytes");
#include "protocol/catalogue.def"
#undef CALL

#define CALL(call_number, call_name, call_mode)                                                                    \
  static_assert(std::is_trivially_copyable_v<call_name##_reply>);                                                  \
  static_assert(std::is_empty_v<call_name##_reply> || std::has_unique_object_representations_v<call_name##_reply>, \
                #call_name ": the reply has padding");                                                             \
  static_assert(std::is_empty_v<call_name##_reply> || sizeof(call_name##_reply) % 8 == 0);                         \
  static_assert(sizeof(call_name##_reply) <= VGPU_SLOT_REPLY_BYTES, #call_name ": the reply is too long for a slot");
#include "protocol/catalogue.def"
#undef CALL

}  // namespace call

inline constexpr u32 kCallCount = static_cast<u32>(call::Index::kCount);

template <typename T>
constexpr u32 wire_bytes() noexcept {
  return std::is_empty_v<T> ? 0 : static_cast<u32>(sizeof(T));
}

struct CallInfo {
  u16 number;
  Mode mode;
  u32 request_bytes;
  u32 reply_bytes;
  std::string_view name;
};

inline constexpr std::array<CallInfo, kCallCount> kCalls{{
#define CALL(call_number, call_name, call_mode)                                                                        \
  CallInfo{call_number, Mode::call_mode, wire_bytes<call::call_name::Request>(), wire_bytes<call::call_name::Reply>(), \
           #call_name},
#include "protocol/catalogue.def"
#undef CALL
#undef IN
#undef OUT
#undef END
}};

consteval bool numbers_ascend() {
  for (u32 i = 1; i < kCallCount; ++i)
    if (kCalls[i - 1].number >= kCalls[i].number) return false;
  return kCalls[0].number > VGPU_CALL_PAD;
}
static_assert(numbers_ascend(), "catalogue.def: numbers must be unique and ascend");

inline constexpr u32 kMaxCallNumber = kCalls[kCallCount - 1].number;
inline constexpr u16 kUnknownCall = 0xffff;

/// From a call's number to its index, or kUnknownCall. `number` may be anything.
inline constexpr auto kIndexOfNumber = [] {
  std::array<u16, kMaxCallNumber + 1> table{};
  table.fill(kUnknownCall);
  for (u32 i = 0; i < kCallCount; ++i) table[kCalls[i].number] = static_cast<u16>(i);
  return table;
}();
constexpr u16 index_of_number(u32 number) noexcept {
  return number <= kMaxCallNumber ? kIndexOfNumber[number] : kUnknownCall;
}

inline constexpr u32 kMaxRequestBytes = [] {
  u32 most = 0;
  for (const CallInfo& info : kCalls) most = info.request_bytes > most ? info.request_bytes : most;
  return most;
}();

}  // namespace vgpu::protocol
