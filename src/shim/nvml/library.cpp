// The library's state: whether it is initialized, what the host said last, the handles.
#include "shim/nvml/library.hpp"

#include <pthread.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <new>

#include "shim/say_once.hpp"

struct nvmlDevice_st {
  std::array<char, 48> uuid{};
};

namespace vgpu::nvml {
namespace {

using Clock = std::chrono::steady_clock;

/// Ten questions of one glance cost one exchange.
constexpr std::chrono::milliseconds kFresh{100};
constexpr std::size_t kHandles = 64;

struct Library {
  std::mutex mutex;
  unsigned users = 0;
  Answer last;
  Clock::time_point asked{};
  bool asked_ever = false;
  Answer (*host)() = nullptr;
  std::size_t handles = 0;
  std::array<nvmlDevice_st, kHandles> handle;
};

/// Never destroyed: programs ask in their exit handlers.
Library& library() noexcept {
  static Library* const the = [] {
    auto* const made = new Library;
    // A thread that is asking while another one forks would leave the lock taken in the child for ever.
    ::pthread_atfork(nullptr, nullptr, [] { new (&library().mutex) std::mutex; });
    return made;
  }();
  return *the;
}

/// Under the lock.
const Answer& fresh_answer(Library& self) {
  const auto now = Clock::now();
  if (!self.asked_ever || now - self.asked >= kFresh) {
    self.last = self.host != nullptr ? self.host() : ask_host();
    self.asked = Clock::now();
    self.asked_ever = true;
    if (self.last.status == nullptr) {
      const std::string line = "vgpu: NVML: " + self.last.reason;
      shim::say_once(line.c_str(), line.c_str());
    }
  }
  return self.last;
}

nvmlReturn_t initialize() noexcept {
  try {
    Library& self = library();
    const std::lock_guard lock(self.mutex);
    if (self.users == 0) {
      const Answer& answer = fresh_answer(self);
      if (answer.status == nullptr) return answer.result;
    }
    ++self.users;
    return NVML_SUCCESS;
  } catch (...) {
    return NVML_ERROR_MEMORY;
  }
}

}  // namespace

StatusPtr current_status(nvmlReturn_t& result) noexcept {
  try {
    Library& self = library();
    const std::lock_guard lock(self.mutex);
    if (self.users == 0) {
      result = NVML_ERROR_UNINITIALIZED;
      return nullptr;
    }
    const Answer& answer = fresh_answer(self);
    result = answer.result;
    return answer.status;
  } catch (...) {
    result = NVML_ERROR_MEMORY;
    return nullptr;
  }
}

bool is_initialized() noexcept {
  Library& self = library();
  const std::lock_guard lock(self.mutex);
  return self.users != 0;
}

nvmlReturn_t handle_of(const StatusGpu& gpu, nvmlDevice_t* device) noexcept {
  Library& self = library();
  const std::lock_guard lock(self.mutex);
  for (std::size_t i = 0; i < self.handles; ++i) {
    if (self.handle[i].uuid != gpu.uuid) continue;
    *device = &self.handle[i];
    return NVML_SUCCESS;
  }
  if (self.handles == kHandles) return NVML_ERROR_MEMORY;
  nvmlDevice_st& made = self.handle[self.handles++];
  made.uuid = gpu.uuid;
  *device = &made;
  return NVML_SUCCESS;
}

const StatusGpu* find_gpu(const Status& status, nvmlDevice_t device, nvmlReturn_t& result) noexcept {
  Library& self = library();
  std::array<char, 48> uuid;
  {
    const std::lock_guard lock(self.mutex);
    result = NVML_ERROR_INVALID_ARGUMENT;
    std::size_t found = 0;
    while (found < self.handles && &self.handle[found] != device) ++found;
    if (found == self.handles) return nullptr;
    uuid = self.handle[found].uuid;
  }
  result = NVML_ERROR_GPU_IS_LOST;
  for (u32 i = 0; i < status.gpu_count; ++i)
    if (status.gpus[i].uuid == uuid) return &status.gpus[i];
  return nullptr;
}

void set_host(Answer (*host)()) noexcept {
  Library& self = library();
  const std::lock_guard lock(self.mutex);
  self.host = host;
  self.asked_ever = false;
  self.users = 0;
}

nvmlReturn_t give_text(std::string_view text, char* buffer, unsigned int length) noexcept {
  if (buffer == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (text.size() >= length) return NVML_ERROR_INSUFFICIENT_SIZE;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  return NVML_SUCCESS;
}

}  // namespace vgpu::nvml

nvmlReturn_t nvmlInit_v2() { return vgpu::nvml::initialize(); }
nvmlReturn_t nvmlInit() { return vgpu::nvml::initialize(); }
nvmlReturn_t nvmlInitWithFlags(unsigned int) { return vgpu::nvml::initialize(); }

nvmlReturn_t nvmlShutdown() {
  vgpu::nvml::Library& self = vgpu::nvml::library();
  const std::lock_guard lock(self.mutex);
  if (self.users == 0) return NVML_ERROR_UNINITIALIZED;
  --self.users;
  return NVML_SUCCESS;
}
