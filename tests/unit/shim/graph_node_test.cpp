// Graph nodes: one form for all kinds on the way to the host, and memory of the program's own on the way back.
#include "protocol/graph_node.hpp"

#include <catch2/catch.hpp>
#include <cstring>

#include "fake_executor.hpp"

using namespace vgpu::protocol;
using namespace vgpu::shim::test;

namespace {

const CUgraph kGraph = reinterpret_cast<CUgraph>(GraphHandle::make(1, 0).value);
const CUgraphExec kExec = reinterpret_cast<CUgraphExec>(GraphExecHandle::make(1, 0).value);
constexpr GraphNodeHandle kNode = GraphNodeHandle::make(4, 2);

template <typename T>
T part(const std::vector<std::byte>& bytes, std::size_t at = 0) {
  T value{};
  REQUIRE(bytes.size() >= at + sizeof value);
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// Answers the next calls with `bytes` of parameters.
template <typename Call, typename Reply>
void answer_with(Session& session, Reply reply, std::vector<std::byte> bytes) {
  reply.answer_bytes = bytes.size();
  session.executor.on<Call>([&session, reply, bytes](const Record& record) {
    std::memcpy(session.executor.region() + static_cast<u64>(record.as<Call>().answer), bytes.data(), bytes.size());
    return reply_with(reply);
  });
}

template <typename... Parts>
std::vector<std::byte> bytes_of(const Parts&... parts) {
  std::vector<std::byte> all;
  const auto append = [&](const auto& it) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&it);
    all.insert(all.end(), bytes, bytes + sizeof it);
  };
  (append(parts), ...);
  return all;
}

void accept_nodes(Session& session) {
  session.executor.on<call::cuGraphAddNode>([](const Record&) {
    return reply_with(call::cuGraphAddNode::Reply{kNode, 0});
  });
}

CUDA_KERNEL_NODE_PARAMS kernel_of(CUfunction function, void** parameters) {
  CUDA_KERNEL_NODE_PARAMS kernel{};
  kernel.func = function;
  kernel.gridDimX = kernel.gridDimY = kernel.gridDimZ = kernel.blockDimY = kernel.blockDimZ = 1;
  kernel.blockDimX = 64;
  kernel.sharedMemBytes = 12;
  kernel.kernelParams = parameters;
  return kernel;
}

}  // namespace

TEST_CASE("graph node: a kernel's parameters travel packed behind its dependencies") {
  Session session;
  accept_nodes(session);
  const CUfunction function = session.function({4, 8});
  int a = 0x11223344;
  double b = 2.5;
  void* parameters[] = {&a, &b};
  const auto kernel = kernel_of(function, parameters);
  const auto before = reinterpret_cast<CUgraphNode>(GraphNodeHandle::make(3, 0).value);
  CUgraphNode node = nullptr;
  REQUIRE(cuGraphAddKernelNode(&node, kGraph, &before, 1, &kernel) == CUDA_SUCCESS);
  CHECK(reinterpret_cast<u64>(node) == kNode.value);
  const auto records = session.executor.records_of<call::cuGraphAddNode>();
  REQUIRE(records.size() == 1);
  const auto& request = records[0].as<call::cuGraphAddNode>();
  CHECK(request.graph.value == reinterpret_cast<u64>(kGraph));
  CHECK(request.type == CU_GRAPH_NODE_TYPE_KERNEL);
  CHECK(request.dependency_count == 1);
  CHECK(request.answer == kInline);
  const auto& tail = records[0].tail;
  REQUIRE(tail.size() == sizeof(NodeDependency) + sizeof(KernelNode) + 16);
  CHECK(part<NodeDependency>(tail).node.value == reinterpret_cast<u64>(before));
  const auto wire = part<KernelNode>(tail, sizeof(NodeDependency));
  CHECK(wire.function.value == reinterpret_cast<u64>(function));
  CHECK(wire.block_x == 64);
  CHECK(wire.shared_bytes == 12);
  CHECK(part<int>(tail, tail.size() - 16) == a);
  CHECK(part<double>(tail, tail.size() - 8) == b);
}

TEST_CASE("graph node: the generic call and the one for the kind send the same") {
  Session session;
  accept_nodes(session);
  CUgraphNode node = nullptr;
  const CUDA_MEMSET_NODE_PARAMS fill{0x7000, 512, 0xab, 4, 100, 2};
  REQUIRE(cuGraphAddMemsetNode(&node, kGraph, nullptr, 0, &fill, session.context) == CUDA_SUCCESS);
  CUgraphNodeParams generic{};
  generic.type = CU_GRAPH_NODE_TYPE_MEMSET;
  generic.memset = {0x7000, 512, 0xab, 4, 100, 2, session.context};
  REQUIRE(cuGraphAddNode(&node, kGraph, nullptr, nullptr, 0, &generic) == CUDA_SUCCESS);
  auto records = session.executor.records_of<call::cuGraphAddNode>();
  REQUIRE(records.size() == 2);
  CHECK(records[0].tail == records[1].tail);
  REQUIRE(cuGraphExecMemsetNodeSetParams(kExec, node, &fill, session.context) == CUDA_SUCCESS);
  const auto set = session.executor.records_of<call::cuGraphExecNodeSetParams>();
  REQUIRE(set.size() == 1);
  CHECK(set[0].tail == records[0].tail);
  CHECK(set[0].as<call::cuGraphExecNodeSetParams>().node.value == kNode.value);
  generic.reserved2 = 1;
  CHECK(cuGraphAddNode(&node, kGraph, nullptr, nullptr, 0, &generic) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("graph node: handles that are none, and missing arrays, don't cross") {
  Session session;
  CUgraphNode node = nullptr;
  auto kernel = kernel_of(reinterpret_cast<CUfunction>(FunctionHandle::make(500, 0).value), nullptr);
  CHECK(cuGraphAddKernelNode(&node, kGraph, nullptr, 0, &kernel) == CUDA_ERROR_INVALID_HANDLE);
  kernel.func = nullptr;
  CHECK(cuGraphAddKernelNode(&node, kGraph, nullptr, 0, &kernel) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuGraphAddKernelNode(&node, kGraph, nullptr, 0, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuGraphAddEmptyNode(&node, kGraph, nullptr, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuGraphAddEventWaitNode(&node, kGraph, nullptr, 0, nullptr) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(session.executor.records_of<call::cuGraphAddNode>().empty());
}

TEST_CASE("graph node: a kernel's parameters come back in memory of the program's own, the same one each time") {
  Session session;
  const CUfunction function = session.function({4, 8});
  const KernelNode wire{{reinterpret_cast<u64>(function)}, {0}, 7, 1, 1, 32, 1, 1, 0, 16};
  answer_with<call::vgpuGraphNodeGetParams>(session, call::vgpuGraphNodeGetParams::Reply{},
                                            bytes_of(wire, u64{11}, u64{12}));
  const auto node = reinterpret_cast<CUgraphNode>(kNode.value);
  CUDA_KERNEL_NODE_PARAMS first{};
  REQUIRE(cuGraphKernelNodeGetParams(node, &first) == CUDA_SUCCESS);
  CHECK(first.func == function);
  CHECK(first.gridDimX == 7);
  REQUIRE(first.kernelParams != nullptr);
  CHECK(*static_cast<int*>(first.kernelParams[0]) == 11);
  CHECK(*static_cast<u64*>(first.kernelParams[1]) == 12);

  // As ggml does: a pointer is replaced in the array itself, and the parameters are set again.
  accept_nodes(session);
  u64 other = 99;
  first.kernelParams[1] = &other;
  REQUIRE(cuGraphKernelNodeSetParams(node, &first) == CUDA_SUCCESS);
  const auto set = session.executor.records_of<call::cuGraphNodeSetParams>();
  REQUIRE(set.size() == 1);
  CHECK(part<u64>(set[0].tail, sizeof(KernelNode) + 8) == 99);

  CUDA_KERNEL_NODE_PARAMS second{};
  REQUIRE(cuGraphKernelNodeGetParams(node, &second) == CUDA_SUCCESS);
  CHECK(second.kernelParams == first.kernelParams);
  CHECK(*static_cast<u64*>(second.kernelParams[1]) == 12);
}

TEST_CASE("graph node: pinned memory is named by its place, memory of the GPU by its address") {
  Session session;
  accept_nodes(session);
  void* pinned = nullptr;
  REQUIRE(cuMemHostAlloc(&pinned, 4096, 0) == CUDA_SUCCESS);
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = pinned;
  copy.srcXInBytes = 16;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = 0x123000;
  copy.WidthInBytes = 64;
  copy.Height = copy.Depth = 1;
  CUgraphNode node = nullptr;
  REQUIRE(cuGraphAddMemcpyNode(&node, kGraph, nullptr, 0, &copy, session.context) == CUDA_SUCCESS);
  const auto records = session.executor.records_of<call::cuGraphAddNode>();
  REQUIRE(records.size() == 1);
  const auto wire = part<CopyNode>(records[0].tail);
  CHECK(wire.source.memory == CU_MEMORYTYPE_HOST);
  CHECK(wire.source.address >= VGPU_ARENA_OFFSET);
  CHECK(wire.source.x == 16);
  CHECK(wire.destination.address == 0x123000);
  CHECK(wire.context.value == reinterpret_cast<u64>(session.context));

  // And back: the address that the program gave.
  answer_with<call::vgpuGraphNodeGetParams>(session, call::vgpuGraphNodeGetParams::Reply{}, bytes_of(wire));
  CUDA_MEMCPY3D got{};
  REQUIRE(cuGraphMemcpyNodeGetParams(node, &got) == CUDA_SUCCESS);
  CHECK(got.srcHost == pinned);
  CHECK(got.dstDevice == 0x123000);
  CHECK(got.WidthInBytes == 64);
  cuMemFreeHost(pinned);
}

TEST_CASE("graph node: an allocation's address and a conditional node's bodies are filled in") {
  Session session;
  const AllocationNode made{
      4096, Pointer{0x9000}, 0, CU_MEM_ALLOCATION_TYPE_PINNED, 0, CU_MEM_LOCATION_TYPE_DEVICE, 0, 0, 0};
  answer_with<call::cuGraphAddNode>(session, call::cuGraphAddNode::Reply{kNode, 0}, bytes_of(made));
  CUDA_MEM_ALLOC_NODE_PARAMS allocation{};
  allocation.bytesize = 4096;
  allocation.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  allocation.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, {0}};
  CUgraphNode node = nullptr;
  REQUIRE(cuGraphAddMemAllocNode(&node, kGraph, nullptr, 0, &allocation) == CUDA_SUCCESS);
  CHECK(allocation.dptr == 0x9000);
  CUmemorytype type{};
  REQUIRE(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, 0x9010) == CUDA_SUCCESS);
  CHECK(type == CU_MEMORYTYPE_DEVICE);

  const ConditionalNode condition{77, {0}, CU_GRAPH_COND_TYPE_IF, 2};
  const std::array<GraphHandle, 2> bodies{GraphHandle::make(5, 0), GraphHandle::make(6, 0)};
  answer_with<call::cuGraphAddNode>(session, call::cuGraphAddNode::Reply{GraphNodeHandle::make(5, 0), 0},
                                    bytes_of(condition, bodies));
  CUgraphNodeParams parameters{};
  parameters.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
  parameters.conditional = {77, CU_GRAPH_COND_TYPE_IF, 2, nullptr, nullptr};
  REQUIRE(cuGraphAddNode(&node, kGraph, nullptr, nullptr, 0, &parameters) == CUDA_SUCCESS);
  REQUIRE(parameters.conditional.phGraph_out != nullptr);
  CHECK(reinterpret_cast<u64>(parameters.conditional.phGraph_out[0]) == bodies[0].value);
  CHECK(reinterpret_cast<u64>(parameters.conditional.phGraph_out[1]) == bodies[1].value);
}

TEST_CASE("graph node: an answer that makes no sense is an error") {
  Session session;
  const CUfunction function = session.function({4, 8});
  KernelNode wire{{reinterpret_cast<u64>(function)}, {0}, 7, 1, 1, 32, 1, 1, 0, 16};
  SECTION("shorter than it says") {}
  SECTION("a kernel that nobody knows") {
    wire.function.value = FunctionHandle::make(900, 0).value;
    wire.parameter_bytes = 0;
  }
  answer_with<call::vgpuGraphNodeGetParams>(session, call::vgpuGraphNodeGetParams::Reply{}, bytes_of(wire));
  CUDA_KERNEL_NODE_PARAMS got{};
  CHECK(cuGraphKernelNodeGetParams(reinterpret_cast<CUgraphNode>(kNode.value), &got) == CUDA_ERROR_UNKNOWN);
}

TEST_CASE("graph node: attributes and whether it is enabled") {
  Session session;
  session.executor.on<call::cuGraphKernelNodeGetAttribute>([](const Record&) {
    call::cuGraphKernelNodeGetAttribute::Reply reply{};
    const int priority = -4;
    std::memcpy(reply.value.data(), &priority, sizeof priority);
    return reply_with(reply);
  });
  session.executor.on<call::cuGraphNodeGetEnabled>([](const Record&) {
    return reply_with(call::cuGraphNodeGetEnabled::Reply{1, 0});
  });
  const auto node = reinterpret_cast<CUgraphNode>(kNode.value);
  CUkernelNodeAttrValue value{};
  REQUIRE(cuGraphKernelNodeGetAttribute(node, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value) == CUDA_SUCCESS);
  CHECK(value.priority == -4);
  CHECK(cuGraphKernelNodeSetAttribute(node, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value) == CUDA_SUCCESS);
  const auto set = session.executor.records_of<call::cuGraphKernelNodeSetAttribute>();
  REQUIRE(set.size() == 1);
  CHECK(part<LaunchAttribute>(set[0].tail).id == CU_LAUNCH_ATTRIBUTE_PRIORITY);
  unsigned enabled = 0;
  CHECK(cuGraphNodeGetEnabled(kExec, node, &enabled) == CUDA_SUCCESS);
  CHECK(enabled == 1);
}

TEST_CASE("graph node: a host function and pageable memory have numbers, and come back as they were given") {
  Session session;
  accept_nodes(session);
  const auto node = reinterpret_cast<CUgraphNode>(kNode.value);
  CUgraphNode made = nullptr;
  int data = 0;
  const CUDA_HOST_NODE_PARAMS function{[](void* at) { ++*static_cast<int*>(at); }, &data};
  REQUIRE(cuGraphAddHostNode(&made, kGraph, nullptr, 0, &function) == CUDA_SUCCESS);
  auto records = session.executor.records_of<call::cuGraphAddNode>();
  REQUIRE(records.size() == 1);
  const auto host = part<HostNode>(records[0].tail);
  answer_with<call::vgpuGraphNodeGetParams>(session, call::vgpuGraphNodeGetParams::Reply{}, bytes_of(host));
  CUDA_HOST_NODE_PARAMS got{};
  REQUIRE(cuGraphHostNodeGetParams(node, &got) == CUDA_SUCCESS);
  CHECK(got.fn == function.fn);
  CHECK(got.userData == &data);

  std::vector<char> pageable(4096);
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = pageable.data();
  copy.srcXInBytes = 8;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = 0x123000;
  copy.WidthInBytes = 64;
  copy.Height = copy.Depth = 1;
  REQUIRE(cuGraphAddMemcpyNode(&made, kGraph, nullptr, 0, &copy, session.context) == CUDA_SUCCESS);
  records = session.executor.records_of<call::cuGraphAddNode>();
  REQUIRE(records.size() == 2);
  const auto wire = part<CopyNode>(records[1].tail);
  CHECK(wire.source.host_function != 0);
  CHECK(wire.source.host_function != host.id);
  CHECK(wire.source.address >= VGPU_ARENA_OFFSET);
  CHECK(wire.source.x == 0);
  CHECK(wire.destination.host_function == 0);
  answer_with<call::vgpuGraphNodeGetParams>(session, call::vgpuGraphNodeGetParams::Reply{}, bytes_of(wire));
  CUDA_MEMCPY3D back{};
  REQUIRE(cuGraphMemcpyNodeGetParams(node, &back) == CUDA_SUCCESS);
  CHECK(back.srcHost == pageable.data());
  CHECK(back.srcXInBytes == 8);
  CHECK(back.srcMemoryType == CU_MEMORYTYPE_HOST);

  // A node that the host refuses takes its function's number along.
  session.executor.on<call::cuGraphAddNode>([](const Record&) { return Answer{CUDA_ERROR_INVALID_VALUE, {}, false}; });
  CHECK(cuGraphAddHostNode(&made, kGraph, nullptr, 0, &function) == CUDA_ERROR_INVALID_VALUE);
  const auto refused = part<HostNode>(session.executor.records_of<call::cuGraphAddNode>()[2].tail);
  answer_with<call::vgpuGraphNodeGetParams>(session, call::vgpuGraphNodeGetParams::Reply{}, bytes_of(refused));
  CHECK(cuGraphHostNodeGetParams(node, &got) == CUDA_ERROR_NOT_SUPPORTED);
}
