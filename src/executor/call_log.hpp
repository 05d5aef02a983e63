#pragma once
#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>
#include <type_traits>

#include "executor/call_note.hpp"
#include "executor/cuda_api.hpp"
#include "protocol/catalogue.hpp"

namespace vgpu::executor {

class Session;

/// Appends " field=value" for each field of a request or reply; what says nothing is left out.
class FieldPrinter {
 public:
  explicit FieldPrinter(std::string& out) : out_(out) {}

  template <typename T>
  void operator()(std::string_view field, const T& value) {
    if (field == "zero" || field == "reserved") return;
    print(field, value);
  }

 private:
  template <typename T>
  requires std::is_integral_v<T>
  void print(std::string_view field, T value) { fmt::format_to(std::back_inserter(out_), " {}={}", field, value); }
  void print(std::string_view field, protocol::Pointer value);
  void print(std::string_view field, protocol::Offset value);
  void print(std::string_view field, protocol::FloatBits value);
  void print(std::string_view field, const protocol::InlineParameters& value);
  template <typename T, std::size_t N>
  void print(std::string_view field, const std::array<T, N>& value) {
    fmt::format_to(std::back_inserter(out_), " {}={}", field, fmt::join(value, ","));
  }
  void print(std::string_view field, const protocol::CopySide& value) {
    fmt::format_to(std::back_inserter(out_), " {}={}:{:#x}+{},{},{} pitch={}", field, value.kind, value.base, value.x,
                   value.y, value.z, value.pitch);
  }
  void print(std::string_view field, const protocol::CopyExtent& value) {
    fmt::format_to(std::back_inserter(out_), " {}={}x{}x{}", field, value.width, value.height, value.depth);
  }
  void print(std::string_view field, const protocol::ArrayShape& value) {
    fmt::format_to(std::back_inserter(out_), " {}={}x{}x{} format={:#x} channels={} flags={:#x}", field, value.width,
                   value.height, value.depth, value.format, value.channels, value.flags);
  }
  void print(std::string_view field, const protocol::TextureResource& value) {
    fmt::format_to(std::back_inserter(out_), " {}={}:{:#x} {}x{}", field, value.type, value.base, value.width,
                   value.height);
  }
  void print(std::string_view field, const protocol::TextureSampling& value) {
    fmt::format_to(std::back_inserter(out_), " {}={:#x}", field, value.flags);
  }
  void print(std::string_view field, const protocol::TextureView& value) {
    if (value.given != 0) fmt::format_to(std::back_inserter(out_), " {}={}", field, value.format);
  }
  void print(std::string_view field, const protocol::DeviceResource& value) {
    fmt::format_to(std::back_inserter(out_), " {}={} multiprocessors={}", field, value.number, value.multiprocessors);
  }
  void print(std::string_view field, const protocol::TensorDescription& value) {
    print(field, value.address);
    print("rank", value.rank);
    print("dimensions", value.dimensions);
  }
  void print(std::string_view field, protocol::CallableHandle value) { handle(field, value.value); }
  template <protocol::Kind K>
  void print(std::string_view field, protocol::Handle<K> value) {
    handle(field, value.value);
  }
  void handle(std::string_view field, protocol::u64 value);

  std::string& out_;
};

/// Tells of a call that is answered now whoever watches it; `reply`: its fields, each as " field=value". Any thread.
void tell(Session& session, const CallNote& note, protocol::u32 call, CUresult result, std::string_view reply = {});

/// The first words of each line of a session: who it is.
std::string log_identity(const Session& session);

}  // namespace vgpu::executor
