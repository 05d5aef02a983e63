#include "executor/jit_options.hpp"

#include <cstring>

namespace vgpu::executor {

using namespace protocol;

namespace {

/// Options whose value is a plain number. All others point to memory, or stand for something that does.
bool is_number(u32 option) noexcept {
  switch (option) {
    case CU_JIT_MAX_REGISTERS:
    case CU_JIT_THREADS_PER_BLOCK:
    case CU_JIT_WALL_TIME:
    case CU_JIT_OPTIMIZATION_LEVEL:
    case CU_JIT_TARGET_FROM_CUCONTEXT:
    case CU_JIT_TARGET:
    case CU_JIT_FALLBACK_STRATEGY:
    case CU_JIT_GENERATE_DEBUG_INFO:
    case CU_JIT_LOG_VERBOSE:
    case CU_JIT_GENERATE_LINE_INFO:
    case CU_JIT_CACHE_MODE:
    case CU_JIT_FAST_COMPILE:
    case CU_JIT_LTO:
    case CU_JIT_FTZ:
    case CU_JIT_PREC_DIV:
    case CU_JIT_PREC_SQRT:
    case CU_JIT_FMA:
    case CU_JIT_OPTIMIZE_UNUSED_DEVICE_VARIABLES:
    case CU_JIT_POSITION_INDEPENDENT_CODE:
    case CU_JIT_MIN_CTA_PER_SM:
    case CU_JIT_MAX_THREADS_PER_BLOCK:
    case CU_JIT_OVERRIDE_DIRECTIVE_VALUES:
      return true;
    default:
      return false;
  }
}

}  // namespace

void JitOptions::add(CUjit_option option, void* value) {
  options_.push_back(option);
  values_.push_back(value);
}

CUresult JitOptions::read(Invocation& in, u32 count, std::span<const std::byte> from) {
  if (count > kMaxJitOptions || from.size() != count * sizeof(JitOption))
    return in.violate(VGPU_END_BAD_REQUEST, "count of options");
  for (u32 i = 0; i < count; ++i) {
    JitOption option;
    std::memcpy(&option, from.data() + i * sizeof option, sizeof option);
    if (option.zero != 0) return in.violate(VGPU_END_BAD_REQUEST, "a reserved field is not 0");
    if (!is_number(option.option)) return in.refuse();
    if (option.option == CU_JIT_WALL_TIME) wall_time_option_ = options_.size();
    add(static_cast<CUjit_option>(option.option), reinterpret_cast<void*>(option.value));
  }
  return CUDA_SUCCESS;
}

void JitOptions::add_logs(u32 info_bytes, u32 error_bytes) {
  const std::array<u32, 2> sizes{info_bytes, error_bytes};
  constexpr std::array kBuffers{CU_JIT_INFO_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER};
  constexpr std::array kSizes{CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  for (unsigned i = 0; i < 2; ++i) {
    if (sizes[i] == 0) continue;
    logs_[i].text.resize(sizes[i]);
    add(kBuffers[i], logs_[i].text.data());
    logs_[i].written_option = options_.size();
    add(kSizes[i], reinterpret_cast<void*>(u64{sizes[i]}));
  }
}

u32 JitOptions::write_log(const Log& log, std::byte* into) const {
  if (log.text.empty()) return 0;
  // The driver replaced the size by what it wrote: an unsigned int in the value's low half.
  const u64 written =
      std::min<u64>(static_cast<u32>(reinterpret_cast<u64>(values_[log.written_option])), log.text.size());
  std::memcpy(into, log.text.data(), written);
  return static_cast<u32>(written);
}

FloatBits JitOptions::wall_time() const {
  if (wall_time_option_ == kNoOption) return FloatBits{0};
  return FloatBits{static_cast<u32>(reinterpret_cast<u64>(values_[wall_time_option_]))};
}

}  // namespace vgpu::executor
