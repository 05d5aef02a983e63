#include <cstring>

#include "executor/enum_range.hpp"
#include "executor/jit_link.hpp"
#include "executor/jit_options.hpp"

namespace vgpu::executor {

using namespace protocol;

namespace {

/// Where the guest wants the link's logs; null with the session ended if that is not in the region.
std::byte* log_place(Invocation& in, const JitLink& link, Offset logs, CUresult& result) {
  result = CUDA_SUCCESS;
  if (link.options->log_bytes() == 0) return nullptr;
  std::byte* place = in.session.region.span(logs, link.options->log_bytes());
  if (place == nullptr) result = in.violate(VGPU_END_BAD_BULK, "logs");
  return place;
}

/// The guest could change the input under the driver's hands. A NUL follows it, for texts.
CUresult copy_input(Invocation& in, const call::cuLinkAddData::Request& request, std::vector<std::byte>& input) {
  if (request.bytes == 0 || request.bytes > kMaxImageBytes) return CUDA_ERROR_INVALID_IMAGE;
  const std::byte* from = in.session.region.span(request.data, request.bytes);
  if (from == nullptr) return in.violate(VGPU_END_BAD_BULK, "input of a link");
  input.reserve(request.bytes + 1);
  input.assign(from, from + request.bytes);
  input.push_back(std::byte{0});
  return CUDA_SUCCESS;
}

}  // namespace

VGPU_HANDLER(cuLinkCreate) {
  if (request.info_log_bytes > kMaxLogBytes || request.error_log_bytes > kMaxLogBytes)
    return in.violate(VGPU_END_BAD_REQUEST, "length of a log");
  const auto link = std::make_shared<JitLink>();
  CUresult result = link->options->read(in, request.option_count, in.tail);
  if (result != CUDA_SUCCESS) return result;
  link->options->add_logs(request.info_log_bytes, request.error_log_bytes);
  result =
      in.cuda.cuLinkCreate_v2(link->options->count(), link->options->options(), link->options->values(), &link->native);
  if (result != CUDA_SUCCESS) return result;
  if (in.session.links.put(request.link, link)) return CUDA_SUCCESS;
  in.cuda.cuLinkDestroy(link->native);
  return CUDA_ERROR_INVALID_HANDLE;
}

VGPU_HANDLER(cuLinkAddData) {
  const auto link = in.session.links.find(request.link);
  CUjitInputType type{};
  if (link == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (!to_enum<CU_JIT_INPUT_NVVM>(request.type, type)) return CUDA_ERROR_INVALID_VALUE;
  const u64 option_bytes = u64{request.option_count} * sizeof(JitOption);
  if (request.option_count > kMaxJitOptions || in.tail.size() < option_bytes ||
      in.tail.size() - option_bytes > kMaxNameBytes)
    return in.violate(VGPU_END_BAD_REQUEST, "options and name of an input");
  JitOptions options;
  CUresult result = options.read(in, request.option_count, in.tail.first(option_bytes));
  if (result != CUDA_SUCCESS) return result;
  const auto name = in.tail.subspan(option_bytes);
  const std::string text(reinterpret_cast<const char*>(name.data()), name.size());
  std::vector<std::byte> input;
  result = copy_input(in, request, input);
  if (result != CUDA_SUCCESS) return result;
  std::byte* logs = log_place(in, *link, request.logs, result);
  if (result != CUDA_SUCCESS) return result;
  const std::lock_guard lock(link->mutex);
  if (link->native == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  result =
      in.cuda.cuLinkAddData_v2(link->native, type, input.data(), request.bytes, text.empty() ? nullptr : text.c_str(),
                               options.count(), options.options(), options.values());
  link->options->write(logs, reply);
  return result;
}

VGPU_HANDLER(cuLinkComplete) {
  const auto link = in.session.links.find(request.link);
  if (link == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  CUresult result = CUDA_SUCCESS;
  std::byte* logs = log_place(in, *link, request.logs, result);
  if (result != CUDA_SUCCESS) return result;
  const std::lock_guard lock(link->mutex);
  if (link->native == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  void* image = nullptr;
  std::size_t bytes = 0;
  link->image = nullptr;  // the driver may give it up for the new one
  result = in.cuda.cuLinkComplete(link->native, &image, &bytes);
  link->options->write(logs, reply);
  if (result != CUDA_SUCCESS) return result;
  link->image = image;
  link->image_bytes = bytes;
  reply.image_bytes = bytes;
  return result;
}

VGPU_HANDLER(vgpuLinkImage) {
  const auto link = in.session.links.find(request.link);
  if (link == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::byte* into = in.session.region.span(request.into, request.bytes);
  if (into == nullptr) return in.violate(VGPU_END_BAD_BULK, "place for an image");
  const std::lock_guard lock(link->mutex);
  if (link->image == nullptr || request.bytes > link->image_bytes) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(into, link->image, request.bytes);
  return CUDA_SUCCESS;
}

VGPU_HANDLER(cuLinkDestroy) {
  const auto link = in.session.links.take(request.link);
  if (link == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  // Another thread of the guest may be about to use what it has found.
  const std::lock_guard lock(link->mutex);
  link->image = nullptr;
  return in.cuda.cuLinkDestroy(std::exchange(link->native, nullptr));
}

}  // namespace vgpu::executor
