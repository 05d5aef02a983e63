#include "executor/callable.hpp"
#include "executor/graph_host_call.hpp"
#include "executor/launch_attributes.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// A kernel's packed parameters as the driver takes them. They may lie in the ring: the driver copies them before it
/// returns, and whatever the guest makes of them meanwhile it could have sent at first.
class PackedParameters {
 public:
  PackedParameters(const std::byte* data, std::size_t bytes) noexcept
      : bytes_(bytes),
        extra_{CU_LAUNCH_PARAM_BUFFER_POINTER, const_cast<std::byte*>(data), CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes_,
               CU_LAUNCH_PARAM_END} {}
  PackedParameters(const PackedParameters&) = delete;
  PackedParameters& operator=(const PackedParameters&) = delete;
  void** extra() noexcept { return bytes_ != 0 ? extra_.data() : nullptr; }

 private:
  std::size_t bytes_;
  std::array<void*, 5> extra_;
};

/// Looks stream and kernel up, and at the length of the parameters behind `before` bytes of the tail.
template <typename Request>
CUresult prepare(Invocation& in, const Request& request, std::size_t before, CUfunction& function, CUstream& stream) {
  if (request.parameter_bytes > kMaxParameterBytes || in.tail.size() != before + request.parameter_bytes)
    return in.violate(VGPU_END_BAD_REQUEST, "length of the parameters");
  function = find_callable(in.session, request.function);
  return function != nullptr && in.stream(request.stream, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

template <typename Request>
CUresult launch_with(Invocation& in, const Request& request, std::size_t before, LaunchAttributes& attributes) {
  CUfunction function = nullptr;
  CUstream stream = nullptr;
  CUresult result = prepare(in, request, before, function, stream);
  if (result != CUDA_SUCCESS) return result;
  PackedParameters parameters(in.tail.data() + before, request.parameter_bytes);
  const CUlaunchConfig config = launch_config(request, stream, attributes);
  result = in.cuda.cuLaunchKernelEx(&config, function, nullptr, parameters.extra());
  if (result == CUDA_SUCCESS) bump(in.session.stats.kernels_launched);
  return result;
}

}  // namespace

VGPU_HANDLER(cuLaunchKernel) {
  CUfunction function = nullptr;
  CUstream stream = nullptr;
  CUresult result = prepare(in, request, 0, function, stream);
  if (result != CUDA_SUCCESS) return result;
  PackedParameters parameters(in.tail.data(), request.parameter_bytes);
  result =
      in.cuda.cuLaunchKernel(function, request.grid_x, request.grid_y, request.grid_z, request.block_x, request.block_y,
                             request.block_z, request.shared_bytes, stream, nullptr, parameters.extra());
  if (result == CUDA_SUCCESS) bump(in.session.stats.kernels_launched);
  return result;
}

VGPU_HANDLER(cuLaunchKernelEx) {
  LaunchAttributes attributes;
  const CUresult result = attributes.read(in, request.attribute_count, "cuLaunchKernelEx");
  if (result != CUDA_SUCCESS) return result;
  return launch_with(in, request, request.attribute_count * sizeof(LaunchAttribute), attributes);
}

// The driver's own cuLaunchCooperativeKernel takes no packed parameters; the attribute means the same.
VGPU_HANDLER(cuLaunchCooperativeKernel) {
  LaunchAttributes attributes;
  CUlaunchAttribute cooperative{};
  cooperative.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  cooperative.value.cooperative = 1;
  attributes.add(cooperative);
  return launch_with(in, request, 0, attributes);
}

namespace {

struct HostCall {
  Session& session;
  u64 id;
};

void CUDA_CB run_host_function(void* data) {
  const std::unique_ptr<HostCall> call(static_cast<HostCall*>(data));
  call->session.host_functions.run(call->id, CUDA_SUCCESS);
}

void CUDA_CB run_stream_callback(CUstream, CUresult status, void* data) {
  const std::unique_ptr<HostCall> call(static_cast<HostCall*>(data));
  call->session.host_functions.run(call->id, status);
}

}  // namespace

VGPU_HANDLER(cuLaunchHostFunc) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  if (const CUgraph graph = in.session.captures.graph_of(in.cuda, stream)) {
    GraphHostCall* captured = nullptr;
    const CUresult result = make_graph_host_call(in.session, graph, request.id, captured);
    return result == CUDA_SUCCESS ? in.cuda.cuLaunchHostFunc(stream, &run_graph_host_call, captured) : result;
  }
  auto call = std::make_unique<HostCall>(HostCall{in.session, request.id});
  const CUresult result = in.cuda.cuLaunchHostFunc(stream, &run_host_function, call.get());
  if (result == CUDA_SUCCESS) static_cast<void>(call.release());
  return result;
}

VGPU_HANDLER(cuStreamAddCallback) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  auto call = std::make_unique<HostCall>(HostCall{in.session, request.id});
  const CUresult result = in.cuda.cuStreamAddCallback(stream, &run_stream_callback, call.get(), 0);
  if (result == CUDA_SUCCESS) static_cast<void>(call.release());
  return result;
}

}  // namespace vgpu::executor
