#include <bit>
#include <cstdio>
#include <cstring>

#include "softgpu/ptx/machine.hpp"

/// vprintf, __assertfail, malloc and free (CUDA C++ Programming Guide, "Formatted Output", "Assertion" and "Dynamic
/// Global Memory Allocation and Operations").
namespace vgpu::softgpu::ptx {
namespace {

constexpr std::size_t kMaxString = 64 << 10;
constexpr unsigned kMaxConversions = 32;  ///< CUDA's own limit on arguments of printf

std::uint64_t local_value(const Warp& w, std::uint32_t lane, const Stretch& at) {
  std::uint64_t value = 0;
  const std::byte* from = w.local.data() + std::size_t{lane} * w.local_stride + w.local_base + at.offset;
  std::memcpy(&value, from, at.bytes < 8 ? at.bytes : 8);
  return value;
}

/// A string of the kernel, read once. False after a fault was raised.
bool read_string(Warp& w, std::uint32_t lane, std::uint64_t address, std::string& out) {
  if (address == 0) {
    out = "(null)";
    return true;
  }
  while (out.size() < kMaxString) {
    const std::byte* at = resolve(w, lane, address + out.size(), 1, false);
    if (at == nullptr) {
      w.raise(Fault::illegal_address, lane, address + out.size(), "a string that is not allocated");
      return false;
    }
    const char c = static_cast<char>(__atomic_load_n(reinterpret_cast<const unsigned char*>(at), __ATOMIC_RELAXED));
    if (c == '\0') return true;
    out += c;
  }
  return true;
}

class Printer {
 public:
  Printer(Warp& w, std::uint32_t lane, std::uint64_t arguments) : w_(w), lane_(lane), arguments_(arguments) {}

  bool print(const std::string& format, std::string& out, unsigned& conversions) {
    for (std::size_t i = 0; i < format.size();) {
      if (format[i] != '%') {
        out += format[i++];
        continue;
      }
      if (i + 1 < format.size() && format[i + 1] == '%') {
        out += '%';
        i += 2;
        continue;
      }
      std::size_t end = i + 1;
      std::string spec = "%";
      if (!specification(format, end, spec)) return false;
      if (end >= format.size() || conversions == kMaxConversions) {
        out.append(format, i, std::string::npos);
        return true;
      }
      if (!convert(format, end, spec, out)) return false;
      ++conversions;
      i = end + 1;
    }
    return true;
  }

 private:
  bool argument(std::uint32_t bytes, std::uint64_t& value) {
    offset_ = (offset_ + bytes - 1) / bytes * bytes;
    const std::byte* at = resolve(w_, lane_, arguments_ + offset_, bytes, false);
    if (at == nullptr) {
      w_.raise(Fault::illegal_address, lane_, arguments_ + offset_, "an argument of printf that is not allocated");
      return false;
    }
    value = 0;
    std::memcpy(&value, at, bytes);
    offset_ += bytes;
    return true;
  }

  /// Flags, width and precision; * takes its number from the arguments. Numbers are held to what printf can bear.
  bool specification(const std::string& format, std::size_t& end, std::string& spec) {
    while (end < format.size() && std::strchr("-+ #0", format[end]) != nullptr) {
      if (spec.size() < 8) spec += format[end];
      ++end;
    }
    for (int part = 0; part < 2; ++part) {
      if (part == 1) {
        if (end >= format.size() || format[end] != '.') break;
        spec += '.';
        ++end;
      }
      if (end < format.size() && format[end] == '*') {
        std::uint64_t number = 0;
        if (!argument(4, number)) return false;
        auto value = static_cast<std::int32_t>(number);
        if (value > 4096) value = 4096;
        if (value < -4096) value = -4096;
        if (part == 1 && value < 0) {
          spec.pop_back();
        } else {
          spec += std::to_string(value);
        }
        ++end;
      } else {
        unsigned number = 0;
        bool any = false;
        while (end < format.size() && format[end] >= '0' && format[end] <= '9') {
          number = number > 4096 ? 4096 : number * 10 + static_cast<unsigned>(format[end] - '0');
          any = true;
          ++end;
        }
        if (any) spec += std::to_string(number > 4096 ? 4096 : number);
      }
    }
    return true;
  }

  bool convert(const std::string& format, std::size_t& end, std::string& spec, std::string& out) {
    unsigned longs = 0;
    unsigned halves = 0;
    while (end < format.size() && std::strchr("lhzjtL", format[end]) != nullptr) {
      longs += format[end] != 'h' ? 1 : 0;
      halves += format[end] == 'h' ? 1 : 0;
      ++end;
    }
    if (end >= format.size()) {
      out += spec;
      return true;
    }
    const char kind = format[end];
    std::uint64_t value = 0;
    char text[8192];
    int length = 0;
    switch (kind) {
      case 'd':
      case 'i': {
        if (!argument(longs != 0 ? 8 : 4, value)) return false;
        long long number = longs != 0 ? static_cast<long long>(value) : static_cast<std::int32_t>(value);
        if (halves == 1) number = static_cast<std::int16_t>(number);
        if (halves >= 2) number = static_cast<std::int8_t>(number);
        length = std::snprintf(text, sizeof text, (spec + "lld").c_str(), number);
        break;
      }
      case 'u':
      case 'x':
      case 'X':
      case 'o': {
        if (!argument(longs != 0 ? 8 : 4, value)) return false;
        if (halves == 1) value &= 0xffff;
        if (halves >= 2) value &= 0xff;
        length = std::snprintf(text, sizeof text, (spec + "ll" + kind).c_str(), static_cast<unsigned long long>(value));
        break;
      }
      case 'c':
        if (!argument(4, value)) return false;
        length = std::snprintf(text, sizeof text, (spec + "c").c_str(), static_cast<int>(value));
        break;
      case 'p':
        if (!argument(8, value)) return false;
        length = std::snprintf(text, sizeof text, (spec + "p").c_str(), reinterpret_cast<void*>(value));  // NOLINT
        break;
      case 'f':
      case 'F':
      case 'e':
      case 'E':
      case 'g':
      case 'G':
      case 'a':
      case 'A':
        if (!argument(8, value)) return false;
        length = std::snprintf(text, sizeof text, (spec + kind).c_str(), std::bit_cast<double>(value));
        break;
      case 's': {
        std::string string;
        if (!argument(8, value) || !read_string(w_, lane_, value, string)) return false;
        std::string formatted(string.size() + 4200, '\0');
        length = std::snprintf(formatted.data(), formatted.size(), (spec + "s").c_str(), string.c_str());
        if (length > 0) out.append(formatted, 0, static_cast<std::size_t>(length));
        return true;
      }
      default:
        out += spec + kind;
        return true;
    }
    if (length > 0)
      out.append(text,
                 static_cast<std::size_t>(length) < sizeof text ? static_cast<std::size_t>(length) : sizeof text - 1);
    return true;
  }

  Warp& w_;
  std::uint32_t lane_;
  std::uint64_t arguments_;
  std::uint64_t offset_ = 0;
};

void print(Warp& w, const CallSite& site, std::uint32_t mask) {
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<std::uint32_t>(std::countr_zero(rest));
    std::string format;
    if (!read_string(w, lane, local_value(w, lane, site.arguments[0]), format)) return;
    std::string out;
    unsigned conversions = 0;
    if (!Printer(w, lane, local_value(w, lane, site.arguments[1])).print(format, out, conversions)) return;
    std::fwrite(out.data(), 1, out.size(), stdout);
    const auto result = static_cast<std::int32_t>(conversions);
    std::memcpy(w.local_of(lane) + w.local_base + site.results[0].offset, &result, sizeof result);
  }
  // The process that ends by a signal must not take a kernel's output with it.
  std::fflush(stdout);
}

void fail_assertion(Warp& w, const CallSite& site, std::uint32_t mask) {
  const auto lane = static_cast<std::uint32_t>(std::countr_zero(mask));
  std::string text[3];
  const std::size_t which[3] = {0, 1, 3};
  for (int i = 0; i < 3; ++i) {
    if (!read_string(w, lane, local_value(w, lane, site.arguments[which[i]]), text[i])) return;
  }
  const Block& block = *w.block;
  const auto line = static_cast<unsigned>(local_value(w, lane, site.arguments[2]));
  std::fprintf(stderr, "%s:%u: %s: block: [%u,%u,%u], thread: [%u,%u,%u] Assertion `%s` failed.\n", text[1].c_str(),
               line, text[2].c_str(), block.ctaid[0], block.ctaid[1], block.ctaid[2], w.specials.tid[0][lane],
               w.specials.tid[1][lane], w.specials.tid[2][lane], text[0].c_str());
  w.raise(Fault::assertion, lane, 0, "an assertion failed");
  w.fault_text += ": " + text[0].substr(0, 400);
}

/// malloc(bytes), or the aligned form with a second argument.
void allocate(Warp& w, const CallSite& site, std::uint32_t mask) {
  DeviceHeap* heap = w.block->grid->launch->heap;
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<std::uint32_t>(std::countr_zero(rest));
    const std::uint64_t bytes = local_value(w, lane, site.arguments[0]);
    const std::uint64_t align = site.arguments.size() == 2 ? local_value(w, lane, site.arguments[1]) : 16;
    const std::uint64_t address = heap != nullptr ? heap->allocate(bytes, align) : 0;
    std::memcpy(w.local_of(lane) + w.local_base + site.results[0].offset, &address, sizeof address);
  }
}

void release(Warp& w, const CallSite& site, std::uint32_t mask) {
  DeviceHeap* heap = w.block->grid->launch->heap;
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<std::uint32_t>(std::countr_zero(rest));
    const std::uint64_t address = local_value(w, lane, site.arguments[0]);
    if (address == 0 || (heap != nullptr && heap->release(address))) continue;
    w.raise(Fault::trap, lane, address, "free of an address that malloc did not give, or that is free already");
    return;
  }
}

/// Lanes set it one after another, so the last one's value stays, as with any racing stores.
void set_condition(Warp& w, const CallSite& site, std::uint32_t mask) {
  const auto set = w.block->grid->launch->set_condition;
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<std::uint32_t>(std::countr_zero(rest));
    const std::uint64_t handle = local_value(w, lane, site.arguments[0]);
    const auto value = static_cast<std::uint32_t>(local_value(w, lane, site.arguments[1]));
    if (set != nullptr && set(handle, value)) continue;
    w.raise(Fault::trap, lane, 0, "cudaGraphSetConditional of a handle that there is not");
    return;
  }
}

}  // namespace

void call_builtin(Warp& w, const CallSite& site, std::uint32_t mask) {
  if (site.builtin == Builtin::vprintf) print(w, site, mask);
  if (site.builtin == Builtin::assertfail) fail_assertion(w, site, mask);
  if (site.builtin == Builtin::heap_allocate) allocate(w, site, mask);
  if (site.builtin == Builtin::heap_release) release(w, site, mask);
  if (site.builtin == Builtin::set_condition) set_condition(w, site, mask);
}

}  // namespace vgpu::softgpu::ptx
