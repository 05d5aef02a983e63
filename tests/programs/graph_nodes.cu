// Nodes of graphs: their parameters as the program gives, gets and changes them, and what launches make of them.
#include <vector>

#include "check.hpp"

constexpr int kCount = 1000;

__global__ void fill(int* values, int value, double scale) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < kCount) values[i] = static_cast<int>(value * scale) + i;
}

__global__ void twice(int* values) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < kCount) values[i] *= 2;
}

static void launch(cudaGraphExec_t exec) {
  CHECK(cudaGraphLaunch(exec, nullptr));
  CHECK(cudaDeviceSynchronize());
}

static int first_of(const int* device) {
  int value = 0;
  CHECK(cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost));
  return value;
}

static cudaKernelNodeParams kernel_of(void* function, void** arguments) {
  cudaKernelNodeParams parameters{};
  parameters.func = function;
  parameters.gridDim = dim3((kCount + 127) / 128);
  parameters.blockDim = dim3(128);
  parameters.kernelParams = arguments;
  return parameters;
}

static void kernel_nodes(int* values, int* others) {
  cudaGraph_t graph;
  CHECK(cudaGraphCreate(&graph, 0));
  int value = 20;
  double scale = 0.5;
  void* arguments[] = {&values, &value, &scale};
  const cudaKernelNodeParams parameters = kernel_of(reinterpret_cast<void*>(fill), arguments);
  cudaGraphNode_t node;
  CHECK(cudaGraphAddKernelNode(&node, graph, nullptr, 0, &parameters));
  value = -1;  // the node has a copy

  cudaKernelNodeParams got{};
  CHECK(cudaGraphKernelNodeGetParams(node, &got));
  REQUIRE(got.func == parameters.func && got.blockDim.x == 128, "a kernel node's function or shape");
  REQUIRE(*static_cast<int*>(got.kernelParams[1]) == 20 && *static_cast<double*>(got.kernelParams[2]) == 0.5,
          "a kernel node's arguments");
  cudaGraphExec_t exec;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  launch(exec);
  REQUIRE(first_of(values) == 10, "the kernel node gave %d", first_of(values));

  int other = 30;
  got.kernelParams[1] = &other;  // in the array that the library gave
  CHECK(cudaGraphExecKernelNodeSetParams(exec, node, &got));
  launch(exec);
  REQUIRE(first_of(values) == 15, "the executable graph's new argument gave %d", first_of(values));
  got.kernelParams[0] = &others;
  CHECK(cudaGraphKernelNodeSetParams(node, &got));
  cudaGraphExecUpdateResultInfo info{};
  CHECK(cudaGraphExecUpdate(exec, graph, &info));
  launch(exec);
  REQUIRE(first_of(others) == 15, "the updated graph gave %d", first_of(others));

  cudaKernelNodeAttrValue attribute{};
  attribute.priority = 0;
  CHECK(cudaGraphKernelNodeSetAttribute(node, cudaLaunchAttributePriority, &attribute));
  CHECK(cudaGraphKernelNodeGetAttribute(node, cudaLaunchAttributePriority, &attribute));
  CHECK(cudaMemset(others, 0, sizeof(int)));
  CHECK(cudaGraphNodeSetEnabled(exec, node, 0));
  unsigned enabled = 1;
  CHECK(cudaGraphNodeGetEnabled(exec, node, &enabled));
  REQUIRE(enabled == 0, "a disabled node says that it is enabled");
  launch(exec);
  REQUIRE(first_of(others) == 0, "a disabled node ran");
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

/// A captured kernel's arguments change, as inference engines do it for each token.
static void captured_nodes(int* values, int* others) {
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  fill<<<(kCount + 127) / 128, 128, 0, stream>>>(values, 7, 1.0);
  twice<<<(kCount + 127) / 128, 128, 0, stream>>>(values);
  cudaGraph_t graph;
  CHECK(cudaStreamEndCapture(stream, &graph));
  size_t count = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &count));
  REQUIRE(count == 2, "%zu captured nodes", count);
  std::vector<cudaGraphNode_t> nodes(count);
  CHECK(cudaGraphGetNodes(graph, nodes.data(), &count));
  for (const cudaGraphNode_t node : nodes) {
    cudaKernelNodeParams got{};
    CHECK(cudaGraphKernelNodeGetParams(node, &got));
    REQUIRE(got.func == reinterpret_cast<void*>(fill) || got.func == reinterpret_cast<void*>(twice),
            "the function of a captured kernel");
    REQUIRE(*static_cast<int**>(got.kernelParams[0]) == values, "the argument of a captured kernel");
    got.kernelParams[0] = &others;
    CHECK(cudaGraphKernelNodeSetParams(node, &got));
  }
  cudaGraphExec_t exec;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaStreamSynchronize(stream));
  REQUIRE(first_of(others) == 14, "captured kernels with new arguments gave %d", first_of(others));
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaStreamDestroy(stream));
}

static void CUDART_CB count_up(void* data) { ++*static_cast<int*>(data); }

/// Pageable memory is read and written at each launch, as it is then.
static void copy_nodes(int* values) {
  std::vector<int> in(kCount, 3);
  std::vector<int> out(kCount);
  int calls = 0;
  cudaGraph_t graph;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t to, kernel, from, host, fill_node;
  const size_t bytes = kCount * sizeof(int);
  CHECK(cudaGraphAddMemcpyNode1D(&to, graph, nullptr, 0, values, in.data(), bytes, cudaMemcpyHostToDevice));
  void* arguments[] = {&values};
  const cudaKernelNodeParams parameters = kernel_of(reinterpret_cast<void*>(twice), arguments);
  CHECK(cudaGraphAddKernelNode(&kernel, graph, &to, 1, &parameters));
  CHECK(cudaGraphAddMemcpyNode1D(&from, graph, &kernel, 1, out.data(), values, bytes, cudaMemcpyDeviceToHost));
  const cudaHostNodeParams function{count_up, &calls};
  CHECK(cudaGraphAddHostNode(&host, graph, &from, 1, &function));
  cudaMemsetParams fill_parameters{};
  fill_parameters.dst = values;
  fill_parameters.elementSize = 4;
  fill_parameters.width = kCount;
  fill_parameters.height = 1;
  CHECK(cudaGraphAddMemsetNode(&fill_node, graph, &host, 1, &fill_parameters));

  size_t count = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &count));
  REQUIRE(count == 5, "%zu nodes", count);
  cudaGraphNodeType type{};
  CHECK(cudaGraphNodeGetType(to, &type));
  REQUIRE(type == cudaGraphNodeTypeMemcpy, "a copy is a node of type %d", static_cast<int>(type));
  cudaMemcpy3DParms copy{};
  CHECK(cudaGraphMemcpyNodeGetParams(to, &copy));
  REQUIRE(copy.srcPtr.ptr == in.data() && copy.dstPtr.ptr == values, "a copy's pointers");
  cudaHostNodeParams got{};
  CHECK(cudaGraphHostNodeGetParams(host, &got));
  REQUIRE(got.fn == count_up && got.userData == &calls, "a host node's function");

  cudaGraph_t clone;
  cudaGraphNode_t cloned;
  CHECK(cudaGraphClone(&clone, graph));
  CHECK(cudaGraphNodeFindInClone(&cloned, from, clone));
  CHECK(cudaGraphMemcpyNodeGetParams(cloned, &copy));
  REQUIRE(copy.dstPtr.ptr == out.data(), "a cloned copy's pointer");

  cudaGraphExec_t exec;
  CHECK(cudaGraphInstantiate(&exec, clone, 0));
  CHECK(cudaGraphDestroy(clone));
  for (int run = 1; run <= 3; ++run) {
    in.assign(kCount, 100 * run);
    launch(exec);
    for (int i = 0; i < kCount; ++i) REQUIRE(out[i] == 200 * run, "launch %d copied %d", run, out[i]);
    REQUIRE(calls == run, "%d calls of the host node", calls);
    REQUIRE(first_of(values) == 0, "the memset node left %d", first_of(values));
  }
  CHECK(cudaGraphExecDestroy(exec));

  // Another pageable destination, in the graph and in an executable one.
  std::vector<int> second(kCount);
  std::vector<int> third(kCount);
  CHECK(cudaGraphMemcpyNodeSetParams1D(from, second.data(), values, bytes, cudaMemcpyDeviceToHost));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  launch(exec);
  REQUIRE(second[kCount - 1] == 600, "the changed copy gave %d", second[kCount - 1]);
  CHECK(cudaGraphExecMemcpyNodeSetParams1D(exec, from, third.data(), values, bytes, cudaMemcpyDeviceToHost));
  launch(exec);
  REQUIRE(third[kCount - 1] == 600, "the executable graph's changed copy gave %d", third[kCount - 1]);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

static void conditional_nodes(int* values) {
  for (const unsigned wanted : {1u, 0u}) {
    CHECK(cudaMemset(values, 0, sizeof(int)));
    cudaGraph_t graph;
    CHECK(cudaGraphCreate(&graph, 0));
    cudaGraphConditionalHandle condition;
    CHECK(cudaGraphConditionalHandleCreate(&condition, graph, wanted, cudaGraphCondAssignDefault));
    cudaGraphNodeParams parameters{};
    parameters.type = cudaGraphNodeTypeConditional;
    parameters.conditional.handle = condition;
    parameters.conditional.type = cudaGraphCondTypeIf;
    parameters.conditional.size = 1;
    cudaGraphNode_t node;
#if CUDART_VERSION >= 13000
    CHECK(cudaGraphAddNode(&node, graph, nullptr, nullptr, 0, &parameters));
#else
    CHECK(cudaGraphAddNode(&node, graph, nullptr, 0, &parameters));
#endif
    const cudaGraph_t body = parameters.conditional.phGraph_out[0];
    int value = 8;
    double scale = 1;
    void* arguments[] = {&values, &value, &scale};
    const cudaKernelNodeParams kernel = kernel_of(reinterpret_cast<void*>(fill), arguments);
    cudaGraphNode_t inner;
    CHECK(cudaGraphAddKernelNode(&inner, body, nullptr, 0, &kernel));
    cudaGraphExec_t exec;
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    launch(exec);
    REQUIRE(first_of(values) == (wanted != 0 ? 8 : 0), "a condition of %u gave %d", wanted, first_of(values));
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(graph));
  }
}

int main() {
  int* values = nullptr;
  int* others = nullptr;
  CHECK(cudaMalloc(&values, kCount * sizeof(int)));
  CHECK(cudaMalloc(&others, kCount * sizeof(int)));
  kernel_nodes(values, others);
  captured_nodes(values, others);
  copy_nodes(values);
  conditional_nodes(values);
  CHECK(cudaFree(values));
  CHECK(cudaFree(others));
  std::puts("graph_nodes: ok");
  return 0;
}
