// Graph nodes: what the driver gets of their parameters, what the guest gets back, and what ends the session.
#include "protocol/graph_node.hpp"

#include <catch2/catch.hpp>

#include "executor/graph_host_call.hpp"
#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

template <typename T>
T native(unsigned number) {
  return reinterpret_cast<T>(std::uintptr_t{0x100000} + std::uintptr_t{0x1000} * number);
}

struct Seen {
  unsigned added = 0;
  std::vector<CUgraphNodeType> types;
  unsigned graphs_alive = 0;
  std::vector<void*> kept;
  CUgraphNodeParams parameters{};
  std::vector<CUgraphNode> dependencies;
  std::vector<CUgraphEdgeData> edges;
  std::vector<std::byte> packed;
  CUlaunchAttributeID attribute{};
  unsigned enabled = 0;
};
Seen seen;
std::array<CUgraph, 2> bodies{native<CUgraph>(51), native<CUgraph>(52)};

CUresult add_node(CUgraphNode* node, CUgraph, const CUgraphNode* dependencies, const CUgraphEdgeData* edges,
                  size_t count, CUgraphNodeParams* parameters) {
  seen.dependencies.assign(dependencies, dependencies + count);
  seen.edges.assign(edges, edges != nullptr ? edges + count : edges);
  if (parameters->type == CU_GRAPH_NODE_TYPE_KERNEL && parameters->kernel.extra != nullptr) {
    const auto* at = static_cast<const std::byte*>(parameters->kernel.extra[1]);
    seen.packed.assign(at, at + *static_cast<const size_t*>(parameters->kernel.extra[3]));
  }
  if (parameters->type == CU_GRAPH_NODE_TYPE_CONDITIONAL) parameters->conditional.phGraph_out = bodies.data();
  if (parameters->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC) parameters->alloc.dptr = 0x7000;
  seen.types.push_back(parameters->type);
  seen.parameters = *parameters;
  *node = native<CUgraphNode>(100 + ++seen.added);
  return CUDA_SUCCESS;
}

CUresult set_exec(CUgraphExec, CUgraphNode, CUgraphNodeParams* parameters) {
  seen.parameters = *parameters;
  return CUDA_SUCCESS;
}

CUresult node_type(CUgraphNode, CUgraphNodeType* type) {
  *type = CU_GRAPH_NODE_TYPE_KERNEL;
  return CUDA_SUCCESS;
}

// A kernel of two parameters: four bytes, and eight at 8.
CUresult parameter_info(CUfunction, size_t index, size_t* offset, size_t* size) {
  if (index >= 2) return CUDA_ERROR_INVALID_VALUE;
  *offset = index * 8;
  *size = index == 0 ? 4 : 8;
  return CUDA_SUCCESS;
}

CUresult kernel_parameters(CUgraphNode, CUDA_KERNEL_NODE_PARAMS* to) {
  static int first = 0x11223344;
  static long long second = 0x0102030405060708;
  static void* pointers[] = {&first, &second};
  *to = {};
  to->func = native<CUfunction>(1);
  to->gridDimX = 5;
  to->kernelParams = pointers;
  return CUDA_SUCCESS;
}

CUresult set_attribute(CUgraphNode, CUkernelNodeAttrID id, const CUkernelNodeAttrValue*) {
  seen.attribute = id;
  return CUDA_SUCCESS;
}

CUresult create_graph(CUgraph* graph, unsigned) {
  ++seen.graphs_alive;
  *graph = native<CUgraph>(60);
  return CUDA_SUCCESS;
}

CUresult destroy_graph(CUgraph) {
  --seen.graphs_alive;
  return CUDA_SUCCESS;
}

CUresult create_object(CUuserObject* object, void* call, CUhostFn, unsigned, unsigned) {
  seen.kept.push_back(call);
  *object = native<CUuserObject>(70);
  return CUDA_SUCCESS;
}

CUresult retain_object(CUgraph, CUuserObject, unsigned, unsigned) { return CUDA_SUCCESS; }

CUresult set_enabled(CUgraphExec, CUgraphNode, unsigned enabled) {
  seen.enabled = enabled;
  return CUDA_SUCCESS;
}

executor::Driver with_nodes(const FakeCuda& cuda) {
  seen = {};
  executor::Driver driver = cuda.driver();
  driver.cuGraphAddNode_v2 = add_node;
  driver.cuGraphExecNodeSetParams = set_exec;
  driver.cuGraphNodeGetType = node_type;
  driver.cuGraphKernelNodeGetParams_v2 = kernel_parameters;
  driver.cuFuncGetParamInfo = parameter_info;
  driver.cuGraphKernelNodeSetAttribute = set_attribute;
  driver.cuGraphNodeSetEnabled = set_enabled;
  driver.cuGraphCreate = create_graph;
  driver.cuGraphDestroy = destroy_graph;
  driver.cuUserObjectCreate = create_object;
  driver.cuGraphRetainUserObject = retain_object;
  return driver;
}

template <typename... Parts>
std::vector<std::byte> tail_of(const Parts&... parts) {
  std::vector<std::byte> tail;
  const auto append = [&](const auto& part) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&part);
    tail.insert(tail.end(), bytes, bytes + sizeof part);
  };
  (append(parts), ...);
  return tail;
}

const FunctionHandle kFunction = FunctionHandle::make(3, 1);
constexpr auto kAnswer = Offset{VGPU_STAGING_OFFSET};

struct World {
  FakeCuda cuda;
  executor::Driver driver = with_nodes(cuda);
  Guest guest{driver};
  GraphHandle graph = guest.session->graphs.add(native<CUgraph>(1));
  GraphExecHandle exec = GraphExecHandle::make(1, 0);

  World() {
    guest.session->handles.put(kFunction, native<void*>(1));
    guest.session->handles.put(exec, native<void*>(9));
  }
  CUresult add(CUgraphNodeType type, const std::vector<std::byte>& tail, u32 dependencies,
               GraphNodeHandle* node = nullptr, Offset answer = kInline, u64* bytes = nullptr) {
    call::cuGraphAddNode::Reply reply{};
    const CUresult result =
        guest.call<call::cuGraphAddNode>({graph, static_cast<u32>(type), dependencies, answer}, &reply, tail);
    if (node != nullptr) *node = reply.node;
    if (bytes != nullptr) *bytes = reply.answer_bytes;
    return result;
  }
};

const KernelNode kKernel{{kFunction.value}, {0}, 2, 3, 4, 32, 1, 1, 100, 16};
const std::array<u64, 2> kValues{7, 8};

}  // namespace

TEST_CASE("graph nodes: the driver gets a kernel node's own values and its edges") {
  World world;
  GraphNodeHandle first{0};
  REQUIRE(world.add(CU_GRAPH_NODE_TYPE_EMPTY, {}, 0, &first) == CUDA_SUCCESS);
  CHECK(world.guest.session->handles.find<CUgraphNode>(first) == native<CUgraphNode>(101));
  const NodeDependency edge{first, {std::byte{1}, std::byte{0}, std::byte{1}}};
  REQUIRE(world.add(CU_GRAPH_NODE_TYPE_KERNEL, tail_of(edge, kKernel, kValues), 1) == CUDA_SUCCESS);
  CHECK(seen.parameters.kernel.func == native<CUfunction>(1));
  CHECK(seen.parameters.kernel.gridDimZ == 4);
  CHECK(seen.parameters.kernel.blockDimX == 32);
  CHECK(seen.parameters.kernel.sharedMemBytes == 100);
  CHECK(seen.parameters.kernel.kernelParams == nullptr);
  CHECK(seen.packed == tail_of(kValues));
  REQUIRE(seen.dependencies.size() == 1);
  CHECK(seen.dependencies[0] == native<CUgraphNode>(101));
  CHECK(seen.edges[0].from_port == 1);
  CHECK(seen.edges[0].type == 1);
}

TEST_CASE("graph nodes: handles that name nothing are errors, and nothing is made") {
  World world;
  const NodeDependency nobody{GraphNodeHandle::make(77, 0), {}};
  CHECK(world.add(CU_GRAPH_NODE_TYPE_EMPTY, tail_of(nobody), 1) == CUDA_ERROR_INVALID_VALUE);
  KernelNode kernel = kKernel;
  kernel.function.value = FunctionHandle::make(4, 1).value;
  CHECK(world.add(CU_GRAPH_NODE_TYPE_KERNEL, tail_of(kernel, kValues), 0) == CUDA_ERROR_INVALID_HANDLE);
  kernel = kKernel;
  kernel.context = ContextHandle::make(9, 0);
  CHECK(world.add(CU_GRAPH_NODE_TYPE_KERNEL, tail_of(kernel, kValues), 0) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(world.add(CU_GRAPH_NODE_TYPE_WAIT_EVENT, tail_of(EventNode{EventHandle::make(1, 0)}), 0) ==
        CUDA_ERROR_INVALID_HANDLE);
  CHECK(world.add(CU_GRAPH_NODE_TYPE_GRAPH, tail_of(ChildNode{GraphHandle::make(8, 0), 0, 0}), 0) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(world.add(CU_GRAPH_NODE_TYPE_CONDITIONAL, tail_of(ConditionalNode{1234, {0}, 0, 1}), 0) ==
        CUDA_ERROR_INVALID_VALUE);
  CHECK(world.add(CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT, {}, 0) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(world.guest.unsupported("cuGraphAddNode") == 1);
  CHECK(seen.added == 0);
  CHECK(world.guest.state() != VGPU_STATE_ENDED);
}

TEST_CASE("graph nodes: a wrong length or memory of the executor's own ends the session") {
  World world;
  CopyNode copy{};
  copy.width = 16;
  copy.height = copy.depth = 1;
  copy.destination.memory = CU_MEMORYTYPE_DEVICE;
  copy.source.memory = CU_MEMORYTYPE_HOST;
  copy.source.address = VGPU_STAGING_OFFSET;
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_MEMCPY;
  std::vector<std::byte> tail;
  SECTION("a length") {
    type = CU_GRAPH_NODE_TYPE_KERNEL;
    tail = tail_of(kKernel, u64{7});
  }
  SECTION("too many dependencies") {
    const u32 count = kMaxNodeDependencies + 1;
    world.add(CU_GRAPH_NODE_TYPE_EMPTY, {}, count);
    CHECK(world.guest.reason() == VGPU_END_BAD_REQUEST);
    return;
  }
  SECTION("beyond the region") {
    copy.source.address = ~u64{0} - 8;
    tail = tail_of(copy);
  }
  SECTION("a distance that overflows") {
    copy.source.y = ~u64{0} / 2;
    copy.source.pitch = 16;
    tail = tail_of(copy);
  }
  SECTION("rows that reach beyond") {
    copy.height = 1u << 20;
    copy.source.pitch = 1u << 20;
    tail = tail_of(copy);
  }
  world.add(type, tail, 0);
  CHECK(world.guest.state() == VGPU_STATE_ENDED);
  CHECK(seen.added == 0);
}

TEST_CASE("graph nodes: a copy's host side lies in the region, and a missing pitch is not the driver's to guess") {
  World world;
  CopyNode copy{};
  copy.width = 16;
  copy.height = 2;
  copy.depth = 1;
  copy.source = {4, 1, 0, 0, VGPU_STAGING_OFFSET, 32, 0, 0, CU_MEMORYTYPE_HOST, 0};
  copy.destination.memory = CU_MEMORYTYPE_DEVICE;
  copy.destination.address = 0x4000;
  REQUIRE(world.add(CU_GRAPH_NODE_TYPE_MEMCPY, tail_of(copy), 0) == CUDA_SUCCESS);
  const CUDA_MEMCPY3D& got = seen.parameters.memcpy.copyParams;
  CHECK(got.srcMemoryType == CU_MEMORYTYPE_HOST);
  CHECK(got.srcHost == world.guest.region.staging());
  CHECK(got.srcXInBytes == 4);
  CHECK(got.srcY == 1);
  CHECK(got.dstDevice == 0x4000);
  copy.source.pitch = 0;
  CHECK(world.add(CU_GRAPH_NODE_TYPE_MEMCPY, tail_of(copy), 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("graph nodes: what the driver fills in comes back") {
  World world;
  REQUIRE(world.guest.session->graphs.add_condition(world.graph, 1234));
  GraphNodeHandle node{0};
  u64 bytes = 0;
  REQUIRE(world.add(CU_GRAPH_NODE_TYPE_CONDITIONAL, tail_of(ConditionalNode{1234, {0}, CU_GRAPH_COND_TYPE_IF, 2}), 0,
                    &node, kAnswer, &bytes) == CUDA_SUCCESS);
  REQUIRE(bytes == sizeof(ConditionalNode) + 2 * sizeof(GraphHandle));
  std::array<GraphHandle, 2> handles;
  std::memcpy(&handles, world.guest.region.staging() + sizeof(ConditionalNode), sizeof handles);
  CHECK(world.guest.session->handles.find<CUgraph>(handles[0]) == bodies[0]);
  CHECK(world.guest.session->handles.find<CUgraph>(handles[1]) == bodies[1]);
  world.guest.session->graphs.drop(node);
  CHECK(world.guest.session->handles.find<CUgraph>(handles[0]) == nullptr);
}

TEST_CASE("graph nodes: parameters are packed and named by the guest's handles when it asks") {
  World world;
  GraphNodeHandle node{0};
  REQUIRE(world.add(CU_GRAPH_NODE_TYPE_KERNEL, tail_of(kKernel, kValues), 0, &node) == CUDA_SUCCESS);
  call::vgpuGraphNodeGetParams::Reply reply{};
  REQUIRE(world.guest.call<call::vgpuGraphNodeGetParams>({node, kAnswer, CU_GRAPH_NODE_TYPE_KERNEL, 0}, &reply) ==
          CUDA_SUCCESS);
  REQUIRE(reply.answer_bytes == sizeof(KernelNode) + 16);
  KernelNode kernel;
  std::array<u64, 2> values;
  std::memcpy(&kernel, world.guest.region.staging(), sizeof kernel);
  std::memcpy(&values, world.guest.region.staging() + sizeof kernel, sizeof values);
  CHECK(kernel.function.value == kFunction.value);
  CHECK(kernel.grid_x == 5);
  CHECK(static_cast<u32>(values[0]) == 0x11223344);
  CHECK(values[1] == 0x0102030405060708);
  CHECK(world.guest.call<call::vgpuGraphNodeGetParams>({node, kAnswer, CU_GRAPH_NODE_TYPE_MEMSET, 0}) ==
        CUDA_ERROR_INVALID_VALUE);
  world.guest.call<call::vgpuGraphNodeGetParams>({node, Offset{8}, CU_GRAPH_NODE_TYPE_KERNEL, 0});
  CHECK(world.guest.reason() == VGPU_END_BAD_BULK);
}

TEST_CASE("graph nodes: executable graphs' nodes change, attributes are checked, nodes are disabled") {
  World world;
  GraphNodeHandle node{0};
  REQUIRE(world.add(CU_GRAPH_NODE_TYPE_EMPTY, {}, 0, &node) == CUDA_SUCCESS);
  const FillNode fill{Pointer{0x5000}, 0, 64, 1, 0xab, 1, {0}};
  CHECK(world.guest.call<call::cuGraphExecNodeSetParams>({world.exec, node, CU_GRAPH_NODE_TYPE_MEMSET, 0}, nullptr,
                                                         tail_of(fill)) == CUDA_SUCCESS);
  CHECK(seen.parameters.memset.dst == 0x5000);
  CHECK(seen.parameters.memset.width == 64);
  LaunchAttribute attribute{CU_LAUNCH_ATTRIBUTE_PRIORITY, 0, {}};
  CHECK(world.guest.call<call::cuGraphKernelNodeSetAttribute>({node}, nullptr, tail_of(attribute)) == CUDA_SUCCESS);
  CHECK(seen.attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY);
  attribute.id = CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE;
  CHECK(world.guest.call<call::cuGraphKernelNodeSetAttribute>({node}, nullptr, tail_of(attribute)) ==
        CUDA_ERROR_NOT_SUPPORTED);
  CHECK(world.guest.call<call::cuGraphKernelNodeGetAttribute>({node, attribute.id, 0}) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(world.guest.unsupported("cuGraphKernelNodeSetAttribute") == 1);
  CHECK(world.guest.unsupported("cuGraphKernelNodeGetAttribute") == 1);
  CHECK(world.guest.call<call::cuGraphNodeSetEnabled>({world.exec, node, 1, 0}) == CUDA_SUCCESS);
  CHECK(seen.enabled == 1);
  CHECK(world.guest.call<call::cuGraphNodeSetEnabled>({GraphExecHandle::make(5, 0), node, 1, 0}) ==
        CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("graph nodes: a host function is kept by its graph") {
  World world;
  REQUIRE(world.add(CU_GRAPH_NODE_TYPE_HOST, tail_of(HostNode{42}), 0) == CUDA_SUCCESS);
  CHECK(seen.parameters.host.fn == &executor::run_graph_host_call);
  REQUIRE(seen.kept.size() == 1);
  CHECK(seen.parameters.host.userData == seen.kept[0]);
  CHECK(static_cast<executor::GraphHostCall*>(seen.kept[0])->id == 42);
  delete static_cast<executor::GraphHostCall*>(seen.kept[0]);
}

TEST_CASE("graph nodes: a copy of pageable memory is a child graph with the guest's functions around it") {
  World world;
  CopyNode copy{};
  copy.width = 16;
  copy.height = copy.depth = 1;
  copy.source = {0, 0, 0, 0, VGPU_STAGING_OFFSET, 16, 1, 5, CU_MEMORYTYPE_HOST, 0};
  copy.destination = {0, 0, 0, 0, VGPU_STAGING_OFFSET + 64, 16, 1, 6, CU_MEMORYTYPE_HOST, 0};
  REQUIRE(world.add(CU_GRAPH_NODE_TYPE_MEMCPY, tail_of(copy), 0) == CUDA_SUCCESS);
  CHECK(seen.types == std::vector{CU_GRAPH_NODE_TYPE_HOST, CU_GRAPH_NODE_TYPE_MEMCPY, CU_GRAPH_NODE_TYPE_HOST,
                                  CU_GRAPH_NODE_TYPE_GRAPH});
  CHECK(seen.parameters.graph.graph == native<CUgraph>(60));
  CHECK(seen.graphs_alive == 0);
  REQUIRE(seen.kept.size() == 2);
  CHECK(static_cast<executor::GraphHostCall*>(seen.kept[0])->id == 5);
  CHECK(static_cast<executor::GraphHostCall*>(seen.kept[1])->id == 6);
  for (void* call : seen.kept) delete static_cast<executor::GraphHostCall*>(call);

  // Only memory of the region has functions.
  copy.source.memory = CU_MEMORYTYPE_DEVICE;
  world.add(CU_GRAPH_NODE_TYPE_MEMCPY, tail_of(copy), 0);
  CHECK(world.guest.reason() == VGPU_END_BAD_REQUEST);
}
