// Copies between one row of an array and memory, or another's. Offsets and counts are bytes.
#include "shim/array.hpp"
#include "shim/copy_box.hpp"

using namespace vgpu::shim;

namespace {

struct End {
  CUmemorytype type;
  u64 at;  ///< address, or offset in the array
  CUarray array = nullptr;
};

End in_array(CUarray array, size_t offset) noexcept { return {CU_MEMORYTYPE_ARRAY, offset, array}; }
End on_device(CUdeviceptr pointer) noexcept { return {CU_MEMORYTYPE_DEVICE, pointer}; }
End on_host(const void* pointer) noexcept { return {CU_MEMORYTYPE_HOST, reinterpret_cast<u64>(pointer)}; }

/// Arrays of more than a row are copied with cuMemcpy2D and cuMemcpy3D.
bool one_row(const End& end) {
  if (end.type != CU_MEMORYTYPE_ARRAY) return true;
  const Array* array = state().arrays.find(reinterpret_cast<u64>(end.array));
  return !array || (array->shape.height <= 1 && array->shape.depth <= 1);
}

CUresult copy(CUstream stream, const End& to, const End& from, size_t bytes, When when) noexcept {
  return with_stream(stream, [&](Context& context, StreamHandle handle) -> CUresult {
    if (!one_row(to) || !one_row(from)) return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY3D whole{};
    whole.WidthInBytes = bytes;
    whole.Height = 1;
    whole.Depth = 1;
    whole.srcMemoryType = from.type;
    whole.srcArray = from.array;
    whole.srcXInBytes = from.array ? from.at : 0;
    whole.srcDevice = from.array ? 0 : from.at;
    whole.srcHost = reinterpret_cast<const void*>(whole.srcDevice);
    whole.dstMemoryType = to.type;
    whole.dstArray = to.array;
    whole.dstXInBytes = to.array ? to.at : 0;
    whole.dstDevice = to.array ? 0 : to.at;
    whole.dstHost = reinterpret_cast<void*>(whole.dstDevice);
    Box box;
    const CUresult result = read_box(whole, box);
    return result == CUDA_SUCCESS ? copy_box(context, handle, box, when) : result;
  });
}

}  // namespace

CUresult cuMemcpyAtoH(void* host, CUarray array, size_t offset, size_t bytes) {
  return copy(nullptr, on_host(host), in_array(array, offset), bytes, When::done);
}

CUresult cuMemcpyAtoHAsync(void* host, CUarray array, size_t offset, size_t bytes, CUstream stream) {
  return copy(stream, on_host(host), in_array(array, offset), bytes, When::ordered);
}

CUresult cuMemcpyHtoA(CUarray array, size_t offset, const void* host, size_t bytes) {
  return copy(nullptr, in_array(array, offset), on_host(host), bytes, When::done);
}

CUresult cuMemcpyHtoAAsync(CUarray array, size_t offset, const void* host, size_t bytes, CUstream stream) {
  return copy(stream, in_array(array, offset), on_host(host), bytes, When::ordered);
}

CUresult cuMemcpyAtoD(CUdeviceptr pointer, CUarray array, size_t offset, size_t bytes) {
  return copy(nullptr, on_device(pointer), in_array(array, offset), bytes, When::done);
}

CUresult cuMemcpyDtoA(CUarray array, size_t offset, CUdeviceptr pointer, size_t bytes) {
  return copy(nullptr, in_array(array, offset), on_device(pointer), bytes, When::done);
}

CUresult cuMemcpyAtoA(CUarray to, size_t to_offset, CUarray from, size_t from_offset, size_t bytes) {
  return copy(nullptr, in_array(to, to_offset), in_array(from, from_offset), bytes, When::done);
}
