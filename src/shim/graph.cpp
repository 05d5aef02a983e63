// Graphs: the host has them and makes their handles; here arguments are checked and lists are given.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <algorithm>
#include <cstdio>

#include "shim/context.hpp"
#include "shim/graph_list.hpp"

using namespace vgpu::shim;

namespace {

/// The arrays of a query: as many entries as fit, the rest zeros, and how many there are.
template <typename T, typename Of>
void give(const std::vector<GraphEdge>& list, T* array, size_t room, Of&& of) {
  for (size_t i = 0; array && i < room; ++i) array[i] = i < list.size() ? of(list[i]) : T{};
}
void give_count(const void* array, u64 total, size_t* count) {
  if (!array || *count > total) *count = total;
}

CUresult get_nodes(CUgraph graph, CUgraphNode* nodes, size_t* count, bool roots) {
  return guarded([&]() -> CUresult {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphNodeHandle> list;
    u64 total = 0;
    const CUresult result =
        read_list(nodes != nullptr, list, total, [&](Offset into, u64 room, u64 first, u64& length) {
          call::vgpuGraphNodes::Reply reply{};
          const CUresult answered =
              ask<call::vgpuGraphNodes>(graph_context(), {graph_handle(graph), into, room, first, roots, 0}, &reply);
          length = reply.total;
          return answered;
        });
    if (result != CUDA_SUCCESS) return result;
    for (size_t i = 0; nodes && i < *count; ++i) nodes[i] = i < list.size() ? as_node(list[i]) : nullptr;
    give_count(nodes, total, count);
    return CUDA_SUCCESS;
  });
}

CUresult get_edges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data, size_t* count) {
  return guarded([&]() -> CUresult {
    if (!count || !from != !to || (data && !from)) return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphEdge> list;
    u64 total = 0;
    const CUresult result = read_list(from != nullptr, list, total, [&](Offset into, u64 room, u64 first, u64& length) {
      call::cuGraphGetEdges::Reply reply{};
      const CUresult answered =
          ask<call::cuGraphGetEdges>(graph_context(), {graph_handle(graph), into, room, first}, &reply);
      length = reply.total;
      return answered;
    });
    if (result != CUDA_SUCCESS) return result;
    if (!data && !std::all_of(list.begin(), list.end(), is_plain)) return CUDA_ERROR_LOSSY_QUERY;
    give(list, from, *count, [](const GraphEdge& edge) { return as_node(edge.from); });
    give(list, to, *count, [](const GraphEdge& edge) { return as_node(edge.to); });
    give(list, data, *count, edge_data);
    give_count(from, total, count);
    return CUDA_SUCCESS;
  });
}

CUresult get_neighbours(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* data, size_t* count, bool dependents) {
  return guarded([&]() -> CUresult {
    if (!count || (data && !nodes)) return CUDA_ERROR_INVALID_VALUE;
    std::vector<GraphEdge> list;
    u64 total = 0;
    const CUresult result =
        read_list(nodes != nullptr, list, total, [&](Offset into, u64 room, u64 first, u64& length) {
          call::vgpuGraphNeighbours::Reply reply{};
          const CUresult answered = ask<call::vgpuGraphNeighbours>(
              graph_context(), {node_handle(node), into, room, first, dependents, 0}, &reply);
          length = reply.total;
          return answered;
        });
    if (result != CUDA_SUCCESS) return result;
    if (!data && !std::all_of(list.begin(), list.end(), is_plain)) return CUDA_ERROR_LOSSY_QUERY;
    give(list, nodes, *count, [](const GraphEdge& edge) { return as_node(edge.from); });
    give(list, data, *count, edge_data);
    give_count(nodes, total, count);
    return CUDA_SUCCESS;
  });
}

/// cuGraphAddDependencies, cuGraphRemoveDependencies. A failure leaves the records before it done.
template <typename Call>
CUresult change_edges(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data,
                      size_t count) {
  return guarded([&]() -> CUresult {
    if (count != 0 && (!from || !to)) return CUDA_ERROR_INVALID_VALUE;
    size_t done = 0;
    CUresult result = CUDA_SUCCESS;
    do {
      const auto piece = static_cast<u32>(std::min<size_t>(count - done, vgpu::protocol::kMaxEdgesInRecord));
      result = ask<Call>(graph_context(), {graph_handle(graph), piece, 0}, nullptr,
                         edge_tail(from + done, to + done, data ? data + done : nullptr, piece));
      done += piece;
    } while (result == CUDA_SUCCESS && done < count);
    return result;
  });
}

}  // namespace

extern "C" {

CUresult CUDAAPI cuGraphCreate(CUgraph* graph, unsigned int flags) {
  return guarded([&]() -> CUresult {
    if (!graph || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    call::cuGraphCreate::Reply reply{};
    const CUresult result = ask<call::cuGraphCreate>(graph_context(), {flags, 0}, &reply);
    if (result == CUDA_SUCCESS) *graph = as_graph(reply.graph);
    return result;
  });
}

CUresult CUDAAPI cuGraphDestroy(CUgraph graph) {
  return guarded([&] { return ask<call::cuGraphDestroy>(graph_context(), {graph_handle(graph)}); });
}

CUresult CUDAAPI cuGraphClone(CUgraph* clone, CUgraph original) {
  return guarded([&]() -> CUresult {
    if (!clone) return CUDA_ERROR_INVALID_VALUE;
    call::cuGraphClone::Reply reply{};
    const CUresult result = ask<call::cuGraphClone>(graph_context(), {graph_handle(original)}, &reply);
    if (result == CUDA_SUCCESS) *clone = as_graph(reply.graph);
    return result;
  });
}

CUresult CUDAAPI cuGraphNodeFindInClone(CUgraphNode* node, CUgraphNode original, CUgraph clone) {
  return guarded([&]() -> CUresult {
    if (!node) return CUDA_ERROR_INVALID_VALUE;
    call::cuGraphNodeFindInClone::Reply reply{};
    const CUresult result =
        ask<call::cuGraphNodeFindInClone>(graph_context(), {node_handle(original), graph_handle(clone)}, &reply);
    if (result == CUDA_SUCCESS) *node = as_node(reply.node);
    return result;
  });
}

CUresult CUDAAPI cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  return get_nodes(graph, nodes, count, false);
}
CUresult CUDAAPI cuGraphGetRootNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  return get_nodes(graph, nodes, count, true);
}

CUresult CUDAAPI cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count) {
  return get_edges(graph, from, to, nullptr, count);
}
CUresult CUDAAPI cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data,
                                    size_t* count) {
  return get_edges(graph, from, to, data, count);
}
CUresult CUDAAPI cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode* nodes, size_t* count) {
  return get_neighbours(node, nodes, nullptr, count, false);
}
CUresult CUDAAPI cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* data,
                                               size_t* count) {
  return get_neighbours(node, nodes, data, count, false);
}
CUresult CUDAAPI cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode* nodes, size_t* count) {
  return get_neighbours(node, nodes, nullptr, count, true);
}
CUresult CUDAAPI cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* data,
                                                 size_t* count) {
  return get_neighbours(node, nodes, data, count, true);
}
CUresult CUDAAPI cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count) {
  return change_edges<call::cuGraphAddDependencies>(graph, from, to, nullptr, count);
}
CUresult CUDAAPI cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                           const CUgraphEdgeData* data, size_t count) {
  return change_edges<call::cuGraphAddDependencies>(graph, from, to, data, count);
}
CUresult CUDAAPI cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                           size_t count) {
  return change_edges<call::cuGraphRemoveDependencies>(graph, from, to, nullptr, count);
}
CUresult CUDAAPI cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                              const CUgraphEdgeData* data, size_t count) {
  return change_edges<call::cuGraphRemoveDependencies>(graph, from, to, data, count);
}

CUresult CUDAAPI cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType* type) {
  return guarded([&]() -> CUresult {
    if (!type) return CUDA_ERROR_INVALID_VALUE;
    call::cuGraphNodeGetType::Reply reply{};
    const CUresult result = ask<call::cuGraphNodeGetType>(graph_context(), {node_handle(node)}, &reply);
    if (result == CUDA_SUCCESS) *type = static_cast<CUgraphNodeType>(reply.type);
    return result;
  });
}

CUresult CUDAAPI cuGraphDestroyNode(CUgraphNode node) {
  return guarded([&] { return ask<call::cuGraphDestroyNode>(graph_context(), {node_handle(node)}); });
}

CUresult CUDAAPI cuGraphConditionalHandleCreate(CUgraphConditionalHandle* handle, CUgraph graph, CUcontext context,
                                                unsigned int default_value, unsigned int flags) {
  return guarded([&]() -> CUresult {
    if (!handle || (flags & ~static_cast<unsigned>(CU_GRAPH_COND_ASSIGN_DEFAULT)) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (context && !find_context(context)) return CUDA_ERROR_INVALID_VALUE;
    call::cuGraphConditionalHandleCreate::Reply reply{};
    const CUresult result = ask<call::cuGraphConditionalHandleCreate>(
        graph_context(), {graph_handle(graph), {reinterpret_cast<u64>(context)}, default_value, flags}, &reply);
    if (result == CUDA_SUCCESS) *handle = reply.condition;
    return result;
  });
}

// The host's driver writes the text, this process the file: its path is the program's.
CUresult CUDAAPI cuGraphDebugDotPrint(CUgraph graph, const char* path, unsigned int flags) {
  return guarded([&]() -> CUresult {
    if (!path) return CUDA_ERROR_INVALID_VALUE;
    std::vector<char> text;
    u64 total = 0;
    const CUresult result = read_list(true, text, total, [&](Offset into, u64 room, u64 first, u64& length) {
      call::vgpuGraphDot::Reply reply{};
      const CUresult answered =
          ask<call::vgpuGraphDot>(graph_context(), {graph_handle(graph), into, room, first, flags, 0}, &reply);
      length = reply.total;
      return answered;
    });
    if (result != CUDA_SUCCESS) return result;
    std::FILE* file = std::fopen(path, "we");
    if (!file) return CUDA_ERROR_OPERATING_SYSTEM;
    const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    return std::fclose(file) == 0 && written ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
  });
}

}  // extern "C"
