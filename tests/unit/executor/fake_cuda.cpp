#include "fake_cuda.hpp"

#include <cstring>

namespace vgpu::test {

FakeCuda* FakeCuda::current = nullptr;

namespace {

FakeCuda& fake() { return *FakeCuda::current; }

constexpr std::size_t kMostDeviceBytes = 1 << 24;
const CUcontext kPrimary = reinterpret_cast<CUcontext>(0x8000);
thread_local CUcontext current_context = nullptr;

#define FUNCTION(name)                         \
  struct Name_##name {                         \
    static constexpr const char* text = #name; \
  };
#include "executor/driver_functions.def"
#undef FUNCTION

/// What a function does beside being noted: nothing, unless specialised.
template <typename Name>
struct Does {};

template <typename Name, typename F>
struct Entry;
template <typename Name, typename... Args>
struct Entry<Name, CUresult(Args...)> {
  static CUresult CUDAAPI call(Args... args) {
    CUresult result = CUDA_SUCCESS;
    if (!fake().enter(Name::text, result)) return result;
    if constexpr (requires { Does<Name>::call(args...); })
      return Does<Name>::call(args...);
    else
      return CUDA_SUCCESS;
  }
};

using Lock = std::lock_guard<std::mutex>;

CUresult submit(CUstream native) {
  FakeStream* stream = fake().stream(native);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  stream->submit();
  fake().changed.notify_all();
  return CUDA_SUCCESS;
}

template <>
struct Does<Name_cuDriverGetVersion> {
  static CUresult call(int* version) {
    *version = 13000;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuGetErrorName> {
  static CUresult call(CUresult result, const char** name) {
    *name = result == CUDA_SUCCESS ? "CUDA_SUCCESS" : "CUDA_ERROR_FAKE";
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuDeviceGetCount> {
  static CUresult call(int* count) {
    *count = 2;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuDeviceGet> {
  static CUresult call(CUdevice* device, int ordinal) {
    *device = ordinal;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuDeviceGetName> {
  static CUresult call(char* name, int bytes, CUdevice) {
    std::strncpy(name, "Fake GPU", static_cast<std::size_t>(bytes));
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuDeviceGetPCIBusId> {
  static CUresult call(char* name, int bytes, CUdevice) {
    std::strncpy(name, "0000:01:00.0", static_cast<std::size_t>(bytes));
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuDeviceGetUuid_v2> {
  static CUresult call(CUuuid* uuid, CUdevice) {
    std::memset(uuid->bytes, 7, sizeof uuid->bytes);
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuDeviceTotalMem_v2> {
  static CUresult call(std::size_t* bytes, CUdevice) {
    *bytes = std::size_t{1} << 34;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuDeviceGetAttribute> {
  static CUresult call(int* value, CUdevice_attribute attribute, CUdevice) {
    *value = static_cast<int>(attribute) + 1;
    return static_cast<int>(attribute) < 148 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  }
};
template <>
struct Does<Name_cuDeviceGetDefaultMemPool> {
  static CUresult call(CUmemoryPool* pool, CUdevice) {
    *pool = reinterpret_cast<CUmemoryPool>(0x9000);
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuDevicePrimaryCtxGetState> {
  static CUresult call(CUdevice, unsigned* flags, int* active) {
    const Lock lock(fake().mutex);
    *flags = 0;
    *active = fake().primary_references != 0;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuDevicePrimaryCtxRetain> {
  static CUresult call(CUcontext* context, CUdevice) {
    const Lock lock(fake().mutex);
    ++fake().primary_references;
    *context = kPrimary;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuDevicePrimaryCtxRelease_v2> {
  static CUresult call(CUdevice) {
    const Lock lock(fake().mutex);
    if (fake().primary_references == 0) return CUDA_ERROR_INVALID_CONTEXT;
    --fake().primary_references;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuCtxCreate_v2> {
  static CUresult call(CUcontext* context, unsigned, CUdevice) {
    const Lock lock(fake().mutex);
    *context = current_context = fake().make_handle<CUcontext>();
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuCtxSetCurrent> {
  static CUresult call(CUcontext context) {
    current_context = context;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuCtxSynchronize> {
  static CUresult call() {
    if (current_context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    std::unique_lock lock(fake().mutex);
    fake().changed.wait(lock, [] {
      for (const auto& [native, stream] : fake().streams)
        if (stream->finished != stream->submitted) return false;
      return true;
    });
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuCtxGetLimit> {
  static CUresult call(std::size_t* value, CUlimit limit) {
    *value = 100 + static_cast<std::size_t>(limit);
    return CUDA_SUCCESS;
  }
};

CUresult allocate(CUdeviceptr* pointer, std::size_t bytes) {
  const Lock lock(fake().mutex);
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > kMostDeviceBytes || fake().memory.size() > 64) return CUDA_ERROR_OUT_OF_MEMORY;
  auto block = std::make_unique<std::byte[]>(bytes);
  *pointer = reinterpret_cast<CUdeviceptr>(block.get());
  fake().memory_bytes[*pointer] = bytes;
  fake().memory[*pointer] = std::move(block);
  return CUDA_SUCCESS;
}
CUresult release_memory(CUdeviceptr pointer) {
  const Lock lock(fake().mutex);
  fake().memory_bytes.erase(pointer);
  return fake().memory.erase(pointer) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

template <>
struct Does<Name_cuMemAlloc_v2> {
  static CUresult call(CUdeviceptr* pointer, std::size_t bytes) {
    if (current_context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    return allocate(pointer, bytes);
  }
};
template <>
struct Does<Name_cuMemAllocPitch_v2> {
  static CUresult call(CUdeviceptr* pointer, std::size_t* pitch, std::size_t width, std::size_t height, unsigned) {
    if (width > kMostDeviceBytes || height > kMostDeviceBytes) return CUDA_ERROR_OUT_OF_MEMORY;
    *pitch = (width + 511) / 512 * 512;
    return allocate(pointer, *pitch * height);
  }
};
template <>
struct Does<Name_cuMemAllocAsync> {
  static CUresult call(CUdeviceptr* pointer, std::size_t bytes, CUstream) {
    const CUresult result = allocate(pointer, bytes);
    const Lock lock(fake().mutex);
    if (result == CUDA_SUCCESS) fake().pooled[*pointer] = bytes;
    return result;
  }
};
template <>
struct Does<Name_cuMemFree_v2> {
  static CUresult call(CUdeviceptr pointer) { return release_memory(pointer); }
};
template <>
struct Does<Name_cuMemFreeAsync> {
  static CUresult call(CUdeviceptr pointer, CUstream) {
    const CUresult result = release_memory(pointer);
    const Lock lock(fake().mutex);
    if (result == CUDA_SUCCESS) fake().pooled.erase(pointer);
    return result;
  }
};
template <>
struct Does<Name_cuMemGetInfo_v2> {
  static CUresult call(std::size_t* free, std::size_t* total) {
    *free = 1000;
    *total = 2000;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuMemHostRegister_v2> {
  static CUresult call(void* host, std::size_t bytes, unsigned) {
    const Lock lock(fake().mutex);
    const auto next = fake().registered.lower_bound(host);
    if (next != fake().registered.end() && static_cast<std::byte*>(host) + bytes > next->first)
      return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    if (next != fake().registered.begin() &&
        static_cast<std::byte*>(std::prev(next)->first) + std::prev(next)->second > host)
      return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    fake().registered[host] = bytes;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuMemHostUnregister> {
  static CUresult call(void* host) {
    const Lock lock(fake().mutex);
    return fake().registered.erase(host) != 0 ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  }
};
template <>
struct Does<Name_cuMemHostGetDevicePointer_v2> {
  static CUresult call(CUdeviceptr* pointer, void* host, unsigned) {
    *pointer = reinterpret_cast<CUdeviceptr>(host);
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuMemPoolGetAttribute> {
  static CUresult call(CUmemoryPool, CUmemPool_attribute attribute, void* value) {
    const int number = 1;
    std::memcpy(value, &number, sizeof number);
    if (attribute != CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT && attribute != CU_MEMPOOL_ATTR_USED_MEM_CURRENT)
      return CUDA_SUCCESS;
    const Lock lock(fake().mutex);
    cuuint64_t sum = 0;
    for (const auto& [pointer, bytes] : fake().pooled) sum += bytes;
    std::memcpy(value, &sum, sizeof sum);
    return CUDA_SUCCESS;
  }
};

template <>
struct Does<Name_cuMemcpyHtoDAsync_v2> {
  static CUresult call(CUdeviceptr destination, const void* source, std::size_t bytes, CUstream stream) {
    const Lock lock(fake().mutex);
    std::byte* into = fake().device_memory(destination, bytes);
    if (into == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(into, source, bytes);
    return submit(stream);
  }
};
template <>
struct Does<Name_cuMemcpyDtoHAsync_v2> {
  static CUresult call(void* destination, CUdeviceptr source, std::size_t bytes, CUstream stream) {
    const Lock lock(fake().mutex);
    const std::byte* from = fake().device_memory(source, bytes);
    if (from == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(destination, from, bytes);
    return submit(stream);
  }
};
template <>
struct Does<Name_cuMemcpyDtoDAsync_v2> {
  static CUresult call(CUdeviceptr destination, CUdeviceptr source, std::size_t bytes, CUstream stream) {
    const Lock lock(fake().mutex);
    std::byte* into = fake().device_memory(destination, bytes);
    const std::byte* from = fake().device_memory(source, bytes);
    if (into == nullptr || from == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::memmove(into, from, bytes);
    return submit(stream);
  }
};
template <>
struct Does<Name_cuMemcpy3DAsync_v2> {
  static CUresult call(const CUDA_MEMCPY3D* copy, CUstream stream) {
    const Lock lock(fake().mutex);
    if (copy->srcPitch < copy->WidthInBytes || copy->dstPitch < copy->WidthInBytes) return CUDA_ERROR_INVALID_VALUE;
    for (std::size_t row = 0; row < copy->Height * copy->Depth; ++row) {
      const std::size_t from_row = row / copy->Height * copy->srcHeight + row % copy->Height;
      const std::size_t to_row = row / copy->Height * copy->dstHeight + row % copy->Height;
      const std::byte* from =
          copy->srcMemoryType == CU_MEMORYTYPE_HOST
              ? static_cast<const std::byte*>(copy->srcHost) + from_row * copy->srcPitch
              : fake().device_memory(copy->srcDevice + from_row * copy->srcPitch, copy->WidthInBytes);
      std::byte* into = copy->dstMemoryType == CU_MEMORYTYPE_HOST
                            ? static_cast<std::byte*>(copy->dstHost) + to_row * copy->dstPitch
                            : fake().device_memory(copy->dstDevice + to_row * copy->dstPitch, copy->WidthInBytes);
      if (from == nullptr || into == nullptr) return CUDA_ERROR_INVALID_VALUE;
      std::memmove(into, from, copy->WidthInBytes);
    }
    return submit(stream);
  }
};
template <>
struct Does<Name_cuMemsetD8Async> {
  static CUresult call(CUdeviceptr destination, unsigned char value, std::size_t count, CUstream stream) {
    const Lock lock(fake().mutex);
    std::byte* into = fake().device_memory(destination, count);
    if (into == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::memset(into, value, count);
    return submit(stream);
  }
};

template <>
struct Does<Name_cuModuleLoadDataEx> {
  static CUresult call(CUmodule* module, const void* image, unsigned count, CUjit_option* options, void** values) {
    const Lock lock(fake().mutex);
    fake().image = static_cast<const char*>(image);
    for (unsigned i = 0; i < count; ++i) {
      if (options[i] == CU_JIT_INFO_LOG_BUFFER) std::strcpy(static_cast<char*>(values[i]), "ok");
      if (options[i] == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES) values[i] = reinterpret_cast<void*>(3);
    }
    *module = fake().make_handle<CUmodule>();
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuModuleGetFunction> {
  static CUresult call(CUfunction* function, CUmodule, const char* name) {
    const Lock lock(fake().mutex);
    if (std::strcmp(name, "missing") == 0) return CUDA_ERROR_NOT_FOUND;
    *function = fake().make_handle<CUfunction>();
    return CUDA_SUCCESS;
  }
};
CUresult parameter(std::size_t index, std::size_t* offset, std::size_t* size) {
  if (index > 1) return CUDA_ERROR_INVALID_VALUE;
  *offset = index * 8;
  *size = index == 0 ? 8 : 4;
  return CUDA_SUCCESS;
}
template <>
struct Does<Name_cuFuncGetParamInfo> {
  static CUresult call(CUfunction, std::size_t index, std::size_t* offset, std::size_t* size) {
    return parameter(index, offset, size);
  }
};
template <>
struct Does<Name_cuKernelGetParamInfo> {
  static CUresult call(CUkernel, std::size_t index, std::size_t* offset, std::size_t* size) {
    return parameter(index, offset, size);
  }
};
template <>
struct Does<Name_cuModuleGetGlobal_v2> {
  static CUresult call(CUdeviceptr* pointer, std::size_t* bytes, CUmodule, const char*) {
    *pointer = 0x123450;
    *bytes = 64;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuModuleGetFunctionCount> {
  static CUresult call(unsigned* count, CUmodule) {
    *count = 2;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuModuleEnumerateFunctions> {
  static CUresult call(CUfunction* functions, unsigned count, CUmodule) {
    for (unsigned i = 0; i < count; ++i) functions[i] = reinterpret_cast<CUfunction>(0x500ul + i);
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuFuncGetName> {
  static CUresult call(const char** name, CUfunction function) {
    *name = function == reinterpret_cast<CUfunction>(0x500) ? "first" : "second";
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuLibraryLoadData> {
  static CUresult call(CUlibrary* library, const void* image, CUjit_option*, void**, unsigned, CUlibraryOption*, void**,
                       unsigned) {
    const Lock lock(fake().mutex);
    fake().image = static_cast<const char*>(image);
    *library = fake().make_handle<CUlibrary>();
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuLibraryGetKernel> {
  static CUresult call(CUkernel* kernel, CUlibrary, const char*) {
    const Lock lock(fake().mutex);
    *kernel = fake().make_handle<CUkernel>();
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuLibraryGetModule> {
  static CUresult call(CUmodule* module, CUlibrary) {
    const Lock lock(fake().mutex);
    *module = fake().make_handle<CUmodule>();
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuLibraryGetGlobal> {
  static CUresult call(CUdeviceptr* pointer, std::size_t* bytes, CUlibrary, const char*) {
    *pointer = 0x123450;
    *bytes = 64;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuLibraryGetKernelCount> {
  static CUresult call(unsigned* count, CUlibrary) {
    *count = 0;
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuKernelGetFunction> {
  static CUresult call(CUfunction* function, CUkernel) {
    const Lock lock(fake().mutex);
    *function = fake().make_handle<CUfunction>();
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuFuncGetAttribute> {
  static CUresult call(int* value, CUfunction_attribute attribute, CUfunction) {
    *value = 10 + static_cast<int>(attribute);
    return CUDA_SUCCESS;
  }
};

CUresult launch(CUfunction function, CUstream stream, void** extra, unsigned attributes) {
  const Lock lock(fake().mutex);
  fake().parameters.clear();
  if (extra != nullptr) {
    const auto* data = static_cast<const std::byte*>(extra[1]);
    fake().parameters.assign(data, data + *static_cast<std::size_t*>(extra[3]));
  }
  fake().function = function;
  fake().attribute_count = attributes;
  return submit(stream);
}
template <>
struct Does<Name_cuLaunchKernel> {
  static CUresult call(CUfunction function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                       CUstream stream, void**, void** extra) {
    return launch(function, stream, extra, 0);
  }
};
template <>
struct Does<Name_cuLaunchKernelEx> {
  static CUresult call(const CUlaunchConfig* config, CUfunction function, void**, void** extra) {
    return launch(function, config->hStream, extra, config->numAttrs);
  }
};

/// The stream is held while its function runs.
template <typename Function>
CUresult call_back(CUstream native, Function function) {
  {
    const Lock lock(fake().mutex);
    FakeStream* stream = fake().stream(native);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    stream->held = true;
    stream->submit();
    if (fake().callbacks.size() > 64) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  FakeCuda* owner = FakeCuda::current;
  std::thread thread([owner, native, function] {
    function();
    owner->release(native);
  });
  const Lock lock(fake().mutex);
  fake().callbacks.push_back(std::move(thread));
  return CUDA_SUCCESS;
}
template <>
struct Does<Name_cuLaunchHostFunc> {
  static CUresult call(CUstream stream, CUhostFn function, void* data) {
    return call_back(stream, [=] { function(data); });
  }
};
template <>
struct Does<Name_cuStreamAddCallback> {
  static CUresult call(CUstream stream, CUstreamCallback function, void* data, unsigned) {
    return call_back(stream, [=] { function(stream, CUDA_SUCCESS, data); });
  }
};

template <>
struct Does<Name_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags> {
  static CUresult call(int* blocks, CUfunction, int, std::size_t, unsigned) {
    *blocks = 4;
    return CUDA_SUCCESS;
  }
};

template <>
struct Does<Name_cuStreamCreateWithPriority> {
  static CUresult call(CUstream* stream, unsigned, int) {
    const Lock lock(fake().mutex);
    *stream = fake().newest_stream = fake().make_handle<CUstream>();
    fake().streams[*stream] = std::make_unique<FakeStream>();
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuStreamDestroy_v2> {
  static CUresult call(CUstream stream) {
    const Lock lock(fake().mutex);
    return fake().streams.erase(stream) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  }
};
template <>
struct Does<Name_cuStreamQuery> {
  static CUresult call(CUstream native) {
    const Lock lock(fake().mutex);
    const FakeStream* stream = fake().stream(native);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return stream->finished == stream->submitted ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  }
};
template <>
struct Does<Name_cuEventCreate> {
  static CUresult call(CUevent* event, unsigned) {
    const Lock lock(fake().mutex);
    *event = fake().make_handle<CUevent>();
    fake().events[*event] = {nullptr, 0};
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuEventDestroy_v2> {
  static CUresult call(CUevent event) {
    const Lock lock(fake().mutex);
    return fake().events.erase(event) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  }
};
template <>
struct Does<Name_cuEventRecord> {
  static CUresult call(CUevent event, CUstream native) {
    const Lock lock(fake().mutex);
    const FakeStream* stream = fake().stream(native);
    const auto found = fake().events.find(event);
    if (stream == nullptr || found == fake().events.end()) return CUDA_ERROR_INVALID_HANDLE;
    found->second = {native, stream->submitted};
    return CUDA_SUCCESS;
  }
};
template <>
struct Does<Name_cuEventQuery> {
  static CUresult call(CUevent event) {
    const Lock lock(fake().mutex);
    if (!fake().events.contains(event)) return CUDA_ERROR_INVALID_HANDLE;
    return fake().event_done(event) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  }
};
template <>
struct Does<Name_cuEventElapsedTime> {
  static CUresult call(float* milliseconds, CUevent, CUevent) {
    *milliseconds = 1.5F;
    return CUDA_SUCCESS;
  }
};

}  // namespace

FakeCuda::FakeCuda() {
  current = this;
  streams[nullptr] = std::make_unique<FakeStream>();
#define FUNCTION(name) driver_.name = &Entry<Name_##name, decltype(::name)>::call;
#include "executor/driver_functions.def"
#undef FUNCTION
}

FakeCuda::~FakeCuda() {
  finish();
  current = nullptr;
}

void FakeCuda::finish() {
  std::vector<std::thread> threads;
  {
    const Lock lock(mutex);
    for (auto& [native, stream] : streams) {
      stream->held = false;
      stream->finished = stream->submitted;
    }
    threads.swap(callbacks);
  }
  changed.notify_all();
  for (std::thread& thread : threads) thread.join();
}

bool FakeCuda::enter(const char* name, CUresult& result) {
  const Lock lock(mutex);
  ++counts[name];
  const auto failure = failures.find(name);
  if (failure == failures.end()) return true;
  result = failure->second;
  return false;
}

unsigned FakeCuda::calls(const std::string& name) const {
  const Lock lock(mutex);
  const auto found = counts.find(name);
  return found == counts.end() ? 0 : found->second;
}

void FakeCuda::fail(const std::string& name, CUresult result) {
  const Lock lock(mutex);
  if (result == CUDA_SUCCESS)
    failures.erase(name);
  else
    failures[name] = result;
}

void FakeCuda::hold(CUstream native) {
  const Lock lock(mutex);
  stream(native)->held = true;
}

void FakeCuda::release(CUstream native) {
  const Lock lock(mutex);
  if (FakeStream* s = stream(native); s != nullptr) {
    s->held = false;
    s->finished = s->submitted;
  }
  changed.notify_all();
}

CUstream FakeCuda::last_stream() const {
  const Lock lock(mutex);
  return newest_stream;
}
std::vector<std::byte> FakeCuda::last_parameters() const {
  const Lock lock(mutex);
  return parameters;
}
CUfunction FakeCuda::last_function() const {
  const Lock lock(mutex);
  return function;
}
unsigned FakeCuda::last_attribute_count() const {
  const Lock lock(mutex);
  return attribute_count;
}
std::string FakeCuda::last_image() const {
  const Lock lock(mutex);
  return image;
}
std::size_t FakeCuda::allocations() const {
  const Lock lock(mutex);
  return memory.size();
}
std::size_t FakeCuda::registrations() const {
  const Lock lock(mutex);
  return registered.size();
}
unsigned FakeCuda::events_alive() const {
  const Lock lock(mutex);
  return static_cast<unsigned>(events.size());
}

std::byte* FakeCuda::device_memory(CUdeviceptr pointer, std::size_t bytes) {
  auto found = memory_bytes.upper_bound(pointer);
  if (found == memory_bytes.begin()) return nullptr;
  --found;
  const std::size_t offset = pointer - found->first;
  if (offset > found->second || bytes > found->second - offset) return nullptr;
  return memory[found->first].get() + offset;
}

FakeStream* FakeCuda::stream(CUstream native) {
  const auto found = streams.find(native);
  return found == streams.end() ? nullptr : found->second.get();
}

bool FakeCuda::event_done(CUevent event) {
  const auto found = events.find(event);
  if (found == events.end()) return true;
  const FakeStream* s = stream(found->second.first);
  return s == nullptr || s->finished >= found->second.second;
}

}  // namespace vgpu::test
