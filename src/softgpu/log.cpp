#include "softgpu/log.hpp"

#include <atomic>
#include <cstdio>

namespace {

std::atomic<void (*)(int, const char*)> hook{nullptr};

}  // namespace

extern "C" void vgpu_softgpu_set_log(void (*log)(int level, const char* text)) { hook.store(log); }

namespace vgpu::softgpu {

void log_text(LogLevel level, std::string text) noexcept {
  for (char& character : text) {
    if (character == '\n' || character == '\r') character = ' ';
  }
  try {
    text.insert(0, "softgpu: ");
    if (auto* log = hook.load()) {
      log(static_cast<int>(level), text.c_str());
    } else {
      text.push_back('\n');
      std::fwrite(text.data(), 1, text.size(), stderr);
    }
  } catch (const std::bad_alloc&) {
    std::fputs("softgpu: out of memory while logging\n", stderr);
  }
}

}  // namespace vgpu::softgpu
