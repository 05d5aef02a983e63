#include "softgpu/capture.hpp"
#include "softgpu/graph_exec.hpp"
#include "softgpu/graph_guard.hpp"

using namespace vgpu::softgpu;

namespace {

template <class Then>
CUresult with_exec(CUgraphExec handle, Then&& then) {
  return with_graphs([&](Driver& self) {
    const auto exec = self.graph_execs.find(handle);
    if (exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return static_cast<CUresult>(then(exec));
  });
}

CUresult instantiate(CUgraphExec* handle, CUgraph graph_handle, cuuint64_t flags, GraphExec::Failure& failure) {
  return with_graph(graph_handle, [&](Graph& graph) {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<GraphExec> made;
    const CUresult error = GraphExec::create(graph, flags, made, failure);
    if (error == CUDA_SUCCESS) *handle = made->handle;
    return error;
  });
}

/// The forms up to CUDA 11: they name the node, and describe an error in a text.
CUresult instantiate_with_log(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node, char* text,
                              std::size_t bytes) {
  GraphExec::Failure failure;
  const CUresult error = instantiate(exec, graph, 0, failure);
  if (error_node != nullptr) *error_node = failure.node;
  if (text != nullptr && bytes != 0) *text = '\0';
  return error;
}

CUresult instantiate_with(CUgraphExec* exec, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS* parameters,
                          bool own_stream) {
  if (parameters == nullptr) return with_graphs([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
  GraphExec::Failure failure{CUDA_GRAPH_INSTANTIATE_ERROR, nullptr};
  CUresult error = CUDA_SUCCESS;
  if ((parameters->flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) != 0) {
    const CUstream stream = own_stream ? per_thread(parameters->hUploadStream) : parameters->hUploadStream;
    error = with_stream(stream, [](Context&, Stream&) { return CUDA_SUCCESS; });
  }
  if (error == CUDA_SUCCESS) error = instantiate(exec, graph, parameters->flags, failure);
  parameters->result_out = failure.result;
  parameters->hErrNode_out = failure.node;
  return error;
}

CUresult launch(CUgraphExec handle, CUstream stream_handle) {
  return with_stream(stream_handle, [&](Context&, Stream& stream) {
    const std::lock_guard lock(graphs_mutex());
    const auto exec = driver().graph_execs.find(handle);
    if (exec == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto made = [&] {
      auto graph = exec->to_graph();
      graph->owned = true;
      return share(ChildNode{std::move(graph), CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE});
    };
    if (const auto result = captured(stream, made)) return *result;
    return exec->launch(stream);
  });
}

CUresult upload(CUgraphExec handle, CUstream stream_handle) {
  return with_stream(stream_handle, [&](Context&, Stream&) {
    // The memory of a graph is there from the start: nothing is left to prepare.
    return driver().graph_execs.find(handle) == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}

CUresult update(CUgraphExec handle, CUgraph graph_handle, CUgraphExecUpdateResultInfo& info) {
  info = {CU_GRAPH_EXEC_UPDATE_ERROR, nullptr, nullptr};
  return with_exec(handle, [&](const std::shared_ptr<GraphExec>& exec) {
    const auto graph = driver().graphs.find(graph_handle);
    if (graph == nullptr || graph->owned) return CUDA_ERROR_INVALID_VALUE;
    return exec->update(*graph, info);
  });
}

}  // namespace

#undef cuGraphInstantiate
#undef cuGraphInstantiateWithParams
#undef cuGraphUpload
#undef cuGraphLaunch
#undef cuGraphExecUpdate

VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphInstantiate(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node,
                                                     char* text, size_t bytes) {
  return instantiate_with_log(exec, graph, error_node, text, bytes);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphInstantiate_v2(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node,
                                                        char* text, size_t bytes) {
  return instantiate_with_log(exec, graph, error_node, text, bytes);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph,
                                                              unsigned long long flags) {
  GraphExec::Failure failure;
  // Only the form with parameters has a stream to upload into.
  if ((flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) != 0) {
    return with_graphs([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
  }
  return instantiate(exec, graph, flags, failure);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphInstantiateWithParams(CUgraphExec* exec, CUgraph graph,
                                                               CUDA_GRAPH_INSTANTIATE_PARAMS* parameters) {
  return instantiate_with(exec, graph, parameters, false);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphInstantiateWithParams_ptsz(CUgraphExec* exec, CUgraph graph,
                                                                    CUDA_GRAPH_INSTANTIATE_PARAMS* parameters) {
  return instantiate_with(exec, graph, parameters, true);
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphLaunch(CUgraphExec exec, CUstream stream) { return launch(exec, stream); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphLaunch_ptsz(CUgraphExec exec, CUstream stream) {
  return launch(exec, per_thread(stream));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphUpload(CUgraphExec exec, CUstream stream) { return upload(exec, stream); }
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphUpload_ptsz(CUgraphExec exec, CUstream stream) {
  return upload(exec, per_thread(stream));
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode* error_node,
                                                    CUgraphExecUpdateResult* result) {
  CUgraphExecUpdateResultInfo info;
  const CUresult error = update(exec, graph, info);
  if (error_node != nullptr) *error_node = info.errorNode;
  if (result != nullptr) *result = info.result;
  return error;
}
VGPU_CUDA_EXPORT CUresult CUDAAPI cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph,
                                                       CUgraphExecUpdateResultInfo* info) {
  if (info == nullptr) return with_graphs([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
  return update(exec, graph, *info);
}

CUresult CUDAAPI cuGraphExecGetFlags(CUgraphExec handle, cuuint64_t* flags) {
  return with_exec(handle, [&](const std::shared_ptr<GraphExec>& exec) {
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = exec->flags();
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec handle) {
  // Launches that have not run keep what they need.
  return with_graphs([&](Driver& self) {
    return self.graph_execs.remove(handle) == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}

CUresult CUDAAPI cuGraphNodeSetEnabled(CUgraphExec handle, CUgraphNode node, unsigned int enabled) {
  return with_exec(handle,
                   [&](const std::shared_ptr<GraphExec>& exec) { return exec->set_enabled(node, enabled != 0); });
}

CUresult CUDAAPI cuGraphNodeGetEnabled(CUgraphExec handle, CUgraphNode node, unsigned int* enabled) {
  return with_exec(handle, [&](const std::shared_ptr<GraphExec>& exec) {
    const GraphStep* step = exec->find(node);
    if (enabled == nullptr || step == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *enabled = step->enabled ? 1 : 0;
    return CUDA_SUCCESS;
  });
}
