// What a hostile guest ends too early, twice, or never: the driver must not be asked about what is gone.
#include <fcntl.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "common/unique_fd.hpp"
#include "guest.hpp"
#include "protocol/graph_node.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

template <typename T>
T native(unsigned number) {
  return reinterpret_cast<T>(std::uintptr_t{0x1000} * number);
}

unsigned destroyed = 0;

/// The destructor of the last user object that the driver was given.
std::pair<CUhostFn, void*> made_object;

/// Graphs, nodes, captures and user objects that are numbers and are only counted.
executor::Driver with_objects(const FakeCuda& cuda) {
  destroyed = 0;
  executor::Driver driver = cuda.driver();
  driver.cuGraphDestroy = [](CUgraph) {
    ++destroyed;
    return CUDA_SUCCESS;
  };
  driver.cuGraphDestroyNode = [](CUgraphNode) {
    ++destroyed;
    return CUDA_SUCCESS;
  };
  driver.cuGraphAddNode_v2 = [](CUgraphNode* node, CUgraph, const CUgraphNode*, const CUgraphEdgeData*, std::size_t,
                                CUgraphNodeParams*) {
    *node = native<CUgraphNode>(30);
    return CUDA_SUCCESS;
  };
  driver.cuGraphConditionalHandleCreate = [](CUgraphConditionalHandle* condition, CUgraph, CUcontext, unsigned,
                                             unsigned) {
    static CUgraphConditionalHandle next = 100;
    *condition = next++;
    return CUDA_SUCCESS;
  };
  driver.cuStreamBeginCapture_v2 = [](CUstream, CUstreamCaptureMode) { return CUDA_SUCCESS; };
  driver.cuStreamGetCaptureInfo_v2 = [](CUstream, CUstreamCaptureStatus* status, cuuint64_t*, CUgraph* graph,
                                        const CUgraphNode**, std::size_t*) {
    *status = CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if (graph != nullptr) *graph = native<CUgraph>(40);
    return CUDA_SUCCESS;
  };
  driver.cuStreamEndCapture = [](CUstream, CUgraph* graph) {
    *graph = native<CUgraph>(40);
    return CUDA_SUCCESS;
  };
  driver.cuUserObjectCreate = [](CUuserObject* object, void* data, CUhostFn destroy, unsigned, unsigned) {
    *object = native<CUuserObject>(50);
    made_object = {destroy, data};
    return CUDA_SUCCESS;
  };
  return driver;
}

std::vector<std::byte> child_of(GraphHandle graph, CUgraphChildGraphNodeOwnership ownership) {
  const ChildNode node{graph, static_cast<u32>(ownership), 0};
  const auto* bytes = reinterpret_cast<const std::byte*>(&node);
  return {bytes, bytes + sizeof node};
}

}  // namespace

TEST_CASE("lifetime: a context's place is not taken twice") {
  FakeCuda cuda;
  Guest guest(cuda);
  const auto other = ContextHandle::make(2, 1);
  REQUIRE(guest.call<call::cuCtxCreate>({other, 0, 0}) == CUDA_SUCCESS);
  const CUcontext first = guest.session->contexts.find(2);
  CHECK(guest.call<call::cuCtxCreate>({other, 0, 0}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuda.calls("cuCtxCreate_v2") == 1);
  CHECK(guest.call<call::cuDevicePrimaryCtxRetain>({other, 0, 0}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuda.calls("cuDevicePrimaryCtxRelease_v2") == 1);
  CHECK(guest.session->contexts.find(2) == first);
  // A primary one is retained again and again.
  const auto primary = ContextHandle::make(1, 1);
  CHECK(guest.call<call::cuDevicePrimaryCtxRetain>({primary, 0, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuDevicePrimaryCtxRetain>({primary, 0, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuCtxDestroy>({other}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuCtxCreate>({other, 0, 0}) == CUDA_SUCCESS);
}

TEST_CASE("lifetime: no context dumps core on the host") {
  FakeCuda cuda;
  Guest guest(cuda);
  for (const u32 flag : {u32{CU_CTX_COREDUMP_ENABLE}, u32{CU_CTX_USER_COREDUMP_ENABLE}}) {
    CHECK(guest.call<call::cuCtxCreate>({ContextHandle::make(2, 1), 0, flag}) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(guest.call<call::cuDevicePrimaryCtxRetain>({ContextHandle::make(1, 1), 0, flag}) == CUDA_ERROR_NOT_SUPPORTED);
  }
  CHECK(cuda.calls("cuCtxCreate_v2") == 0);
  CHECK(cuda.calls("cuDevicePrimaryCtxSetFlags_v2") == 0);
}

TEST_CASE("lifetime: a green context ends with its own context and no other") {
  FakeCuda cuda;
  executor::Driver driver = cuda.driver();
  driver.cuGreenCtxCreate = [](CUgreenCtx* green, CUdevResourceDesc, CUdevice, unsigned) {
    *green = native<CUgreenCtx>(6);
    return CUDA_SUCCESS;
  };
  driver.cuCtxFromGreenCtx = [](CUcontext* context, CUgreenCtx) {
    *context = native<CUcontext>(7);
    return CUDA_SUCCESS;
  };
  Guest guest(driver);
  const auto plain = ContextHandle::make(2, 1);
  const auto converted = ContextHandle::make(3, 1);
  const auto green = GreenContextHandle::make(1, 1);
  REQUIRE(guest.call<call::cuCtxCreate>({plain, 0, 0}) == CUDA_SUCCESS);
  const u64 description = guest.session->device_resources.number(native<CUdevResourceDesc>(8));
  CHECK(guest.call<call::cuGreenCtxCreate>({green, plain, description, 0, 1}) == CUDA_ERROR_INVALID_HANDLE);
  REQUIRE(guest.call<call::cuGreenCtxCreate>({green, converted, description, 0, 1}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuGreenCtxDestroy>({green, plain}) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(guest.call<call::cuCtxDestroy>({converted}) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(guest.session->contexts.find(2) != nullptr);
  CHECK(guest.call<call::cuGreenCtxDestroy>({green, converted}) == CUDA_SUCCESS);
  CHECK(guest.session->contexts.find(3) == nullptr);
  CHECK(guest.call<call::cuCtxDestroy>({plain}) == CUDA_SUCCESS);
}

TEST_CASE("lifetime: an event that is waited for outlasts the wait") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const auto stream = guest.make_stream(1);
  guest.settle();
  const CUstream held = cuda.last_stream();
  cuda.hold(held);
  const auto event = EventHandle::make(1, 1);
  guest.publish<call::cuEventCreate>({event, 0, 0});
  guest.publish<call::cuMemsetD8Async>({Pointer{device}, 16, stream, 0, 0});
  guest.publish<call::cuEventRecordWithFlags>({event, stream, 0, 0});
  guest.publish<call::cuEventSynchronize>({event}, 6);
  const u32 ticket = guest.ticket();
  // With the reader thread, and with a worker.
  if (GENERATE(true, false)) CHECK_FALSE(guest.wait(6, ticket, 20ms));
  CHECK(guest.call<call::cuEventDestroy>({event}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuEventQuery>({event}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuda.calls("cuEventDestroy_v2") == 0);
  cuda.release(held);
  REQUIRE(guest.wait(6, ticket));
  CHECK(guest.region.slots()[6].result == CUDA_SUCCESS);
  CHECK(cuda.calls("cuEventDestroy_v2") == 1);
}

TEST_CASE("lifetime: the slot that host functions are told in stays theirs") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  guest.publish<call::vgpuServeHostFunctions>({0}, 30);
  const u32 asked = guest.ticket();
  guest.publish<call::cuLaunchHostFunc>({{0}, 1});
  REQUIRE(guest.wait(30, asked));
  // Else a guest could have any number of calls wait behind one slot.
  guest.publish<call::cuCtxSynchronize>({0}, 30);
  guest.join();
  CHECK(guest.reason() == VGPU_END_BAD_REQUEST);
}

TEST_CASE("lifetime: what has an end to be told is bounded until the guest has heard of it") {
  u32 done = 0;
  std::atomic<u32> told{0};
  executor::HostFunctions functions(
      [&](executor::Answer answer, const executor::HostFunctions::Due&) {
        std::atomic_ref(done).store(answer.ticket);
        ++told;
        told.notify_all();
      },
      done);
  u32 admitted = 0;
  while (functions.admit()) ++admitted;
  CHECK(admitted == handle_limit(Kind::graph_node));
  functions.ends(1);
  CHECK_FALSE(functions.admit());
  REQUIRE(functions.serve({0, 1}));
  told.wait(0);
  CHECK(functions.admit());
  CHECK_FALSE(functions.admit());
}

TEST_CASE("lifetime: the guest gives up only references that are its own") {
  FakeCuda cuda;
  const executor::Driver driver = with_objects(cuda);
  Guest guest(driver);
  const auto object = UserObjectHandle::make(1, 1);
  const GraphHandle graph = guest.session->graphs.add(native<CUgraph>(1));
  REQUIRE(guest.call<call::cuUserObjectCreate>({object, 5, 2, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuUserObjectRelease>({object, 3, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuGraphRetainUserObject>({graph, object, 3, CU_GRAPH_USER_OBJECT_MOVE}) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuGraphRetainUserObject>({graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuGraphRetainUserObject>({graph, object, 7, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuUserObjectRetain>({object, 1, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuUserObjectRelease>({object, 2, 0}) == CUDA_SUCCESS);
  // From here on only graphs keep it, and may have ended it.
  CHECK(guest.call<call::cuUserObjectRelease>({object, 1, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuUserObjectRetain>({object, 1, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuGraphRetainUserObject>({graph, object, 1, 0}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuda.calls("cuUserObjectRelease") == 1);
  made_object.first(made_object.second);
}

TEST_CASE("lifetime: parts of arrays end with the whole, never by themselves") {
  FakeCuda cuda;
  executor::Driver driver = cuda.driver();
  driver.cuMipmappedArrayCreate = [](CUmipmappedArray* array, const CUDA_ARRAY3D_DESCRIPTOR*, unsigned) {
    *array = native<CUmipmappedArray>(1);
    return CUDA_SUCCESS;
  };
  driver.cuMipmappedArrayGetLevel = [](CUarray* array, CUmipmappedArray, unsigned) {
    *array = native<CUarray>(2);
    return CUDA_SUCCESS;
  };
  driver.cuArrayGetPlane = [](CUarray* array, CUarray, unsigned) {
    *array = native<CUarray>(3);
    return CUDA_SUCCESS;
  };
  Guest guest(driver);
  guest.make_context();
  const auto mipmapped = MipmappedArrayHandle::make(1, 1);
  const auto level = ArrayHandle::make(1, 1);
  const auto plane = ArrayHandle::make(2, 1);
  REQUIRE(guest.call<call::cuMipmappedArrayCreate>({mipmapped, {8, 8, 0, CU_AD_FORMAT_FLOAT, 1, 0, 0}, 2, 0}) ==
          CUDA_SUCCESS);
  REQUIRE(guest.call<call::cuMipmappedArrayGetLevel>({mipmapped, level, 0, 0}) == CUDA_SUCCESS);
  REQUIRE(guest.call<call::cuArrayGetPlane>({level, plane, 0, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuArrayDestroy>({level}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(guest.call<call::cuArrayDestroy>({plane}) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuda.calls("cuArrayDestroy") == 0);
  CHECK(guest.session->handles.find<CUarray>(level) != nullptr);
  CHECK(guest.call<call::cuMipmappedArrayDestroy>({mipmapped}) == CUDA_SUCCESS);
  CHECK(guest.session->handles.find<CUarray>(level) == nullptr);
  CHECK(guest.session->handles.find<CUarray>(plane) == nullptr);
}

TEST_CASE("lifetime: a graph stays while a capture adds to it") {
  FakeCuda cuda;
  const executor::Driver driver = with_objects(cuda);
  Guest guest(driver);
  guest.make_context();
  const auto stream = guest.make_stream(1);
  call::cuStreamBeginCapture::Reply begun{};
  REQUIRE(guest.call<call::cuStreamBeginCapture>({stream}, &begun) == CUDA_SUCCESS);
  const GraphNodeHandle node = guest.session->graphs.node(begun.graph, native<CUgraphNode>(41));
  CHECK(guest.call<call::cuGraphDestroyNode>({node}) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuGraphDestroy>({begun.graph}) == CUDA_ERROR_INVALID_VALUE);
  const GraphHandle other = guest.session->graphs.add(native<CUgraph>(42));
  CHECK(guest.call<call::cuGraphAddNode>({other, CU_GRAPH_NODE_TYPE_GRAPH, 0, kInline}, nullptr,
                                         child_of(begun.graph, CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE)) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(destroyed == 0);
  REQUIRE(guest.call<call::cuStreamEndCapture>({stream, 0, 0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuGraphDestroyNode>({node}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuGraphDestroy>({begun.graph}) == CUDA_SUCCESS);
}

TEST_CASE("lifetime: a graph is moved once, into a graph that is not within it") {
  FakeCuda cuda;
  const executor::Driver driver = with_objects(cuda);
  Guest guest(driver);
  executor::Graphs& graphs = guest.session->graphs;
  const GraphHandle outer = graphs.add(native<CUgraph>(1));
  const GraphNodeHandle node = graphs.node(outer, native<CUgraphNode>(2));
  const GraphHandle inner = graphs.child(node, native<CUgraph>(3));
  const auto move = [&](GraphHandle graph, GraphHandle into) {
    return guest.call<call::cuGraphAddNode>({into, CU_GRAPH_NODE_TYPE_GRAPH, 0, kInline}, nullptr,
                                            child_of(graph, CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE));
  };
  CHECK(move(outer, outer) == CUDA_ERROR_INVALID_VALUE);
  CHECK(move(outer, inner) == CUDA_ERROR_INVALID_VALUE);
  const GraphHandle other = graphs.add(native<CUgraph>(4));
  CHECK(move(inner, other) == CUDA_ERROR_INVALID_VALUE);
  CHECK(guest.call<call::cuGraphNodeSetParams>({node, CU_GRAPH_NODE_TYPE_GRAPH, 0}, nullptr,
                                               child_of(other, CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE)) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(cuda.calls("cuGraphNodeSetParams") == 0);
  // What the node had is gone.
  CHECK(guest.call<call::cuGraphNodeSetParams>({node, CU_GRAPH_NODE_TYPE_GRAPH, 0}, nullptr,
                                               child_of(other, CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE)) == CUDA_SUCCESS);
  CHECK(guest.session->handles.find<CUgraph>(inner) == nullptr);
  CHECK(move(other, outer) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuGraphDestroy>({outer}) == CUDA_SUCCESS);
  CHECK(guest.session->handles.find<CUgraph>(other) == nullptr);
}

TEST_CASE("lifetime: a condition ends with its graph") {
  FakeCuda cuda;
  const executor::Driver driver = with_objects(cuda);
  Guest guest(driver);
  const GraphHandle graph = guest.session->graphs.add(native<CUgraph>(1));
  call::cuGraphConditionalHandleCreate::Reply reply{};
  REQUIRE(guest.call<call::cuGraphConditionalHandleCreate>({graph, {0}, 0, 0}, &reply) == CUDA_SUCCESS);
  CHECK(guest.session->graphs.has_condition(reply.condition));
  REQUIRE(guest.call<call::cuGraphDestroy>({graph}) == CUDA_SUCCESS);
  CHECK_FALSE(guest.session->graphs.has_condition(reply.condition));
}

TEST_CASE("lifetime: a library that is loaded while another one of its handle ends keeps its image") {
  std::string path = "/tmp/vgpu-lifetime-XXXXXX";
  REQUIRE(::mkdtemp(path.data()) != nullptr);
  {
    const UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    executor::SessionConfig config;
    config.images_folder = folder.get();
    config.images_bytes = 1 << 20;
    FakeCuda cuda;
    static std::atomic<int> step;
    step = 0;
    executor::Driver driver = cuda.driver();
    driver.cuLibraryUnload = [](CUlibrary) {
      step = 1;
      step.notify_all();
      step.wait(1);
      return CUDA_SUCCESS;
    };
    Guest guest(driver, config);
    guest.make_context();
    call::cuLibraryLoadData::Request load{};
    load.library = LibraryHandle::make(1, 1);
    load.image = Offset{VGPU_STAGING_OFFSET};
    load.image_bytes = 100;
    load.source = kImageKeep;
    const ImageKey key{1, 2, 3, 4, 0, 100};
    const auto name = std::as_bytes(std::span(&key, 1));
    REQUIRE(guest.call<call::cuLibraryLoadData>(load, nullptr, name) == CUDA_SUCCESS);
    REQUIRE(guest.session->library_images.size() == 1);
    guest.publish<call::cuLibraryUnload>({load.library}, 7);
    const u32 ticket = guest.ticket();
    step.wait(0);
    CHECK(guest.call<call::cuLibraryLoadData>(load, nullptr, name) == CUDA_SUCCESS);
    step = 2;
    step.notify_all();
    REQUIRE(guest.wait(7, ticket));
    CHECK(guest.session->library_images.size() == 1);
  }
  std::filesystem::remove_all(path);
}
