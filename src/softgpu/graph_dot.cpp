#include <fmt/format.h>

#include <fstream>

#include "softgpu/graph_guard.hpp"

using namespace vgpu::softgpu;

namespace {

constexpr unsigned kKnownFlags = (CU_GRAPH_DEBUG_DOT_FLAGS_CONDITIONAL_NODE_PARAMS << 1) - 1;

constexpr const char* kNames[] = {
    "KERNEL",       "MEMCPY",           "MEMSET",         "HOST",      "GRAPH",    "EMPTY",        "WAIT_EVENT",
    "EVENT_RECORD", "EXT_SEMAS_SIGNAL", "EXT_SEMAS_WAIT", "MEM_ALLOC", "MEM_FREE", "BATCH_MEM_OP", "CONDITIONAL"};

class Writer {
 public:
  Writer(std::ostream& out, unsigned flags) : out_(out), flags_(flags) {}

  void write(const Graph& graph, unsigned level) {
    const std::string indent(2 * level + 2, ' ');
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
      const GraphNode& node = *graph.nodes()[i];
      out_ << fmt::format("{}\"{}\" [shape=\"record\" label=\"{{{}|{}{}}}\"];\n", indent, name(node), i,
                          kNames[type_of(*node.work)], details(node));
      unsigned part = 0;
      for (const auto& child : Graph::children(node)) {
        out_ << fmt::format("{}subgraph \"cluster_{}_{}\" {{\n", indent, name(node), part++);
        write(*child, level + 1);
        out_ << indent << "}\n";
      }
    }
    for (const auto& node : graph.nodes()) {
      for (const GraphEdge& edge : node->dependents) {
        out_ << fmt::format("{}\"{}\" -> \"{}\";\n", indent, name(*node), name(*edge.node));
      }
    }
  }

 private:
  static std::string name(const GraphNode& node) { return fmt::format("node_{}", static_cast<void*>(node.handle)); }
  bool asked(unsigned flag) const noexcept { return (flags_ & (flag | CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE)) != 0; }

  std::string details(const GraphNode& node) const {
    std::string text;
    if (const auto* kernel = node.as<KernelNode>()) {
      text += "|" + kernel->function->info().name;
      const LaunchShape& shape = kernel->launch.shape;
      if (asked(CU_GRAPH_DEBUG_DOT_FLAGS_KERNEL_NODE_PARAMS)) {
        text += fmt::format("|grid {},{},{} block {},{},{} shared {}", shape.grid.x, shape.grid.y, shape.grid.z,
                            shape.block.x, shape.block.y, shape.block.z, shape.dynamic_shared);
      }
    } else if (const auto* copy = node.as<CopyNode>()) {
      const auto& p = copy->parameters;
      if (asked(CU_GRAPH_DEBUG_DOT_FLAGS_MEMCPY_NODE_PARAMS)) {
        text += fmt::format("|{} x {} x {}", p.WidthInBytes, p.Height, p.Depth);
      }
    } else if (const auto* fill = node.as<FillNode>()) {
      const auto& p = fill->parameters;
      if (asked(CU_GRAPH_DEBUG_DOT_FLAGS_MEMSET_NODE_PARAMS)) {
        text += fmt::format("|{:#x} value {} element {} {} x {}", p.dst, p.value, p.elementSize, p.width, p.height);
      }
    } else if (const auto* allocation = node.as<AllocationNode>()) {
      if (asked(CU_GRAPH_DEBUG_DOT_FLAGS_MEM_ALLOC_NODE_PARAMS)) {
        text += fmt::format("|{:#x} bytes {}", allocation->parameters.dptr, allocation->parameters.bytesize);
      }
    }
    if (asked(CU_GRAPH_DEBUG_DOT_FLAGS_HANDLES)) text += fmt::format("|{}", static_cast<void*>(node.handle));
    return text;
  }

  std::ostream& out_;
  const unsigned flags_;
};

}  // namespace

CUresult CUDAAPI cuGraphDebugDotPrint(CUgraph handle, const char* path, unsigned int flags) {
  return with_graph(handle, [&](Graph& graph) {
    if (path == nullptr || (flags & ~kKnownFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    std::ofstream file(path);
    if (!file) return CUDA_ERROR_OPERATING_SYSTEM;
    file << "digraph dot {\n";
    Writer(file, flags).write(graph, 0);
    file << "}\n";
    return file.flush() ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
  });
}
