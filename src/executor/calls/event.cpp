#include <bit>

#include "executor/room.hpp"

namespace vgpu::executor {

using namespace protocol;

VGPU_HANDLER(cuEventCreate) {
  Room room(in, request.event);
  if (room.result() != CUDA_SUCCESS) return room.result();
  CUevent event = nullptr;
  const CUresult result = in.cuda.cuEventCreate(&event, request.flags);
  if (result == CUDA_SUCCESS) room.put(event);
  return result;
}

VGPU_HANDLER(cuEventDestroy) {
  const auto event = in.session.handles.take<CUevent>(request.event);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return in.session.parking.awaited().destroy_later(event) ? CUDA_SUCCESS : in.cuda.cuEventDestroy_v2(event);
}

VGPU_HANDLER(cuEventRecordWithFlags) {
  CUstream stream = nullptr;
  const auto event = in.session.handles.find<CUevent>(request.event);
  if (event == nullptr || !in.stream(request.stream, stream)) return CUDA_ERROR_INVALID_HANDLE;
  // The plain form exists in every driver.
  return request.flags == 0 ? in.cuda.cuEventRecord(event, stream)
                            : in.cuda.cuEventRecordWithFlags(event, stream, request.flags);
}

VGPU_HANDLER(cuEventQuery) {
  const auto event = in.session.handles.find<CUevent>(request.event);
  return event != nullptr ? in.cuda.cuEventQuery(event) : CUDA_ERROR_INVALID_HANDLE;
}

VGPU_HANDLER(cuEventSynchronize) {
  const auto event = in.session.handles.find<CUevent>(request.event);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  in.wait_event = {event, in.header.context, in.session.contexts.serial(in.header.context)};
  in.wait_pooled = false;
  in.session.parking.awaited().add(event);
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuEventElapsedTime) {
  const auto start = in.session.handles.find<CUevent>(request.start);
  const auto end = in.session.handles.find<CUevent>(request.end);
  if (start == nullptr || end == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  float milliseconds = 0;
  const CUresult result = in.cuda.cuEventElapsedTime(&milliseconds, start, end);
  reply.milliseconds = std::bit_cast<FloatBits>(milliseconds);
  return result;
}

}  // namespace vgpu::executor
