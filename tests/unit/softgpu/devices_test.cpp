#include <cstdlib>
#include <cstring>
#include <set>

#include "fixture.hpp"
#include "softgpu/softgpu.h"

using softgpu_test::download;
using softgpu_test::launch;
using softgpu_test::read_image_file;

namespace {

void ignore_log(int, const char*) {}

/// Devices of 64 MiB each, their primary contexts active and the test kernels loaded in each.
class Gpus {
 public:
  explicit Gpus(const char* count) {
    setenv("VGPU_SOFTGPU_DEVICES", count, 1);
    setenv("VGPU_SOFTGPU_MEMORY", "64M", 1);
    REQUIRE_OK(cuInit(0));
    int devices = 0;
    REQUIRE_OK(cuDeviceGetCount(&devices));
    contexts.resize(static_cast<std::size_t>(devices));
    modules.resize(contexts.size());
    for (std::size_t i = 0; i < contexts.size(); ++i) {
      REQUIRE_OK(cuDevicePrimaryCtxRetain(&contexts[i], static_cast<CUdevice>(i)));
      use(i);
      REQUIRE_OK(cuModuleLoadData(&modules[i], read_image_file("kernels.ptx").c_str()));
    }
    use(0);
  }
  void use(std::size_t device) const { REQUIRE_OK(cuCtxSetCurrent(contexts[device])); }
  CUfunction function(std::size_t device, const char* name) const {
    CUfunction handle = nullptr;
    REQUIRE_OK(cuModuleGetFunction(&handle, modules[device], name));
    return handle;
  }
  /// One word, of the current device.
  static CUdeviceptr word(unsigned value) { return softgpu_test::upload(std::vector<unsigned>{value}); }
  static unsigned read(CUdeviceptr pointer) { return download<unsigned>(pointer, 1)[0]; }

  std::vector<CUcontext> contexts;
  std::vector<CUmodule> modules;
};

template <class T>
T attribute(CUdeviceptr pointer, CUpointer_attribute which) {
  T value{};
  REQUIRE_OK(cuPointerGetAttribute(&value, which, pointer));
  return value;
}

std::size_t available() {
  std::size_t free_bytes = 0;
  std::size_t total = 0;
  REQUIRE_OK(cuMemGetInfo(&free_bytes, &total));
  CHECK(total == std::size_t{64} << 20);
  return free_bytes;
}

}  // namespace

TEST_CASE("devices: the environment says how many, and each has its own identity") {
  setenv("VGPU_SOFTGPU_DEVICES", "16", 1);
  setenv("VGPU_SOFTGPU_MEMORY", "1M", 1);
  REQUIRE_OK(cuInit(0));
  int count = 0;
  REQUIRE_OK(cuDeviceGetCount(&count));
  REQUIRE(count == 16);
  std::set<std::string> uuids;
  std::set<std::string> addresses;
  for (CUdevice device = 0; device < count; ++device) {
    CUuuid uuid{};
    char id[16];
    CUdevice found = -1;
    int bus = -1;
    std::size_t bytes = 0;
    REQUIRE_OK(cuDeviceGetUuid(&uuid, device));
    uuids.emplace(uuid.bytes, sizeof uuid.bytes);
    REQUIRE_OK(cuDeviceGetPCIBusId(id, sizeof id, device));
    addresses.insert(id);
    REQUIRE_OK(cuDeviceGetByPCIBusId(&found, id));
    CHECK(found == device);
    REQUIRE_OK(cuDeviceGetAttribute(&bus, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, device));
    CHECK(bus == static_cast<int>(std::strtol(std::string(id).substr(5, 2).c_str(), nullptr, 16)));
    REQUIRE_OK(cuDeviceTotalMem(&bytes, device));
    CHECK(bytes == 1 << 20);
  }
  CHECK(uuids.size() == 16);
  CHECK(addresses.size() == 16);
  CUdevice device = 0;
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, 16));
}

TEST_CASE("devices: a number out of range is no number of devices") {
  const char* text = GENERATE("0", "17", "-1", "two", "1Q");
  setenv("VGPU_SOFTGPU_DEVICES", text, 1);
  vgpu_softgpu_set_log(ignore_log);
  REQUIRE_OK(cuInit(0));
  int count = 0;
  REQUIRE_OK(cuDeviceGetCount(&count));
  CHECK(count == 1);
}

TEST_CASE("devices: each has its own memory, primary context and pools") {
  Gpus gpus("2");
  CHECK(gpus.contexts[0] != gpus.contexts[1]);
  const std::size_t before = available();
  CUdeviceptr large = 0;
  REQUIRE_OK(cuMemAlloc(&large, 48 << 20));
  CHECK(available() == before - (48 << 20));
  CUdeviceptr other = 0;
  CHECK_RESULT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&other, 48 << 20));
  gpus.use(1);
  CHECK(available() >= before);
  REQUIRE_OK(cuMemAlloc(&other, 48 << 20));
  CHECK(attribute<int>(large, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) == 0);
  CHECK(attribute<int>(other, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) == 1);
  CHECK(attribute<CUcontext>(other, CU_POINTER_ATTRIBUTE_CONTEXT) == gpus.contexts[1]);
  CUdevice device = -1;
  REQUIRE_OK(cuCtxGetDevice(&device));
  CHECK(device == 1);
  REQUIRE_OK(cuStreamGetDevice(nullptr, &device));
  CHECK(device == 1);

  CUmemoryPool pools[2];
  REQUIRE_OK(cuDeviceGetDefaultMemPool(&pools[0], 0));
  REQUIRE_OK(cuDeviceGetDefaultMemPool(&pools[1], 1));
  CHECK(pools[0] != pools[1]);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuDeviceSetMemPool(1, pools[0]));
  CUdeviceptr pooled = 0;
  REQUIRE_OK(cuMemAllocAsync(&pooled, 4096, nullptr));
  CHECK(attribute<int>(pooled, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) == 1);
  REQUIRE_OK(cuMemAllocFromPoolAsync(&pooled, 4096, pools[0], nullptr));
  CHECK(attribute<int>(pooled, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) == 0);

  // The end of one primary context leaves the other alone.
  REQUIRE_OK(cuDevicePrimaryCtxReset(0));
  int active = 1;
  unsigned flags = 0;
  REQUIRE_OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
  CHECK(active == 0);
  REQUIRE_OK(cuDevicePrimaryCtxGetState(1, &flags, &active));
  CHECK(active == 1);
  CHECK(attribute<int>(other, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) == 1);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute(&device, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, large));
}

TEST_CASE("devices: copies between them need no peer access") {
  Gpus gpus("2");
  const CUdeviceptr first = Gpus::word(7);
  gpus.use(1);
  const CUdeviceptr second = Gpus::word(0);
  REQUIRE_OK(cuMemcpyPeer(second, gpus.contexts[1], first, gpus.contexts[0], 4));
  CHECK(Gpus::read(second) == 7);
  REQUIRE_OK(cuMemsetD32(second, 9, 1));
  REQUIRE_OK(cuMemcpyPeerAsync(first, gpus.contexts[0], second, gpus.contexts[1], 4, nullptr));
  REQUIRE_OK(cuMemcpyDtoD(second, first, 4));
  CHECK(Gpus::read(first) == 9);
  CUDA_MEMCPY3D_PEER plan{};
  plan.srcMemoryType = plan.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  plan.srcDevice = first;
  plan.dstDevice = second;
  plan.WidthInBytes = 4;
  plan.Height = plan.Depth = 1;
  REQUIRE_OK(cuMemsetD32(first, 11, 1));
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuMemcpy3DPeer(&plan));
  plan.srcContext = gpus.contexts[0];
  plan.dstContext = gpus.contexts[1];
  CHECK_RESULT(CUDA_SUCCESS, cuMemcpy3DPeer(&plan));
  CHECK(Gpus::read(second) == 11);
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuMemcpyPeer(second, nullptr, first, gpus.contexts[0], 4));
}

TEST_CASE("devices: peer access is asked for, given and taken away") {
  Gpus gpus("2");
  int value = -1;
  CHECK_RESULT(CUDA_SUCCESS, cuDeviceCanAccessPeer(&value, 0, 1));
  CHECK(value == 1);
  CHECK_RESULT(CUDA_SUCCESS, cuDeviceCanAccessPeer(&value, 1, 1));
  CHECK(value == 0);
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE, cuDeviceCanAccessPeer(&value, 0, 2));
  CHECK_RESULT(CUDA_SUCCESS, cuDeviceGetP2PAttribute(&value, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 1));
  CHECK(value == 1);
  CHECK_RESULT(CUDA_ERROR_INVALID_DEVICE,
               cuDeviceGetP2PAttribute(&value, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuDeviceGetP2PAttribute(&value, static_cast<CUdevice_P2PAttribute>(77), 0, 1));

  const CUdeviceptr first = Gpus::word(1);
  gpus.use(1);
  CHECK_RESULT(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, cuCtxDisablePeerAccess(gpus.contexts[0]));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuCtxEnablePeerAccess(gpus.contexts[0], 1));
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuCtxEnablePeerAccess(gpus.contexts[1], 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_CONTEXT, cuCtxEnablePeerAccess(nullptr, 0));
  CHECK_RESULT(CUDA_SUCCESS, cuCtxEnablePeerAccess(gpus.contexts[0], 0));
  CHECK_RESULT(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, cuCtxEnablePeerAccess(gpus.contexts[0], 0));

  // Memory from before and from after is open to the other device's kernels.
  REQUIRE_OK(launch(gpus.function(1, "set"), 1, 1, nullptr, first, 5u));
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(Gpus::read(first) == 5);
  gpus.use(0);
  const CUdeviceptr later = Gpus::word(1);
  gpus.use(1);
  REQUIRE_OK(launch(gpus.function(1, "set"), 1, 1, nullptr, later, 6u));
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(Gpus::read(later) == 6);

  CHECK_RESULT(CUDA_SUCCESS, cuCtxDisablePeerAccess(gpus.contexts[0]));
  vgpu_softgpu_set_log(ignore_log);
  launch(gpus.function(1, "set"), 1, 1, nullptr, first, 8u);
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}

TEST_CASE("devices: another device's memory is no address without peer access") {
  Gpus gpus("2");
  const CUdeviceptr first = Gpus::word(1);
  REQUIRE_OK(cuCtxEnablePeerAccess(gpus.contexts[1], 0));  // the other way round
  gpus.use(1);
  vgpu_softgpu_set_log(ignore_log);
  launch(gpus.function(1, "set"), 1, 1, nullptr, first, 5u);
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}

TEST_CASE("devices: a pool is opened to another device by itself") {
  Gpus gpus("2");
  CUmemoryPool pool = nullptr;
  REQUIRE_OK(cuDeviceGetDefaultMemPool(&pool, 0));
  CUdeviceptr memory = 0;
  REQUIRE_OK(cuMemAllocAsync(&memory, 4, nullptr));
  REQUIRE_OK(cuCtxSynchronize());
  CUmemLocation other{CU_MEM_LOCATION_TYPE_DEVICE, {1}};
  CUmemAccess_flags flags{};
  REQUIRE_OK(cuMemPoolGetAccess(&flags, pool, &other));
  CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);
  CUmemAccessDesc description{other, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  REQUIRE_OK(cuMemPoolSetAccess(pool, &description, 1));
  REQUIRE_OK(cuMemPoolGetAccess(&flags, pool, &other));
  CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  gpus.use(1);
  REQUIRE_OK(launch(gpus.function(1, "set"), 1, 1, nullptr, memory, 5u));
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(Gpus::read(memory) == 5);
  description.flags = CU_MEM_ACCESS_FLAGS_PROT_NONE;
  REQUIRE_OK(cuMemPoolSetAccess(pool, &description, 1));
  REQUIRE_OK(cuCtxEnablePeerAccess(gpus.contexts[0], 0));  // which is not about pools
  vgpu_softgpu_set_log(ignore_log);
  launch(gpus.function(1, "set"), 1, 1, nullptr, memory, 6u);
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}
