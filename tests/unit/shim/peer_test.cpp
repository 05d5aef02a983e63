// Copies between contexts, batches of copies, access of devices to each other, and memory that is not CUDA's.
#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "fake_executor.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

namespace {

CUdeviceptr allocate(std::size_t bytes) {
  CUdeviceptr pointer = 0;
  REQUIRE(cuMemAlloc(&pointer, bytes) == CUDA_SUCCESS);
  return pointer;
}

CUmemcpyAttributes reads(CUmemcpySrcAccessOrder order) {
  CUmemcpyAttributes attributes{};
  attributes.srcAccessOrder = order;
  return attributes;
}

}  // namespace

TEST_CASE("a copy between contexts names both") {
  Session session;
  const CUdeviceptr from = allocate(64);
  const CUdeviceptr to = allocate(64);
  REQUIRE(cuMemcpyPeer(to, session.context, from, session.context, 64) == CUDA_SUCCESS);
  REQUIRE(cuMemcpyPeerAsync(to, session.context, from, session.context, 32, nullptr) == CUDA_SUCCESS);
  const auto at_once = session.executor.records_of<call::cuMemcpyPeer>();
  const auto in_order = session.executor.records_of<call::cuMemcpyPeerAsync>();
  REQUIRE(at_once.size() == 1);
  REQUIRE(in_order.size() == 1);
  CHECK(at_once[0].as<call::cuMemcpyPeer>().source_context.value == reinterpret_cast<u64>(session.context));
  CHECK(in_order[0].as<call::cuMemcpyPeerAsync>().bytes == 32);
  CHECK(in_order[0].header.slot == VGPU_NO_SLOT);
  CHECK(cuMemcpyPeer(to, nullptr, from, session.context, 64) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuMemcpyPeer(0, session.context, from, session.context, 64) == CUDA_ERROR_INVALID_VALUE);
  CUDA_MEMCPY3D_PEER rows{};
  rows.srcMemoryType = rows.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  CHECK(cuMemcpy3DPeer(&rows) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuMemcpy3DPeer(nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("peer access is the host's to give") {
  Session session;
  CHECK(cuCtxEnablePeerAccess(session.context, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuCtxEnablePeerAccess(session.context, 0) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuCtxEnablePeerAccess(nullptr, 0) == CUDA_ERROR_INVALID_CONTEXT);
  session.executor.on<call::cuCtxDisablePeerAccess>([](const Record&) {
    return Answer{CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, {}, false};
  });
  CHECK(cuCtxDisablePeerAccess(session.context) == CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
  session.executor.on<call::cuDeviceCanAccessPeer>(
      [](const Record&) { return reply_with(call::cuDeviceCanAccessPeer::Reply{1}); });
  int can = 0;
  CHECK(cuDeviceCanAccessPeer(&can, 0, 0) == CUDA_SUCCESS);
  CHECK(can == 1);
  CHECK(cuDeviceCanAccessPeer(&can, 0, 99) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(cuDeviceGetP2PAttribute(&can, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 0) == CUDA_ERROR_INVALID_DEVICE);
}

TEST_CASE("a batch of copies is the copies, and says which is wrong") {
  Session session;
  CUstream stream = nullptr;
  REQUIRE(cuStreamCreate(&stream, 0) == CUDA_SUCCESS);
  const CUdeviceptr device = allocate(256);
  std::vector<unsigned char> host(256);
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<unsigned char>(i);
  const auto at = reinterpret_cast<CUdeviceptr>(host.data());
  CUdeviceptr destinations[] = {device, device + 100};
  CUdeviceptr sources[] = {at, at + 100};
  size_t sizes[] = {100, 156};
  CUmemcpyAttributes attributes[] = {reads(CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL),
                                     reads(CU_MEMCPY_SRC_ACCESS_ORDER_STREAM)};
  size_t first[] = {0, 1};
  REQUIRE(cuMemcpyBatchAsync(destinations, sources, sizes, 2, attributes, first, 2, stream) == CUDA_SUCCESS);
  // Of the second the source may be written by what is in the stream.
  CHECK(session.executor.records_of<call::cuStreamSynchronize>().size() == 1);
  REQUIRE(cuStreamSynchronize(stream) == CUDA_SUCCESS);
  CHECK(std::memcmp(session.executor.device_memory(device), host.data(), host.size()) == 0);

  CHECK(cuMemcpyBatchAsync(destinations, sources, sizes, 2, attributes, first, 2, nullptr) == CUDA_ERROR_INVALID_VALUE);
  attributes[1].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_INVALID;
  CHECK(cuMemcpyBatchAsync(destinations, sources, sizes, 2, attributes, first, 2, stream) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpyBatchAsync(destinations, sources, sizes, 2, attributes, first, 1, stream) == CUDA_SUCCESS);
  first[0] = 1;
  CHECK(cuMemcpyBatchAsync(destinations, sources, sizes, 2, attributes, first, 1, stream) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("a batch of copies of planes checks each of them") {
  Session session;
  CUstream stream = nullptr;
  REQUIRE(cuStreamCreate(&stream, 0) == CUDA_SUCCESS);
  CUDA_MEMCPY3D_BATCH_OP copy{};
  copy.src.type = copy.dst.type = CU_MEMCPY_OPERAND_TYPE_POINTER;
  copy.src.op.ptr.ptr = allocate(4096);
  copy.dst.op.ptr.ptr = allocate(4096);
  copy.extent = {16, 4, 2};
  copy.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  CHECK(cuMemcpy3DBatchAsync(1, &copy, 0, stream) == CUDA_SUCCESS);
  CHECK(cuMemcpy3DBatchAsync(1, &copy, 1, stream) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpy3DBatchAsync(1, &copy, 0, nullptr) == CUDA_ERROR_INVALID_VALUE);
  copy.src.op.ptr.rowLength = 15;
  CHECK(cuMemcpy3DBatchAsync(1, &copy, 0, stream) == CUDA_ERROR_INVALID_VALUE);
  copy.src.op.ptr.rowLength = 0;
  copy.extent.depth = 0;
  CHECK(cuMemcpy3DBatchAsync(1, &copy, 0, stream) == CUDA_ERROR_INVALID_VALUE);
  copy.extent.depth = 1;
  copy.dst.type = CU_MEMCPY_OPERAND_TYPE_ARRAY;
  CHECK(cuMemcpy3DBatchAsync(1, &copy, 0, stream) == CUDA_ERROR_INVALID_VALUE);
  CHECK(session.executor.records_of<call::cuMemcpy3DAsync>().size() == 1);
}

TEST_CASE("memory that is not CUDA's is not registered, and nobody is told that it were") {
  Session session;
  std::vector<char> own(8192);
  CHECK(cuMemHostRegister(own.data(), own.size(), 0) == CUDA_ERROR_NOT_SUPPORTED);
  const auto refused = session.executor.records_of<call::vgpuUnsupported>();
  REQUIRE(refused.size() == 1);
  CHECK(std::string(reinterpret_cast<const char*>(refused[0].tail.data()), refused[0].tail.size()) ==
        "cuMemHostRegister_v2");
  CHECK(cuMemHostUnregister(own.data()) == CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  CHECK(cuMemHostRegister(nullptr, 1, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemHostRegister(own.data(), own.size(), 0x100) == CUDA_ERROR_INVALID_VALUE);
  void* pinned = nullptr;
  REQUIRE(cuMemHostAlloc(&pinned, 4096, 0) == CUDA_SUCCESS);
  CHECK(cuMemHostRegister(pinned, 4096, 0) == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  CHECK(cuMemHostRegister(reinterpret_cast<void*>(allocate(64)), 64, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("copies of memory stay ordered by streams") {
  Session session;
  const CUdeviceptr device = allocate(64);
  unsigned value = 0;
  CHECK(cuPointerSetAttribute(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, device) == CUDA_SUCCESS);
  CHECK(cuPointerSetAttribute(&value, CU_POINTER_ATTRIBUTE_CONTEXT, device) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuPointerSetAttribute(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, 8) == CUDA_ERROR_INVALID_VALUE);
  value = 1;
  CHECK(cuPointerSetAttribute(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, device) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(session.executor.records_of<call::vgpuUnsupported>().size() == 1);
}
