#pragma once
#include <cstring>
#include <string>
#include <vector>

#include "executor/dispatch.hpp"

namespace vgpu::executor {

/// Writes the names of `objects`, each with its NUL, to the request's place in the region if all of them fit there;
/// says how many and how long they are in any case. `get_name` is the driver's function for one name.
template <typename Request, typename Reply, typename Object, typename GetName>
CUresult write_names(Invocation& in, const Request& request, Reply& reply, const std::vector<Object>& objects,
                     GetName get_name) {
  std::string names;
  for (Object object : objects) {
    const char* name = nullptr;
    const CUresult result = get_name(&name, object);
    if (result != CUDA_SUCCESS) return result;
    names.append(name != nullptr ? name : "").push_back('\0');
  }
  std::byte* into = in.session.region.span(request.into, request.into_bytes);
  if (into == nullptr) return in.violate(VGPU_END_BAD_BULK, "into");
  if (names.size() <= request.into_bytes) std::memcpy(into, names.data(), names.size());
  reply.count = objects.size();
  reply.needed_bytes = names.size();
  return CUDA_SUCCESS;
}

}  // namespace vgpu::executor
