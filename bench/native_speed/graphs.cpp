#include "calls.hpp"

namespace vgpu::bench {
namespace {

constexpr int kKernels = 100;

/// A chain of kKernels empty kernels.
class Graph {
 public:
  explicit Graph(const Device& device) : driver_(device.driver()) {
    driver_.check(driver_.cuGraphCreate_p(&graph_, 0), "cuGraphCreate");
    CUDA_KERNEL_NODE_PARAMS parameters{};
    parameters.func = device.empty();
    parameters.gridDimX = parameters.gridDimY = parameters.gridDimZ = 1;
    parameters.blockDimX = parameters.blockDimY = parameters.blockDimZ = 1;
    CUgraphNode last = nullptr;
    for (int i = 0; i < kKernels; ++i) {
      CUgraphNode node = nullptr;
      driver_.check(driver_.cuGraphAddKernelNode_p(&node, graph_, &last, i == 0 ? 0 : 1, &parameters),
                    "cuGraphAddKernelNode");
      last = node;
    }
    driver_.check(driver_.cuGraphInstantiate_p(&executable_, graph_, 0), "cuGraphInstantiate");
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    driver_.cuGraphExecDestroy_p(executable_);
    driver_.cuGraphDestroy_p(graph_);
  }
  void launch(CUstream stream) const { driver_.check(driver_.cuGraphLaunch_p(executable_, stream), "cuGraphLaunch"); }

 private:
  const Driver& driver_;
  CUgraph graph_ = nullptr;
  CUgraphExec executable_ = nullptr;
};

Figures graph_launch(const Device& device, const Effort& effort) {
  const Graph graph(device);
  return batches(
      effort, effort.batch() / 10, [&] { graph.launch(device.stream()); }, [&] { device.synchronize(); });
}

Figures graph_replay(const Device& device, const Effort& effort) {
  const Graph graph(device);
  return batches(effort, effort.batch() / 10, [&] {
    graph.launch(device.stream());
    device.synchronize();
  });
}

}  // namespace

std::vector<Row> graph_rows() { return {{"graph_launch", graph_launch}, {"graph_replay", graph_replay}}; }

}  // namespace vgpu::bench
