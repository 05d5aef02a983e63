// The calls for single kinds of graph nodes.
#include "shim/graph_node.hpp"

using namespace vgpu::shim;

#include "common/graph_node_kinds.hpp"
