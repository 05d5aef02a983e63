#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "fixture.hpp"

using namespace softgpu_test;

namespace {

CUgraph make_graph() {
  CUgraph graph = nullptr;
  REQUIRE_OK(cuGraphCreate(&graph, 0));
  return graph;
}

CUgraphNode add_kernel(CUgraph graph, CUfunction function, std::vector<CUgraphNode> after, void** parameters,
                       unsigned grid = 1, unsigned block = 1) {
  CUDA_KERNEL_NODE_PARAMS p{};
  p.func = function;
  p.gridDimX = grid;
  p.gridDimY = p.gridDimZ = p.blockDimY = p.blockDimZ = 1;
  p.blockDimX = block;
  p.kernelParams = parameters;
  CUgraphNode node = nullptr;
  REQUIRE_OK(cuGraphAddKernelNode(&node, graph, after.data(), after.size(), &p));
  return node;
}

CUgraphNode add_set(CUgraph graph, const Gpu& gpu, CUdeviceptr at, unsigned value,
                    std::vector<CUgraphNode> after = {}) {
  void* parameters[] = {&at, &value};
  return add_kernel(graph, gpu.function("set"), std::move(after), parameters);
}

CUgraphNode add_increment(CUgraph graph, const Gpu& gpu, CUdeviceptr at, unsigned count,
                          std::vector<CUgraphNode> after = {}) {
  void* parameters[] = {&at, &count};
  return add_kernel(graph, gpu.function("increment"), std::move(after), parameters, 1, count);
}

CUgraphExec instantiate(CUgraph graph, unsigned long long flags = 0) {
  CUgraphExec exec = nullptr;
  REQUIRE_OK(cuGraphInstantiate(&exec, graph, flags));
  return exec;
}

void run(CUgraphExec exec, CUstream stream = nullptr) {
  REQUIRE_OK(cuGraphLaunch(exec, stream));
  REQUIRE_OK(cuStreamSynchronize(stream));
}

CUDA_MEMCPY3D linear_copy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  CUDA_MEMCPY3D p{};
  p.srcMemoryType = p.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  p.srcDevice = from;
  p.dstDevice = to;
  p.WidthInBytes = bytes;
  p.Height = p.Depth = 1;
  return p;
}

}  // namespace

TEST_CASE("graph: kernels, copies, fills and host functions run in the order of their edges") {
  Gpu gpu;
  const CUdeviceptr a = upload<unsigned>({0, 0, 0, 0});
  const CUdeviceptr b = upload<unsigned>({0, 0, 0, 0});
  const CUgraph graph = make_graph();
  CUDA_MEMSET_NODE_PARAMS fill{a, 0, 5, 4, 4, 1};
  CUgraphNode filled = nullptr;
  REQUIRE_OK(cuGraphAddMemsetNode(&filled, graph, nullptr, 0, &fill, gpu.context));
  const CUgraphNode added = add_increment(graph, gpu, a, 4, {filled});
  const CUDA_MEMCPY3D copy = linear_copy(b, a, 16);
  CUgraphNode copied = nullptr;
  REQUIRE_OK(cuGraphAddMemcpyNode(&copied, graph, &added, 1, &copy, gpu.context));
  static std::atomic<int> calls{0};
  CUDA_HOST_NODE_PARAMS host{[](void* data) { calls += *static_cast<int*>(data); }, nullptr};
  static int step = 3;
  host.userData = &step;
  CUgraphNode called = nullptr;
  REQUIRE_OK(cuGraphAddHostNode(&called, graph, &copied, 1, &host));
  const CUgraphExec exec = instantiate(graph);
  CHECK(calls == 0);
  run(exec);
  run(exec);
  CHECK(calls == 6);
  CHECK(download<unsigned>(b, 4) == std::vector<unsigned>{6, 6, 6, 6});

  // The executable graph goes on without the graph.
  REQUIRE_OK(cuGraphDestroy(graph));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));
  run(exec);
  CHECK(calls == 9);
  REQUIRE_OK(cuGraphExecDestroy(exec));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphExecDestroy(exec));
}

TEST_CASE("graph: nodes and edges can be asked for, added and removed") {
  Gpu gpu;
  const CUgraph graph = make_graph();
  CUgraphNode n[3] = {};
  for (CUgraphNode& node : n) REQUIRE_OK(cuGraphAddEmptyNode(&node, graph, nullptr, 0));
  const CUgraphNode from[] = {n[0], n[1]};
  const CUgraphNode to[] = {n[1], n[2]};
  REQUIRE_OK(cuGraphAddDependencies(graph, from, to, nullptr, 2));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, from, to, nullptr, 1));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, n, n, nullptr, 1));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, nullptr, to, nullptr, 1));

  std::size_t count = 0;
  REQUIRE_OK(cuGraphGetNodes(graph, nullptr, &count));
  CHECK(count == 3);
  CUgraphNode found[5] = {};
  count = 5;
  REQUIRE_OK(cuGraphGetNodes(graph, found, &count));
  CHECK(count == 3);
  CHECK(found[2] == n[2]);
  CHECK(found[3] == nullptr);
  count = 5;
  REQUIRE_OK(cuGraphGetRootNodes(graph, found, &count));
  CHECK(count == 1);
  CHECK(found[0] == n[0]);
  CUgraphNode tails[4];
  CUgraphNode heads[4];
  CUgraphEdgeData data[4];
  count = 4;
  REQUIRE_OK(cuGraphGetEdges(graph, tails, heads, data, &count));
  CHECK(count == 2);
  CHECK(tails[1] == n[1]);
  CHECK(heads[1] == n[2]);
  CHECK(data[1].type == CU_GRAPH_DEPENDENCY_TYPE_DEFAULT);
  count = 4;
  REQUIRE_OK(cuGraphNodeGetDependencies(n[1], found, data, &count));
  CHECK(count == 1);
  CHECK(found[0] == n[0]);
  REQUIRE_OK(cuGraphNodeGetDependentNodes(n[1], nullptr, nullptr, &count));
  CHECK(count == 1);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphNodeGetDependencies(n[1], found, data, nullptr));
  CUgraphNodeType type{};
  REQUIRE_OK(cuGraphNodeGetType(n[0], &type));
  CHECK(type == CU_GRAPH_NODE_TYPE_EMPTY);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphNodeGetType(nullptr, &type));

  REQUIRE_OK(cuGraphRemoveDependencies(graph, from, to, nullptr, 1));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphRemoveDependencies(graph, from, to, nullptr, 1));
  REQUIRE_OK(cuGraphDestroyNode(n[1]));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphDestroyNode(n[1]));
  count = 4;
  REQUIRE_OK(cuGraphGetRootNodes(graph, found, &count));
  CHECK(count == 2);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddEmptyNode(&n[1], graph, &from[1], 1));
}

TEST_CASE("graph: wrong arguments are refused") {
  Gpu gpu;
  CUgraph graph = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphCreate(nullptr, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphCreate(&graph, 1));
  graph = make_graph();
  CUgraphNode node = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddKernelNode(&node, graph, nullptr, 0, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddEmptyNode(nullptr, graph, nullptr, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddEmptyNode(&node, graph, nullptr, 1));
  CHECK_RESULT(CUDA_ERROR_INVALID_HANDLE, cuGraphAddEventRecordNode(&node, graph, nullptr, 0, nullptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddMemFreeNode(&node, graph, nullptr, 0, 0x1234));
  CUDA_HOST_NODE_PARAMS host{};
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddHostNode(&node, graph, nullptr, 0, &host));
  CUDA_MEMSET_NODE_PARAMS fill{upload<unsigned>({0}), 0, 5, 3, 1, 1};
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddMemsetNode(&node, graph, nullptr, 0, &fill, gpu.context));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddChildGraphNode(&node, graph, nullptr, 0, graph));
  CUDA_EXT_SEM_SIGNAL_NODE_PARAMS semaphores{};
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED, cuGraphAddExternalSemaphoresSignalNode(&node, graph, nullptr, 0, &semaphores));
  CUgraphExec exec = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiate(nullptr, graph, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiate(&exec, nullptr, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiate(&exec, graph, 64));
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED, cuGraphInstantiate(&exec, graph, CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH));

  // A cycle is found when the graph is made ready.
  CUgraphNode a = nullptr;
  CUgraphNode b = nullptr;
  REQUIRE_OK(cuGraphAddEmptyNode(&a, graph, nullptr, 0));
  REQUIRE_OK(cuGraphAddEmptyNode(&b, graph, &a, 1));
  REQUIRE_OK(cuGraphAddDependencies(graph, &b, &a, nullptr, 1));
  CUDA_GRAPH_INSTANTIATE_PARAMS parameters{};
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithParams(&exec, graph, &parameters));
  CHECK(parameters.result_out == CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE);
  CHECK((parameters.hErrNode_out == a || parameters.hErrNode_out == b));
}

TEST_CASE("graph: a kernel node's parameters and attributes can be read and set") {
  Gpu gpu;
  const CUdeviceptr value = upload<unsigned>({0});
  const CUgraph graph = make_graph();
  const CUgraphNode node = add_set(graph, gpu, value, 7);
  CUDA_KERNEL_NODE_PARAMS p{};
  REQUIRE_OK(cuGraphKernelNodeGetParams(node, &p));
  CHECK(p.func == gpu.function("set"));
  CHECK(p.gridDimX == 1);
  CHECK(*static_cast<unsigned*>(p.kernelParams[1]) == 7);
  const CUgraphExec exec = instantiate(graph);

  unsigned other = 9;
  CUdeviceptr at = value;
  void* parameters[] = {&at, &other};
  p.kernelParams = parameters;
  REQUIRE_OK(cuGraphKernelNodeSetParams(node, &p));
  run(exec);
  CHECK(download<unsigned>(value, 1)[0] == 7);
  REQUIRE_OK(cuGraphExecKernelNodeSetParams(exec, node, &p));
  run(exec);
  CHECK(download<unsigned>(value, 1)[0] == 9);
  p.blockDimX = 4096;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphKernelNodeSetParams(node, &p));

  CUkernelNodeAttrValue attribute{};
  attribute.cooperative = 1;
  REQUIRE_OK(cuGraphKernelNodeSetAttribute(node, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &attribute));
  attribute = {};
  REQUIRE_OK(cuGraphKernelNodeGetAttribute(node, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &attribute));
  CHECK(attribute.cooperative == 1);
  const CUgraphNode second = add_set(graph, gpu, value, 1);
  REQUIRE_OK(cuGraphKernelNodeCopyAttributes(second, node));
  attribute = {};
  REQUIRE_OK(cuGraphKernelNodeGetAttribute(second, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &attribute));
  CHECK(attribute.cooperative == 1);
  CUgraphNode empty = nullptr;
  REQUIRE_OK(cuGraphAddEmptyNode(&empty, graph, nullptr, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphKernelNodeGetParams(empty, &p));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE,
               cuGraphKernelNodeGetAttribute(empty, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &attribute));
}

TEST_CASE("graph: nodes of an executable graph can be disabled and changed for later launches") {
  Gpu gpu;
  const CUdeviceptr value = upload<unsigned>({0, 0});
  const CUgraph graph = make_graph();
  const CUgraphNode first = add_set(graph, gpu, value, 1);
  CUDA_MEMSET_NODE_PARAMS fill{value + 4, 0, 3, 4, 1, 1};
  CUgraphNode filled = nullptr;
  REQUIRE_OK(cuGraphAddMemsetNode(&filled, graph, &first, 1, &fill, gpu.context));
  const CUgraphExec exec = instantiate(graph);
  REQUIRE_OK(cuGraphNodeSetEnabled(exec, first, 0));
  unsigned enabled = 1;
  REQUIRE_OK(cuGraphNodeGetEnabled(exec, first, &enabled));
  CHECK(enabled == 0);
  fill.value = 4;
  REQUIRE_OK(cuGraphExecMemsetNodeSetParams(exec, filled, &fill, gpu.context));
  run(exec);
  CHECK(download<unsigned>(value, 2) == std::vector<unsigned>{0, 4});
  REQUIRE_OK(cuGraphNodeSetEnabled(exec, first, 1));
  run(exec);
  CHECK(download<unsigned>(value, 2) == std::vector<unsigned>{1, 4});
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphNodeSetEnabled(exec, nullptr, 1));
  cuuint64_t flags = 1;
  REQUIRE_OK(cuGraphExecGetFlags(exec, &flags));
  CHECK(flags == 0);
}

TEST_CASE("graph: a whole update takes parameters from a graph of the same shape only") {
  Gpu gpu;
  const CUdeviceptr value = upload<unsigned>({0, 0});
  const CUgraph graph = make_graph();
  add_set(graph, gpu, value + 4, 2, {add_set(graph, gpu, value, 1)});
  const CUgraphExec exec = instantiate(graph);

  const CUgraph same = make_graph();
  add_set(same, gpu, value + 4, 20, {add_set(same, gpu, value, 10)});
  CUgraphExecUpdateResultInfo info{};
  REQUIRE_OK(cuGraphExecUpdate(exec, same, &info));
  CHECK(info.result == CU_GRAPH_EXEC_UPDATE_SUCCESS);
  run(exec);
  CHECK(download<unsigned>(value, 2) == std::vector<unsigned>{10, 20});

  const CUgraph wider = make_graph();
  add_set(wider, gpu, value, 1);
  add_set(wider, gpu, value + 4, 1);
  CHECK_RESULT(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate(exec, wider, &info));
  CHECK(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);

  const CUgraph other_kind = make_graph();
  CUgraphNode empty = nullptr;
  REQUIRE_OK(cuGraphAddEmptyNode(&empty, other_kind, nullptr, 0));
  add_set(other_kind, gpu, value, 1, {empty});
  CHECK_RESULT(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate(exec, other_kind, &info));
  CHECK(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED);
  CHECK(info.errorNode == empty);
  run(exec);
  CHECK(download<unsigned>(value, 2) == std::vector<unsigned>{10, 20});
}

TEST_CASE("graph: child graphs are copies, and clones know their originals") {
  Gpu gpu;
  const CUdeviceptr value = upload<unsigned>({0});
  const CUgraph inner = make_graph();
  const CUgraphNode set = add_set(inner, gpu, value, 5);
  const CUgraph outer = make_graph();
  CUgraphNode child = nullptr;
  REQUIRE_OK(cuGraphAddChildGraphNode(&child, outer, nullptr, 0, inner));
  REQUIRE_OK(cuGraphDestroyNode(set));
  add_increment(outer, gpu, value, 1, {child});
  run(instantiate(outer));
  CHECK(download<unsigned>(value, 1)[0] == 6);
  CUgraph embedded = nullptr;
  REQUIRE_OK(cuGraphChildGraphNodeGetGraph(child, &embedded));
  CHECK(embedded != inner);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(embedded));

  CUgraph clone = nullptr;
  REQUIRE_OK(cuGraphClone(&clone, outer));
  CUgraphNode found = nullptr;
  REQUIRE_OK(cuGraphNodeFindInClone(&found, child, clone));
  CHECK(found != child);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphNodeFindInClone(&found, child, outer));
}

TEST_CASE("graph: events are recorded and waited for by nodes") {
  Gpu gpu;
  const CUdeviceptr value = upload<unsigned>({0});
  CUevent event = nullptr;
  REQUIRE_OK(cuEventCreate(&event, 0));
  const CUgraph graph = make_graph();
  CUgraphNode recorded = nullptr;
  const CUgraphNode set = add_set(graph, gpu, value, 5);
  REQUIRE_OK(cuGraphAddEventRecordNode(&recorded, graph, &set, 1, event));
  CUevent given = nullptr;
  REQUIRE_OK(cuGraphEventRecordNodeGetEvent(recorded, &given));
  CHECK(given == event);
  const CUgraphExec exec = instantiate(graph);
  Flag flag;
  CUstream stream = nullptr;
  REQUIRE_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  REQUIRE_OK(launch(gpu.function("wait_for"), 1, 1, stream, flag.device()));
  REQUIRE_OK(cuGraphLaunch(exec, stream));
  CHECK_RESULT(CUDA_ERROR_NOT_READY, cuEventQuery(event));

  const CUgraph waiter = make_graph();
  CUgraphNode wait = nullptr;
  REQUIRE_OK(cuGraphAddEventWaitNode(&wait, waiter, nullptr, 0, event));
  add_increment(waiter, gpu, value, 1, {wait});
  CUstream other = nullptr;
  REQUIRE_OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
  REQUIRE_OK(cuGraphLaunch(instantiate(waiter), other));
  CHECK_RESULT(CUDA_ERROR_NOT_READY, cuStreamQuery(other));
  flag.raise();
  REQUIRE_OK(cuEventSynchronize(event));
  REQUIRE_OK(cuStreamSynchronize(other));
  CHECK(download<unsigned>(value, 1)[0] == 6);
}

TEST_CASE("graph: its memory has a fixed address and must be free for the next launch") {
  Gpu gpu;
  const CUgraph graph = make_graph();
  CUDA_MEM_ALLOC_NODE_PARAMS p{};
  p.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  p.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  p.bytesize = 1024;
  CUgraphNode allocated = nullptr;
  REQUIRE_OK(cuGraphAddMemAllocNode(&allocated, graph, nullptr, 0, &p));
  REQUIRE(p.dptr != 0);
  add_set(graph, gpu, p.dptr, 77, {allocated});
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED, cuGraphDestroyNode(allocated));
  CUgraph clone = nullptr;
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED, cuGraphClone(&clone, graph));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuMemFree(p.dptr));
  const CUgraphExec exec = instantiate(graph);
  CUgraphExec second = nullptr;
  CHECK_RESULT(CUDA_ERROR_NOT_SUPPORTED, cuGraphInstantiate(&second, graph, 0));
  run(exec);
  CHECK(download<unsigned>(p.dptr, 1)[0] == 77);
  cuuint64_t used = 0;
  REQUIRE_OK(cuDeviceGetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &used));
  CHECK(used >= 1024);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, nullptr));
  REQUIRE_OK(cuMemFreeAsync(p.dptr, nullptr));
  run(exec);
  REQUIRE_OK(cuMemFree(p.dptr));
  REQUIRE_OK(cuDeviceGetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &used));
  CHECK(used == 0);
  REQUIRE_OK(cuDeviceGraphMemTrim(0));
  used = 0;
  REQUIRE_OK(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, &used));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &used));

  // With a free node, or with the flag, it can be launched again and again.
  REQUIRE_OK(cuGraphExecDestroy(exec));
  const CUgraphExec freeing = instantiate(graph, CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);
  run(freeing);
  run(freeing);
  REQUIRE_OK(cuMemFree(p.dptr));
  REQUIRE_OK(cuGraphExecDestroy(freeing));
  CUgraphNode freed = nullptr;
  REQUIRE_OK(cuGraphAddMemFreeNode(&freed, graph, &allocated, 1, p.dptr));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddMemFreeNode(&freed, graph, &allocated, 1, p.dptr));
  const CUgraphExec closed = instantiate(graph);
  run(closed);
  run(closed);
}

TEST_CASE("graph: conditional nodes run their bodies by the handle's value") {
  Gpu gpu;
  const CUdeviceptr value = upload<unsigned>({0, 0});
  const CUgraph graph = make_graph();
  CUgraphConditionalHandle handle = 0;
  REQUIRE_OK(cuGraphConditionalHandleCreate(&handle, graph, gpu.context, 1, CU_GRAPH_COND_ASSIGN_DEFAULT));
  CUgraphExec exec = nullptr;
  CUDA_GRAPH_INSTANTIATE_PARAMS parameters{};
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithParams(&exec, graph, &parameters));
  CHECK(parameters.result_out == CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED);
  CUgraphNodeParams p{};
  p.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
  p.conditional.handle = handle;
  p.conditional.type = CU_GRAPH_COND_TYPE_IF;
  p.conditional.size = 3;
  p.conditional.ctx = gpu.context;
  CUgraphNode node = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphAddNode(&node, graph, nullptr, nullptr, 0, &p));
  p.conditional.size = 2;
  REQUIRE_OK(cuGraphAddNode(&node, graph, nullptr, nullptr, 0, &p));
  add_set(p.conditional.phGraph_out[0], gpu, value, 1);
  add_set(p.conditional.phGraph_out[1], gpu, value + 4, 1);
  run(instantiate(graph));
  CHECK(download<unsigned>(value, 2) == std::vector<unsigned>{1, 0});
}

TEST_CASE("graph: user objects live as long as someone holds them") {
  Gpu gpu;
  static std::atomic<int> destroyed{0};
  CUuserObject object = nullptr;
  REQUIRE_OK(cuUserObjectCreate(
      &object, nullptr, [](void*) { ++destroyed; }, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuUserObjectCreate(&object, nullptr, nullptr, 1, 1));
  const CUgraph graph = make_graph();
  REQUIRE_OK(cuUserObjectRetain(object, 1));
  REQUIRE_OK(cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphReleaseUserObject(graph, object, 2));
  const CUgraphExec exec = instantiate(graph);
  REQUIRE_OK(cuGraphDestroy(graph));
  REQUIRE_OK(cuUserObjectRelease(object, 1));
  CHECK(destroyed == 0);
  REQUIRE_OK(cuGraphExecDestroy(exec));
  while (destroyed == 0) std::this_thread::yield();
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuUserObjectRetain(object, 1));
}

TEST_CASE("graph: memory operations write and wait, in a stream and in a graph") {
  Gpu gpu;
  const CUdeviceptr value = upload<unsigned>({0, 0});
  CUstream stream = nullptr;
  REQUIRE_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  REQUIRE_OK(cuStreamWaitValue32(stream, value, 3, CU_STREAM_WAIT_VALUE_GEQ));
  REQUIRE_OK(cuStreamWriteValue32(stream, value + 4, 8, 0));
  CHECK_RESULT(CUDA_ERROR_NOT_READY, cuStreamQuery(stream));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuStreamWriteValue32(stream, value + 1, 8, 0));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuStreamWaitValue32(stream, value, 8, 128));
  const CUgraph graph = make_graph();
  CUstreamBatchMemOpParams operation{};
  operation.writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
  operation.writeValue.address = value;
  operation.writeValue.value = 4;
  CUDA_BATCH_MEM_OP_NODE_PARAMS p{gpu.context, 1, &operation, 0};
  CUgraphNode node = nullptr;
  REQUIRE_OK(cuGraphAddBatchMemOpNode(&node, graph, nullptr, 0, &p));
  CUstream other = nullptr;
  REQUIRE_OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
  run(instantiate(graph), other);
  REQUIRE_OK(cuStreamSynchronize(stream));
  CHECK(download<unsigned>(value, 2) == std::vector<unsigned>{4, 8});
}

TEST_CASE("graph: a graph can be printed") {
  Gpu gpu;
  const CUgraph graph = make_graph();
  add_set(graph, gpu, upload<unsigned>({0}), 7);
  const std::string path = (std::filesystem::temp_directory_path() / ("graph." + std::to_string(getpid()))).string();
  REQUIRE_OK(cuGraphDebugDotPrint(graph, path.c_str(), CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE));
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  CHECK(text.find("set") != std::string::npos);
  std::filesystem::remove(path);
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphDebugDotPrint(graph, nullptr, 0));
}

TEST_CASE("graph: a fault in a node is the sticky error") {
  Gpu gpu;
  const CUgraph graph = make_graph();
  add_kernel(graph, gpu.function("trap"), {}, nullptr);
  const CUgraphExec exec = instantiate(graph);
  REQUIRE_OK(cuGraphLaunch(exec, nullptr));
  CHECK_RESULT(CUDA_ERROR_LAUNCH_FAILED, cuStreamSynchronize(nullptr));
  CHECK_RESULT(CUDA_ERROR_LAUNCH_FAILED, cuGraphLaunch(exec, nullptr));
}
