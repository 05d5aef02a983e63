// CUDA graphs by the runtime's calls: two streams captured, nodes of each kind, updates, clones, memory nodes.
#include "corpus.hpp"

using corpus::Buffer;

namespace {
constexpr int kCount = 1000;
}

__global__ void scale(int* values, int factor, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) values[i] *= factor;
}
__global__ void add(const int* a, const int* b, int* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = a[i] + b[i];
}

static void CUDART_CB count_call(void* counter) { ++*static_cast<int*>(counter); }

static std::vector<int> ramp(int factor) {
  std::vector<int> values(kCount);
  for (int i = 0; i < kCount; ++i) values[i] = i * factor;
  return values;
}

struct Streams {
  Streams() {
    CHECK(cudaStreamCreate(&first));
    CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    CHECK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
    CHECK(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  }
  ~Streams() {
    (void)cudaEventDestroy(fork), (void)cudaEventDestroy(join);
    (void)cudaStreamDestroy(first), (void)cudaStreamDestroy(second);
  }
  cudaStream_t first = nullptr, second = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
};

/// Each of two streams scales its own array, then the first adds both and copies the sums to the host.
static cudaGraph_t captured(const Streams& streams, int* a, int* b, int* sum, int* host, int factor) {
  CHECK(cudaStreamBeginCapture(streams.first, cudaStreamCaptureModeGlobal));
  CHECK(cudaEventRecord(streams.fork, streams.first));
  CHECK(cudaStreamWaitEvent(streams.second, streams.fork, 0));
  scale<<<8, 128, 0, streams.first>>>(a, factor, kCount);
  scale<<<8, 128, 0, streams.second>>>(b, factor + 1, kCount);
  CHECK(cudaEventRecord(streams.join, streams.second));
  CHECK(cudaStreamWaitEvent(streams.first, streams.join, 0));
  add<<<8, 128, 0, streams.first>>>(a, b, sum, kCount);
  CHECK(cudaMemcpyAsync(host, sum, kCount * sizeof(int), cudaMemcpyDeviceToHost, streams.first));
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  CHECK(cudaStreamIsCapturing(streams.second, &status));
  REQUIRE(status == cudaStreamCaptureStatusActive, "the second stream is not captured");
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(streams.first, &graph));
  return graph;
}

static void capture_and_update() {
  const Streams streams;
  const Buffer<int> a(ramp(1)), b(ramp(2)), sum(kCount);
  int* host = nullptr;
  CHECK(cudaMallocHost(&host, kCount * sizeof(int)));
  const cudaGraph_t graph = captured(streams, a, b, sum, host, 2);
  std::size_t nodes = 0, edges = 0, roots = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  CHECK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  CHECK(cudaGraphGetRootNodes(graph, nullptr, &roots));
  REQUIRE(nodes == 4 && edges == 3 && roots == 2, "%zu nodes, %zu edges, %zu roots", nodes, edges, roots);
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  std::vector<int> all;
  std::vector<int> wanted;
  const auto launch = [&](int in_a, int in_b) {
    CHECK(cudaGraphLaunch(exec, streams.first));
    CHECK(cudaStreamSynchronize(streams.first));
    all.insert(all.end(), host, host + kCount);
    for (int i = 0; i < kCount; ++i) wanted.push_back(i * in_a + i * in_b);
  };
  launch(2, 6);
  launch(4, 18);
  const cudaGraph_t other = captured(streams, a, b, sum, host, 5);
  cudaGraphExecUpdateResultInfo info = {};
  CHECK(cudaGraphExecUpdate(exec, other, &info));
  REQUIRE(info.result == cudaGraphExecUpdateSuccess, "update said %d", info.result);
  launch(20, 108);
  corpus::exact("captured_and_updated", all, wanted);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaGraphDestroy(other));
  CHECK(cudaFreeHost(host));
}

static void explicit_nodes() {
  const Streams streams;
  const Buffer<int> a(ramp(3)), b(kCount), sum(kCount);
  std::vector<int> host(kCount);
  int calls = 0;
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));

  cudaMemsetParams fill = {};
  fill.dst = b.get(), fill.elementSize = 4, fill.value = 7, fill.width = kCount, fill.height = 1;
  cudaGraphNode_t set = nullptr, first = nullptr, both = nullptr, copy = nullptr, call = nullptr, empty = nullptr,
                  child = nullptr, record = nullptr, wait = nullptr;
  CHECK(cudaGraphAddMemsetNode(&set, graph, nullptr, 0, &fill));

  int* pointer_a = a;
  int factor = 4, n = kCount;
  void* scale_arguments[] = {&pointer_a, &factor, &n};
  cudaKernelNodeParams kernel = {};
  kernel.func = reinterpret_cast<void*>(scale), kernel.gridDim = dim3(8), kernel.blockDim = dim3(128);
  kernel.kernelParams = scale_arguments;
  CHECK(cudaGraphAddKernelNode(&first, graph, nullptr, 0, &kernel));

  const cudaGraphNode_t before[] = {set, first};
  CHECK(cudaGraphAddEmptyNode(&empty, graph, before, 2));

  // The child graph adds what both wrote.
  cudaGraph_t inner = nullptr;
  CHECK(cudaGraphCreate(&inner, 0));
  int* pointer_b = b;
  int* pointer_sum = sum;
  void* add_arguments[] = {&pointer_a, &pointer_b, &pointer_sum, &n};
  cudaKernelNodeParams adder = kernel;
  adder.func = reinterpret_cast<void*>(add), adder.kernelParams = add_arguments;
  CHECK(cudaGraphAddKernelNode(&both, inner, nullptr, 0, &adder));
  CHECK(cudaGraphAddChildGraphNode(&child, graph, &empty, 1, inner));
  CHECK(cudaGraphDestroy(inner));

  CHECK(cudaGraphAddMemcpyNode1D(&copy, graph, &child, 1, host.data(), sum.get(), kCount * sizeof(int),
                                 cudaMemcpyDeviceToHost));
  cudaHostNodeParams host_call = {count_call, &calls};
  CHECK(cudaGraphAddHostNode(&call, graph, &copy, 1, &host_call));
  CHECK(cudaGraphAddEventRecordNode(&record, graph, &call, 1, streams.fork));
  CHECK(cudaGraphAddEventWaitNode(&wait, graph, &record, 1, streams.fork));

  const cudaGraphNodeType types[] = {cudaGraphNodeTypeMemset,      cudaGraphNodeTypeKernel,   cudaGraphNodeTypeEmpty,
                                     cudaGraphNodeTypeGraph,       cudaGraphNodeTypeMemcpy,   cudaGraphNodeTypeHost,
                                     cudaGraphNodeTypeEventRecord, cudaGraphNodeTypeWaitEvent};
  const cudaGraphNode_t all_nodes[] = {set, first, empty, child, copy, call, record, wait};
  for (int i = 0; i < 8; ++i) {
    cudaGraphNodeType type;
    CHECK(cudaGraphNodeGetType(all_nodes[i], &type));
    REQUIRE(type == types[i], "node %d is of type %d, not %d", i, type, types[i]);
  }

  std::vector<int> all, wanted;
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  const auto launch = [&](cudaGraphExec_t one, int scaled, int set_to) {
    CHECK(cudaGraphLaunch(one, streams.first));
    CHECK(cudaStreamSynchronize(streams.first));
    all.insert(all.end(), host.begin(), host.end());
    for (int i = 0; i < kCount; ++i) wanted.push_back(i * scaled + set_to);
  };
  launch(exec, 12, 7);
  CHECK(cudaEventQuery(streams.fork));

  // One exec's nodes change; the graph keeps its own.
  factor = 2;
  CHECK(cudaGraphExecKernelNodeSetParams(exec, first, &kernel));
  fill.value = 100;
  CHECK(cudaGraphExecMemsetNodeSetParams(exec, set, &fill));
  launch(exec, 24, 100);
  CHECK(cudaGraphNodeSetEnabled(exec, first, 0));
  launch(exec, 24, 100);
  CHECK(cudaGraphNodeSetEnabled(exec, first, 1));
  launch(exec, 48, 100);

  cudaGraph_t clone = nullptr;
  cudaGraphNode_t in_clone = nullptr;
  cudaGraphExec_t exec_of_clone = nullptr;
  CHECK(cudaGraphClone(&clone, graph));
  CHECK(cudaGraphNodeFindInClone(&in_clone, set, clone));
  fill.value = ~0u;
  CHECK(cudaGraphMemsetNodeSetParams(in_clone, &fill));
  CHECK(cudaGraphInstantiate(&exec_of_clone, clone, 0));
  launch(exec_of_clone, 192, -1);
  corpus::exact("explicit_nodes", all, wanted);
  corpus::exact("host_nodes", std::vector<int>{calls}, std::vector<int>{5});

  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphExecDestroy(exec_of_clone));
  CHECK(cudaGraphDestroy(clone));
  CHECK(cudaGraphDestroy(graph));
}

/// Memory that a graph allocates, uses and frees, and memory of a captured cudaMallocAsync.
static void memory_nodes() {
  const Streams streams;
  const Buffer<int> a(ramp(5)), out(kCount);
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaMemAllocNodeParams memory = {};
  memory.poolProps.allocType = cudaMemAllocationTypePinned;
  memory.poolProps.location.type = cudaMemLocationTypeDevice;
  memory.bytesize = kCount * sizeof(int);
  cudaGraphNode_t allocate = nullptr, copy = nullptr, kernel = nullptr, back = nullptr, release = nullptr;
  CHECK(cudaGraphAddMemAllocNode(&allocate, graph, nullptr, 0, &memory));
  CHECK(cudaGraphAddMemcpyNode1D(&copy, graph, &allocate, 1, memory.dptr, a.get(), kCount * sizeof(int),
                                 cudaMemcpyDeviceToDevice));
  int factor = 3, n = kCount;
  void* arguments[] = {&memory.dptr, &factor, &n};
  cudaKernelNodeParams scaling = {};
  scaling.func = reinterpret_cast<void*>(scale), scaling.gridDim = dim3(8), scaling.blockDim = dim3(128);
  scaling.kernelParams = arguments;
  CHECK(cudaGraphAddKernelNode(&kernel, graph, &copy, 1, &scaling));
  CHECK(cudaGraphAddMemcpyNode1D(&back, graph, &kernel, 1, out.get(), memory.dptr, kCount * sizeof(int),
                                 cudaMemcpyDeviceToDevice));
  CHECK(cudaGraphAddMemFreeNode(&release, graph, &back, 1, memory.dptr));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int round = 0; round < 3; ++round) CHECK(cudaGraphLaunch(exec, streams.first));
  CHECK(cudaStreamSynchronize(streams.first));
  corpus::exact("memory_nodes", out.values(), ramp(15));
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));

  CHECK(cudaStreamBeginCapture(streams.first, cudaStreamCaptureModeThreadLocal));
  int* captured = nullptr;
  CHECK(cudaMallocAsync(&captured, kCount * sizeof(int), streams.first));
  CHECK(cudaMemcpyAsync(captured, a.get(), kCount * sizeof(int), cudaMemcpyDeviceToDevice, streams.first));
  scale<<<8, 128, 0, streams.first>>>(captured, 7, kCount);
  CHECK(cudaMemcpyAsync(out.get(), captured, kCount * sizeof(int), cudaMemcpyDeviceToDevice, streams.first));
  CHECK(cudaFreeAsync(captured, streams.first));
  CHECK(cudaStreamEndCapture(streams.first, &graph));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphLaunch(exec, streams.first));
  CHECK(cudaStreamSynchronize(streams.first));
  corpus::exact("captured_memory", out.values(), ramp(35));
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaDeviceGraphMemTrim(0));
}

/// A capture that does what can't be captured becomes invalid, and the stream is as before after its end.
static void refusals() {
  const Streams streams;
  std::vector<int> codes;
  CHECK(cudaStreamBeginCapture(streams.first, cudaStreamCaptureModeRelaxed));
  codes.push_back(cudaStreamSynchronize(streams.first));
  cudaGraph_t graph = nullptr;
  codes.push_back(cudaStreamEndCapture(streams.first, &graph));
  codes.push_back(cudaStreamEndCapture(streams.first, &graph));
  const Buffer<int> cells(8);
  for (const cudaStream_t ended : {streams.first, streams.second}) {
    CHECK(cudaStreamBeginCapture(streams.first, cudaStreamCaptureModeRelaxed));
    CHECK(cudaEventRecord(streams.fork, streams.first));
    CHECK(cudaStreamWaitEvent(streams.second, streams.fork, 0));
    CHECK(cudaMemsetAsync(cells.get(), 0, 8 * sizeof(int), streams.second));
    codes.push_back(cudaStreamEndCapture(ended, &graph));
    if (ended != streams.first) (void)cudaStreamEndCapture(streams.first, &graph);
  }
  (void)cudaGetLastError();
  corpus::exact("refused", codes,
                {cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated, cudaErrorIllegalState,
                 cudaErrorStreamCaptureUnjoined, cudaErrorStreamCaptureUnmatched});
}

int main() {
  capture_and_update();
  explicit_nodes();
  memory_nodes();
  refusals();
  std::printf("graphs: ok\n");
}
