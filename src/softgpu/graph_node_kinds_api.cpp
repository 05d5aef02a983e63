#include "softgpu/graph_guard.hpp"
#include "softgpu/graph_node_calls.hpp"
#include "softgpu/log.hpp"

using namespace vgpu::softgpu;

namespace {

CUresult no_parameters() {
  return with_graphs([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
}

CUresult no_semaphores(const char* call) {
  return with_graphs([&](Driver&) {
    log(LogLevel::error, "{} refused reason=\"external semaphores are not supported\"", call);
    return CUDA_ERROR_NOT_SUPPORTED;
  });
}

}  // namespace

#pragma GCC visibility push(default)
#include "common/graph_node_kinds.hpp"
#pragma GCC visibility pop

CUresult CUDAAPI cuGraphAddExternalSemaphoresSignalNode(CUgraphNode*, CUgraph, const CUgraphNode*, size_t,
                                                        const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS*) {
  return no_semaphores(__func__);
}
CUresult CUDAAPI cuGraphExternalSemaphoresSignalNodeGetParams(CUgraphNode, CUDA_EXT_SEM_SIGNAL_NODE_PARAMS*) {
  return no_semaphores(__func__);
}
CUresult CUDAAPI cuGraphExternalSemaphoresSignalNodeSetParams(CUgraphNode, const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS*) {
  return no_semaphores(__func__);
}
CUresult CUDAAPI cuGraphExecExternalSemaphoresSignalNodeSetParams(CUgraphExec, CUgraphNode,
                                                                  const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS*) {
  return no_semaphores(__func__);
}
CUresult CUDAAPI cuGraphAddExternalSemaphoresWaitNode(CUgraphNode*, CUgraph, const CUgraphNode*, size_t,
                                                      const CUDA_EXT_SEM_WAIT_NODE_PARAMS*) {
  return no_semaphores(__func__);
}
CUresult CUDAAPI cuGraphExternalSemaphoresWaitNodeGetParams(CUgraphNode, CUDA_EXT_SEM_WAIT_NODE_PARAMS*) {
  return no_semaphores(__func__);
}
CUresult CUDAAPI cuGraphExternalSemaphoresWaitNodeSetParams(CUgraphNode, const CUDA_EXT_SEM_WAIT_NODE_PARAMS*) {
  return no_semaphores(__func__);
}
CUresult CUDAAPI cuGraphExecExternalSemaphoresWaitNodeSetParams(CUgraphExec, CUgraphNode,
                                                                const CUDA_EXT_SEM_WAIT_NODE_PARAMS*) {
  return no_semaphores(__func__);
}
