#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>

#include "protocol/catalogue.hpp"
#include "protocol/record.hpp"

namespace vgpu::fuzz {

/// Fills a request with values that are likely to mean something: handles that exist, offsets in the staging area.
class SeedFields {
 public:
  explicit SeedFields(unsigned seed) : random_(seed) {}

  template <typename T>
  void operator()(std::string_view name, const T& value) {
    if (name == "zero") return;
    auto& field = const_cast<T&>(value);
    if constexpr (std::is_integral_v<T>) {
      static constexpr std::uint64_t kNumbers[]{0, 1, 2, 16, 64, 4096, 32764, ~std::uint64_t{0}};
      field = static_cast<T>(kNumbers[random_() % std::size(kNumbers)]);
    } else if constexpr (std::is_same_v<T, protocol::Offset>) {
      field = random_() % 4 == 0 ? protocol::kInline : protocol::Offset{VGPU_STAGING_OFFSET + random_() % 8192};
    } else if constexpr (std::is_same_v<T, protocol::Pointer>) {
      field = protocol::Pointer{random_() % 4096};
    } else if constexpr (std::is_same_v<T, protocol::CallableHandle>) {
      field = random_() % 2 == 0 ? protocol::CallableHandle{protocol::FunctionHandle::make(1, 1).value}
                                 : protocol::CallableHandle{protocol::KernelHandle::make(1, 1).value};
    } else if constexpr (requires { T::kPrefix; }) {
      field = T::make(1 + random_() % 2, 1);
    }
  }

 private:
  std::minstd_rand random_;
};

/// Appends a record of some call to the input (whose first nine bytes are mode and head); returns the new size.
inline std::size_t append_seed(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  using namespace protocol;
  if (size < 9) {
    if (max_size < 9) return size;
    std::memset(data, 0, 9);
    data[0] = 1;
    size = 9;
  }
  const u32 index = seed % kCallCount;
  alignas(8) std::byte request[kMaxRequestBytes]{};
  switch (index) {
#define CALL(number, name, mode)                                            \
  case call::name::index: {                                                 \
    call::name::Request value{};                                            \
    visit(value, SeedFields(seed));                                         \
    if constexpr (!std::is_empty_v<call::name::Request>)                    \
      std::memcpy(request, static_cast<const void*>(&value), sizeof value); \
    break;                                                                  \
  }
#define IN(type, field)
#define OUT(type, field)
#define END(name)
#include "protocol/catalogue.def"
#undef CALL
#undef IN
#undef OUT
#undef END
    default:
      break;
  }
  vgpu_record header{};
  header.call = static_cast<u16>(index);  // the target takes it modulo the number of calls
  header.slot = seed % VGPU_SLOT_COUNT;
  header.ticket = 1;
  header.context = 1;
  header.tail_bytes = (seed >> 8) % 3 * 16;
  header.bytes = record_bytes(kCalls[index].request_bytes, header.tail_bytes);
  if (size + header.bytes > max_size) return size;
  std::memset(data + size, 'a', header.bytes);
  std::memcpy(data + size, &header, sizeof header);
  std::memcpy(data + size + sizeof header, request, kCalls[index].request_bytes);
  return size + header.bytes;
}

}  // namespace vgpu::fuzz
