// Batches of copies: as the copies that they are, in the order in which they stand.
#include <span>

#include "shim/array.hpp"
#include "shim/copy_box.hpp"

namespace vgpu::shim {
namespace {

constexpr size_t kNoCopy = ~size_t{0};  ///< for the index of a copy that failed: it is about none

bool good_attributes(CUmemcpySrcAccessOrder order, u32 flags) noexcept {
  return order >= CU_MEMCPY_SRC_ACCESS_ORDER_STREAM && order <= CU_MEMCPY_SRC_ACCESS_ORDER_ANY &&
         (flags & ~static_cast<u32>(CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE)) == 0;
}

/// When a batch's sources are read. Of pageable memory a copy reads the source at once, and nothing else before the
/// stream gets there.
class Sources {
 public:
  Sources(const Context& context, StreamHandle stream) noexcept : context_(context), stream_(stream) {}

  CUresult before(CUmemcpySrcAccessOrder order, Where source) {
    const bool pageable = source == Where::pageable;
    if (order == CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL && !pageable) during_call_ = true;
    if (order != CU_MEMCPY_SRC_ACCESS_ORDER_STREAM || !pageable || reached_) return CUDA_SUCCESS;
    reached_ = true;
    return ask<call::cuStreamSynchronize>(context_.index(), {stream_});
  }
  CUresult after() { return during_call_ ? ask<call::cuStreamSynchronize>(context_.index(), {stream_}) : CUDA_SUCCESS; }

 private:
  const Context& context_;
  StreamHandle stream_;
  bool reached_ = false;      ///< what was in the stream before the batch is done
  bool during_call_ = false;  ///< a source must have been read before the call returns
};

struct Batch {
  const CUdeviceptr* destinations;
  const CUdeviceptr* sources;
  const size_t* sizes;
  size_t count;
  const CUmemcpyAttributes* attributes;
  const size_t* first;  ///< copy that each of the attributes begins with
  size_t attribute_count;
};

CUresult check(const Batch& it, size_t& failed) {
  if (!it.destinations || !it.sources || !it.sizes || it.count == 0 || !it.attributes || !it.first ||
      it.attribute_count == 0 || it.attribute_count > it.count || it.first[0] != 0)
    return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < it.attribute_count; ++i)
    if (it.first[i] >= it.count || (i != 0 && it.first[i] <= it.first[i - 1]) ||
        !good_attributes(it.attributes[i].srcAccessOrder, it.attributes[i].flags))
      return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < it.count; ++i)
    if (it.destinations[i] == 0 || it.sources[i] == 0) {
      failed = i;
      return CUDA_ERROR_INVALID_VALUE;
    }
  return CUDA_SUCCESS;
}

/// `failed`: which copy the error is about, or kNoCopy.
CUresult copy_batch(const Batch& it, CUstream stream, size_t& failed) {
  failed = kNoCopy;
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (handle.value == 0) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = check(it, failed);
    if (result != CUDA_SUCCESS) return result;
    Sources sources(context, handle);
    size_t attributes = 0;
    for (size_t i = 0; i < it.count; ++i) {
      if (attributes + 1 < it.attribute_count && it.first[attributes + 1] == i) ++attributes;
      result = sources.before(it.attributes[attributes].srcAccessOrder, where(it.sources[i], it.sizes[i]));
      if (result == CUDA_SUCCESS)
        result = copy(context, handle, it.destinations[i], it.sources[i], it.sizes[i], When::ordered);
      if (result != CUDA_SUCCESS) {
        failed = i;
        return result;
      }
    }
    return sources.after();
  });
}

/// Elements of an operand: bytes of a texel, or 1 in memory. 0: the operand is none.
u64 element_bytes(const CUmemcpy3DOperand& it) {
  if (it.type == CU_MEMCPY_OPERAND_TYPE_POINTER) return it.op.ptr.ptr != 0 ? 1 : 0;
  if (it.type != CU_MEMCPY_OPERAND_TYPE_ARRAY) return 0;
  const Array* array = state().arrays.find(reinterpret_cast<u64>(it.op.array.array));
  return array ? texel_bytes(array->shape) : 0;
}

/// Where an operand lies, in the words of a plain copy.
struct Operand {
  CUmemorytype type = CU_MEMORYTYPE_UNIFIED;
  CUdeviceptr pointer = 0;
  CUarray array = nullptr;
  size_t x = 0, y = 0, z = 0;
  size_t pitch = 0, rows = 0;
};

CUresult read_operand(const CUmemcpy3DOperand& it, const CUextent3D& extent, u64 element, Operand& operand) {
  if (it.type == CU_MEMCPY_OPERAND_TYPE_ARRAY) {
    const CUoffset3D& offset = it.op.array.offset;
    operand = {CU_MEMORYTYPE_ARRAY, 0, it.op.array.array, offset.x * element, offset.y, offset.z};
    return CUDA_SUCCESS;
  }
  const auto& memory = it.op.ptr;
  if ((memory.rowLength != 0 && memory.rowLength < extent.width) ||
      (memory.layerHeight != 0 && memory.layerHeight < extent.height))
    return CUDA_ERROR_INVALID_VALUE;
  operand.pointer = memory.ptr;
  operand.pitch = (memory.rowLength != 0 ? memory.rowLength : extent.width) * element;
  operand.rows = memory.layerHeight != 0 ? memory.layerHeight : extent.height;
  return CUDA_SUCCESS;
}

/// A copy of a batch as the plain copy of the same bytes.
CUresult plain_copy(const CUDA_MEMCPY3D_BATCH_OP& it, CUDA_MEMCPY3D& plain) {
  if (!good_attributes(it.srcAccessOrder, it.flags) || it.extent.width == 0 || it.extent.height == 0 ||
      it.extent.depth == 0)
    return CUDA_ERROR_INVALID_VALUE;
  const u64 from_element = element_bytes(it.src);
  const u64 to_element = element_bytes(it.dst);
  const bool both = it.src.type == CU_MEMCPY_OPERAND_TYPE_ARRAY && it.dst.type == CU_MEMCPY_OPERAND_TYPE_ARRAY;
  if (from_element == 0 || to_element == 0 || (both && from_element != to_element)) return CUDA_ERROR_INVALID_VALUE;
  const u64 element = std::max(from_element, to_element);
  Operand from;
  Operand to;
  CUresult result = read_operand(it.src, it.extent, element, from);
  if (result == CUDA_SUCCESS) result = read_operand(it.dst, it.extent, element, to);
  if (result != CUDA_SUCCESS) return result;
  plain.srcMemoryType = from.type;
  plain.srcDevice = from.pointer;
  plain.srcArray = from.array;
  plain.srcXInBytes = from.x;
  plain.srcY = from.y;
  plain.srcZ = from.z;
  plain.srcPitch = from.pitch;
  plain.srcHeight = from.rows;
  plain.dstMemoryType = to.type;
  plain.dstDevice = to.pointer;
  plain.dstArray = to.array;
  plain.dstXInBytes = to.x;
  plain.dstY = to.y;
  plain.dstZ = to.z;
  plain.dstPitch = to.pitch;
  plain.dstHeight = to.rows;
  plain.WidthInBytes = it.extent.width * element;
  plain.Height = it.extent.height;
  plain.Depth = it.extent.depth;
  return CUDA_SUCCESS;
}

CUresult copy_batch_3d(std::span<const CUDA_MEMCPY3D_BATCH_OP> list, u64 flags, CUstream stream, size_t& failed) {
  failed = kNoCopy;
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (handle.value == 0 || flags != 0 || list.empty() || !list.data()) return CUDA_ERROR_INVALID_VALUE;
    Sources sources(context, handle);
    for (size_t i = 0; i < list.size(); ++i) {
      CUDA_MEMCPY3D plain{};
      Box box;
      CUresult result = plain_copy(list[i], plain);
      if (result == CUDA_SUCCESS) result = read_box(plain, box);
      if (result == CUDA_SUCCESS) result = sources.before(list[i].srcAccessOrder, box.from.where);
      if (result == CUDA_SUCCESS) result = copy_box(context, handle, box, When::ordered);
      if (result != CUDA_SUCCESS) {
        failed = i;
        return result;
      }
    }
    return sources.after();
  });
}

}  // namespace
}  // namespace vgpu::shim

using namespace vgpu::shim;

CUresult cuMemcpyBatchAsync(CUdeviceptr* destinations, CUdeviceptr* sources, size_t* sizes, size_t count,
                            CUmemcpyAttributes* attributes, size_t* first, size_t attribute_count, CUstream stream) {
  size_t failed = kNoCopy;
  return copy_batch({destinations, sources, sizes, count, attributes, first, attribute_count}, stream, failed);
}

CUresult cuMemcpy3DBatchAsync(size_t count, CUDA_MEMCPY3D_BATCH_OP* list, unsigned long long flags, CUstream stream) {
  size_t failed = kNoCopy;
  return copy_batch_3d({list, count}, flags, stream, failed);
}

// The forms of CUDA 12.8 and 12.9.
#undef cuMemcpyBatchAsync
#undef cuMemcpy3DBatchAsync
extern "C" CUresult CUDAAPI cuMemcpyBatchAsync(CUdeviceptr* destinations, CUdeviceptr* sources, size_t* sizes,
                                               size_t count, CUmemcpyAttributes* attributes, size_t* first,
                                               size_t attribute_count, size_t* failed, CUstream stream) {
  size_t which = kNoCopy;
  const CUresult result =
      copy_batch({destinations, sources, sizes, count, attributes, first, attribute_count}, stream, which);
  if (failed && result != CUDA_SUCCESS) *failed = which;
  return result;
}

extern "C" CUresult CUDAAPI cuMemcpy3DBatchAsync(size_t count, CUDA_MEMCPY3D_BATCH_OP* list, size_t* failed,
                                                 unsigned long long flags, CUstream stream) {
  size_t which = kNoCopy;
  const CUresult result = copy_batch_3d({list, count}, flags, stream, which);
  if (failed && result != CUDA_SUCCESS) *failed = which;
  return result;
}
