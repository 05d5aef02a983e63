// Access of devices to each other and copies between contexts: which contexts the driver is given, and which never.
#include <catch2/catch.hpp>

#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

struct Seen {
  unsigned calls = 0;
  CUcontext destination = nullptr;
  CUcontext source = nullptr;
  std::size_t bytes = 0;
};
Seen seen;

CUresult copy_peer(CUdeviceptr, CUcontext destination, CUdeviceptr, CUcontext source, std::size_t bytes, CUstream) {
  seen = {seen.calls + 1, destination, source, bytes};
  return CUDA_SUCCESS;
}

CUresult enable_peer(CUcontext peer, unsigned) {
  seen = {seen.calls + 1, peer, nullptr, 0};
  return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
}

CUresult attribute_of(int* value, CUdevice_P2PAttribute attribute, CUdevice, CUdevice) {
  ++seen.calls;
  *value = static_cast<int>(attribute);
  return CUDA_SUCCESS;
}

}  // namespace

TEST_CASE("only contexts of the session are peers") {
  FakeCuda cuda;
  executor::Driver driver = cuda.driver();
  driver.cuMemcpyPeerAsync = copy_peer;
  driver.cuCtxEnablePeerAccess = enable_peer;
  Guest guest(driver);
  guest.make_context();
  seen = {};
  const ContextHandle own = ContextHandle::make(1, 0);
  CHECK(guest.call<call::cuCtxEnablePeerAccess>({own}) == CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
  CHECK(seen.destination != nullptr);
  CHECK(guest.call<call::cuMemcpyPeerAsync>({Pointer{16}, own, Pointer{32}, own, 8, {0}}) == CUDA_SUCCESS);
  CHECK(seen.bytes == 8);
  CHECK(seen.source == seen.destination);
  CHECK(seen.calls == 2);
  for (const u64 value : {u64{0}, u64{1}, ContextHandle::make(2, 0).value, ~u64{0}}) {
    CHECK(guest.call<call::cuCtxEnablePeerAccess>({{value}}) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(guest.call<call::cuMemcpyPeerAsync>({Pointer{16}, own, Pointer{32}, {value}, 8, {0}}) ==
          CUDA_ERROR_INVALID_CONTEXT);
    CHECK(guest.call<call::cuCtxRecordEvent>({{value}, {0}}) == CUDA_ERROR_INVALID_CONTEXT);
  }
  CHECK(guest.call<call::cuCtxWaitEvent>({own, {0}}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(seen.calls == 2);
}

TEST_CASE("attributes of a pair are asked of devices that the guest has") {
  FakeCuda cuda;
  executor::Driver driver = cuda.driver();
  driver.cuDeviceGetP2PAttribute = attribute_of;
  Guest guest(driver);
  seen = {};
  call::cuDeviceGetP2PAttribute::Reply reply{};
  CHECK(guest.call<call::cuDeviceGetP2PAttribute>({2, 0, 0, 0}, &reply) == CUDA_SUCCESS);
  CHECK(reply.value == 2);
  CHECK(guest.call<call::cuDeviceGetP2PAttribute>({2, 0, 99, 0}) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(guest.call<call::cuDeviceGetP2PAttribute>({0x80000000, 0, 0, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuDeviceCanAccessPeer>({-1, 0}) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(seen.calls == 1);
}
