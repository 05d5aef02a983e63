// Table 21318c60, 93 words: identities of contexts and streams, which cuBLAS keeps its state by.
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "shim/tables/slot_table.hpp"

namespace vgpu::shim {
namespace {

constexpr auto kTable = TableId::kToolsContext;

// What slot 51 gives for a stream. Clients only hand it on; a real driver's object begins with a 1, so this one does.
struct StreamObject {
  std::uint64_t kind = 1;
  std::uint64_t unused[7] = {};
};

// One object for each stream ever asked for, by the stream's id, which is never used again: an old object is never
// taken for another stream's. They stay, since nobody says when a client has forgotten one.
struct StreamObjects {
  std::mutex mutex;
  std::map<std::uint64_t, std::unique_ptr<StreamObject>> by_id;
  std::map<const void*, std::uint64_t> ids;
};

// Never destroyed: other libraries' destructors may still ask at exit.
StreamObjects& stream_objects() {
  static auto& objects = *new StreamObjects;
  return objects;
}

// [3]
CUresult context_device(CUcontext context, CUdevice* device) noexcept {
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return driver::context_device(context, device);
}

// [4] As cuCtxGetId, except that for null it says 0 and succeeds, before cuInit too.
CUresult context_id(CUcontext context, std::uint64_t* id) noexcept {
  if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (context == nullptr) {
    *id = 0;
    return CUDA_SUCCESS;
  }
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  return driver::context_id(context, id);
}

// [51] The same object for every way to name a stream. A null stream is the legacy or the thread's default stream.
CUresult stream_object(CUcontext context, CUstream stream, void** object, std::uint8_t per_thread) noexcept try {
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (context == nullptr || !driver::context_exists(context)) return CUDA_ERROR_INVALID_HANDLE;
  if (stream == nullptr) stream = per_thread != 0 ? CU_STREAM_PER_THREAD : CU_STREAM_LEGACY;
  std::uint64_t id = 0;
  if (const CUresult result = driver::stream_id(context, stream, &id); result != CUDA_SUCCESS) {
    return result == CUDA_ERROR_INVALID_CONTEXT ? CUDA_ERROR_INVALID_HANDLE : result;
  }
  auto& objects = stream_objects();
  const std::lock_guard lock(objects.mutex);
  auto& kept = objects.by_id[id];
  if (kept == nullptr) {
    auto made = std::make_unique<StreamObject>();
    objects.ids.emplace(made.get(), id);
    kept = std::move(made);
  }
  *object = kept.get();
  return CUDA_SUCCESS;
} catch (const std::exception&) {
  return CUDA_ERROR_OUT_OF_MEMORY;
}

// [39] The id that cuStreamGetId gives for the stream of an object.
CUresult stream_object_id(CUcontext, void* object, std::uint64_t* id) noexcept {
  if (const CUresult state = driver::ready(); state != CUDA_SUCCESS) return state;
  if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
  auto& objects = stream_objects();
  const std::lock_guard lock(objects.mutex);
  const auto found = objects.ids.find(object);
  if (found == objects.ids.end()) return CUDA_ERROR_INVALID_HANDLE;
  *id = found->second;
  return CUDA_SUCCESS;
}

}  // namespace

const void* tools_context_table() noexcept {
  static const auto table = SlotTable<kTable, 93>()
                                .set(3, context_device)
                                .set(4, context_id)
                                .set(39, stream_object_id)
                                .set(51, stream_object);
  return table.data();
}

}  // namespace vgpu::shim
