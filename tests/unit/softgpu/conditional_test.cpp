#include <string>
#include <vector>

#include "fixture.hpp"

using namespace softgpu_test;

/// Kernels that decide what a graph does next: cudaGraphSetConditional as nvcc calls it.
namespace {

constexpr const char* kKernels = R"(.version 8.4
.target sm_80
.address_size 64
.extern .func cudaGraphSetConditional(.param .b64 handle, .param .b32 value);
.visible .entry count_down(.param .u64 handle, .param .u64 counters)
{
  .reg .pred %p<2>;
  .reg .b32 %r<6>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [handle];
  ld.param.u64 %rd2, [counters];
  ld.global.u32 %r1, [%rd2];
  ld.global.u32 %r2, [%rd2+4];
  add.u32 %r2, %r2, 1;
  st.global.u32 [%rd2+4], %r2;
  setp.eq.u32 %p1, %r1, 0;
  @%p1 bra $set;
  sub.u32 %r1, %r1, 1;
  st.global.u32 [%rd2], %r1;
$set:
  {
  .param .b64 a;
  .param .b32 b;
  st.param.b64 [a], %rd1;
  st.param.b32 [b], %r1;
  call.uni cudaGraphSetConditional, (a, b);
  }
  ret;
}
)";

struct Conditional {
  Gpu gpu;
  CUgraph graph = nullptr;
  CUfunction function = nullptr;
  CUgraphConditionalHandle handle = 0;
  CUdeviceptr counters = 0;

  Conditional() {
    REQUIRE_OK(cuGraphCreate(&graph, 0));
    CUmodule module = nullptr;
    REQUIRE_OK(cuModuleLoadData(&module, kKernels));
    REQUIRE_OK(cuModuleGetFunction(&function, module, "count_down"));
    REQUIRE_OK(cuGraphConditionalHandleCreate(&handle, graph, gpu.context, 0, 0));
    REQUIRE_OK(cuMemAlloc(&counters, 8));
  }
  void start(unsigned count) {
    const unsigned values[2] = {count, 0};
    REQUIRE_OK(cuMemcpyHtoD(counters, values, sizeof values));
  }
  unsigned runs() const {
    unsigned value = 0;
    REQUIRE_OK(cuMemcpyDtoH(&value, counters + 4, sizeof value));
    return value;
  }
  CUgraphNode add_kernel(CUgraph to, CUgraphConditionalHandle with, const CUgraphNode* after = nullptr) {
    void* arguments[] = {&with, &counters};
    CUDA_KERNEL_NODE_PARAMS p{};
    p.func = function;
    p.gridDimX = p.gridDimY = p.gridDimZ = p.blockDimX = p.blockDimY = p.blockDimZ = 1;
    p.kernelParams = arguments;
    CUgraphNode node = nullptr;
    REQUIRE_OK(cuGraphAddKernelNode(&node, to, after, after == nullptr ? 0 : 1, &p));
    return node;
  }
  std::vector<CUgraph> add_conditional(CUgraphConditionalNodeType type, unsigned bodies, CUgraphNode after) {
    CUgraphNodeParams p{};
    p.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
    p.conditional.handle = handle;
    p.conditional.type = type;
    p.conditional.size = bodies;
    p.conditional.ctx = gpu.context;
    CUgraphNode node = nullptr;
    REQUIRE_OK(cuGraphAddNode(&node, graph, &after, nullptr, 1, &p));
    return {p.conditional.phGraph_out, p.conditional.phGraph_out + bodies};
  }
  /// A graph with conditional nodes has one exec at a time.
  void launch() {
    if (exec == nullptr) REQUIRE_OK(cuGraphInstantiate(&exec, graph, 0));
    REQUIRE_OK(cuGraphLaunch(exec, nullptr));
  }
  CUgraphExec exec = nullptr;
};

}  // namespace

TEST_CASE("conditional: a loop goes on until its kernel sets zero") {
  Conditional it;
  const auto bodies = it.add_conditional(CU_GRAPH_COND_TYPE_WHILE, 1, it.add_kernel(it.graph, it.handle));
  it.add_kernel(bodies[0], it.handle);
  it.start(7);
  it.launch();
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(it.runs() == 7);  // the first sets 6, the seventh 0
}

TEST_CASE("conditional: a kernel chooses the branch") {
  Conditional it;
  const auto bodies = it.add_conditional(CU_GRAPH_COND_TYPE_SWITCH, 3, it.add_kernel(it.graph, it.handle));
  CUdeviceptr chosen = 0;
  REQUIRE_OK(cuMemAlloc(&chosen, 4));
  for (unsigned i = 0; i < 3; ++i) {
    CUDA_MEMSET_NODE_PARAMS fill{};
    fill.dst = chosen;
    fill.value = 100 + i;
    fill.elementSize = 4;
    fill.width = fill.height = 1;
    CUgraphNode node = nullptr;
    REQUIRE_OK(cuGraphAddMemsetNode(&node, bodies[i], nullptr, 0, &fill, it.gpu.context));
  }
  const auto choice = [&](unsigned count) {
    REQUIRE_OK(cuMemsetD32(chosen, 0, 1));
    it.start(count);
    it.launch();
    unsigned value = 0;
    REQUIRE_OK(cuMemcpyDtoH(&value, chosen, sizeof value));
    return value;
  };
  CHECK(choice(1) == 100);
  CHECK(choice(3) == 102);
  CHECK(choice(9) == 0);  // no such branch: none runs
}

TEST_CASE("conditional: a kernel takes a branch or leaves it") {
  Conditional it;
  const auto bodies = it.add_conditional(CU_GRAPH_COND_TYPE_IF, 1, it.add_kernel(it.graph, it.handle));
  it.add_kernel(bodies[0], it.handle);
  it.start(2);
  it.launch();
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(it.runs() == 2);
  it.start(1);
  it.launch();
  REQUIRE_OK(cuCtxSynchronize());
  CHECK(it.runs() == 1);
}

TEST_CASE("conditional: a handle that there is not is a fault") {
  Conditional it;
  // One of a graph that is gone.
  CUgraph gone = nullptr;
  CUgraphConditionalHandle wrong = 0;
  REQUIRE_OK(cuGraphCreate(&gone, 0));
  REQUIRE_OK(cuGraphConditionalHandleCreate(&wrong, gone, it.gpu.context, 0, 0));
  REQUIRE_OK(cuGraphDestroy(gone));
  it.add_conditional(CU_GRAPH_COND_TYPE_IF, 1, it.add_kernel(it.graph, wrong));
  it.start(1);
  it.launch();
  CHECK_RESULT(CUDA_ERROR_LAUNCH_FAILED, cuCtxSynchronize());
}
