#include "executor/room.hpp"

namespace vgpu::executor {

using namespace protocol;

VGPU_HANDLER(cuStreamCreateWithPriority) {
  Room room(in, request.stream);
  if (room.result() != CUDA_SUCCESS) return room.result();
  CUstream stream = nullptr;
  const CUresult result = in.cuda.cuStreamCreateWithPriority(&stream, request.flags, request.priority);
  if (result == CUDA_SUCCESS) room.put(stream);
  return result;
}

VGPU_HANDLER(cuStreamDestroy) {
  const auto stream = in.session.handles.take<CUstream>(request.stream);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (const Captures::Entry* begun = in.session.captures.find(stream)) {
    // Nobody can end the capture any more: its graph goes with it.
    CUgraph graph = nullptr;
    const bool own = !begun->existing;
    if (own) in.session.graphs.drop(begun->graph);
    if (in.cuda.cuStreamEndCapture(stream, &graph) == CUDA_SUCCESS && own) in.cuda.cuGraphDestroy(graph);
    in.session.captures.end(stream);
  }
  in.session.unfinished.forget(stream);
  return in.cuda.cuStreamDestroy_v2(stream);
}

VGPU_HANDLER(cuStreamSynchronize) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  return in.answer_after(stream);
}

VGPU_HANDLER(cuStreamQuery) {
  CUstream stream = nullptr;
  if (!in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  return in.cuda.cuStreamQuery(stream);
}

VGPU_HANDLER(cuStreamWaitEvent) {
  CUstream stream = nullptr;
  const auto event = in.session.handles.find<CUevent>(request.event);
  if (event == nullptr || !in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  return in.cuda.cuStreamWaitEvent(stream, event, request.flags);
}

}  // namespace vgpu::executor
