#include "executor/session.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "common/cuda_errors.hpp"
#include "common/cuda_names.hpp"
#include "executor/call_log.hpp"
#include "protocol/catalogue.hpp"
#include "protocol/end_reason.hpp"
#include "protocol/ring.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

void answer_host_function(Session& session, Answer answer, const HostFunctions::Due& due) {
  const call::vgpuServeHostFunctions::Reply reply{due.id, static_cast<i32>(due.status), due.due};
  session.completions.complete(answer, CUDA_SUCCESS, &reply, wire_bytes<call::vgpuServeHostFunctions::Reply>(), false);
  // The reader thread may wait for the stream to drain.
  session.signal.raise();
}

}  // namespace

Session::Session(const SessionConfig& session_config, const Driver& driver, Region& shared_region,
                 SessionStats& counters, Link& daemon, Waker& waker)
    : config(session_config),
      cuda(driver),
      region(shared_region),
      stats(counters),
      link(daemon),
      log(spdlog::default_logger()),
      watch(session_config.watch),
      account(session_config.account, counters),
      memory(account, driver),
      completions(shared_region.slots(), waker),
      kernel_text(session_config.kernel_text, *shared_region.control()),
      host_functions([this](Answer answer, const HostFunctions::Due& due) { answer_host_function(*this, answer, due); },
                     region.control()->host_functions_done),
      images(session_config.images_folder, session_config.images_bytes),
      parking(*this),
      backlog(driver, contexts, parking.events()),
      workers(driver, contexts, [this] { signal.raise(); }),
      named_unsupported_(SessionStats::kMaxNames) {}

Session::~Session() { host_functions.end(); }

void Session::end(vgpu_end_reason reason, std::string_view text) {
  if (ending_.exchange(true, std::memory_order_acq_rel)) return;
  vgpu_control& control = *region.control();
  shared(control.end_reason).store(reason, std::memory_order_relaxed);
  shared(control.end_result).store(CUDA_ERROR_UNKNOWN, std::memory_order_relaxed);
  // Whoever sees the state sees reason and result.
  shared(control.state).store(VGPU_STATE_ENDED, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  completions.wake_all();
  host_functions.end();
  if (reason != VGPU_END_CLOSED)
    log->debug("msg=\"session ended\" {} reason={} text=\"{}\"", log_identity(*this), end_reason_text(reason), text);
  ExecutorEvent event;
  event.type = ExecutorEvent::Type::ended;
  event.reason = reason;
  event.result = CUDA_ERROR_UNKNOWN;
  set_text(event, text);
  link.send(event);
  // Last: the process leaves as soon as the reader thread sees it.
  ended_.store(true, std::memory_order_release);
  signal.raise();
}

CUresult Session::synchronize(u32 context) {
  // What was freed behind the work that is waited for.
  const std::vector<Charge> freed = memory.freed_later(context);
  const CUresult result = synchronize_streams();
  memory.refresh();
  return result;
}

CUresult Session::synchronize_streams() {
  if (!captures.any()) return cuda.cuCtxSynchronize();
  CUresult result = CUDA_SUCCESS;
  handles.for_each<Kind::stream>([&](StreamHandle, void* native) {
    const auto stream = static_cast<CUstream>(native);
    if (!captures.captures(cuda, stream)) result = cuda.cuStreamSynchronize(stream);
    return result != CUDA_SUCCESS;
  });
  return result;
}

void Session::async_failure(CUresult result) noexcept {
  i32 none = 0;
  shared(region.control()->async_error)
      .compare_exchange_strong(none, static_cast<i32>(result), std::memory_order_acq_rel);
}

void Session::note_fault(CUresult result, std::string_view call) {
  if (!cuda_error_is_sticky(result) || faulted_.load(std::memory_order_relaxed) || faulted_.exchange(true)) return;
  const std::string name = cuda.result_name(result);
  log->debug("msg=fault {} result={} call={}", log_identity(*this), name, call);
  ExecutorEvent event;
  event.type = ExecutorEvent::Type::fault;
  event.reason = VGPU_END_GPU_FAULT;
  event.result = result;
  set_text(event, fmt::format("{} call={}", name, call));
  link.send(event);
}

void Session::count_unsupported(std::string_view name) {
  const std::optional<unsigned> index = cuda_name_index(name);
  const std::lock_guard lock(unsupported_mutex_);
  if (index && *index < SessionStats::kMaxNames) {
    bump(stats.unsupported_by_name[*index]);
    if (named_unsupported_[*index]) return;
    named_unsupported_[*index] = true;
    log->warn("msg=\"unsupported call\" {} call={}", log_identity(*this), name);
  } else if (!named_unknown_) {
    // The name is the guest's own words: it is not repeated in the log.
    named_unknown_ = true;
    log->warn("msg=\"unsupported call of an unknown name\" {} bytes={}", log_identity(*this), name.size());
  }
}

int Session::device_count() const noexcept {
  int count = 0;
  if (cuda.cuDeviceGetCount(&count) != CUDA_SUCCESS || count < 0) return 0;
  if (config.device < 0) return count;
  return config.device < count ? 1 : 0;
}

bool Session::device(i32 ordinal, CUdevice& native) const noexcept {
  if (ordinal < 0 || ordinal >= device_count()) return false;
  return cuda.cuDeviceGet(&native, config.device < 0 ? ordinal : config.device) == CUDA_SUCCESS;
}

void Session::register_staging(u32 context_index) noexcept {
  std::lock_guard lock(staging_mutex_);
  if (staging_context_ != 0 && contexts.serial(staging_context_) == staging_serial_) return;
  const CUresult result = cuda.cuMemHostRegister_v2(region.staging(), VGPU_STAGING_BYTES, CU_MEMHOSTREGISTER_PORTABLE);
  if (result == CUDA_SUCCESS || result == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED) {
    staging_context_ = context_index;
    staging_serial_ = contexts.serial(context_index);
  } else {
    // Copies work all the same, through the driver's own buffers.
    log->info("msg=\"staging area not registered\" {} result={}", log_identity(*this), static_cast<int>(result));
  }
}

}  // namespace vgpu::executor
