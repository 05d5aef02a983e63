// Shadows of pageable memory in graphs: their memory serves later nodes, but only of the context that it was made for.
#include "shim/captured_copy.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "fake_executor.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

namespace {

const Context& current() {
  CUresult result = CUDA_SUCCESS;
  const Context* context = current_context(result);
  REQUIRE(context != nullptr);
  return *context;
}

std::shared_ptr<Shadow> shadow() {
  std::shared_ptr<Shadow> made;
  REQUIRE(make_shadow(current(), 4096, made) == CUDA_SUCCESS);
  return made;
}

}  // namespace

TEST_CASE("a shadow's memory serves later nodes until its context ends") {
  Session session;
  auto kept = shadow();
  std::byte* const first = shadow()->memory();
  CHECK(shadow()->memory() == first);

  // The same handle, another life: the program may have the memory by now.
  REQUIRE(cuDevicePrimaryCtxReset(0) == CUDA_SUCCESS);
  kept.reset();
  CUcontext context = nullptr;
  REQUIRE(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
  REQUIRE(cuCtxSetCurrent(context) == CUDA_SUCCESS);
  std::set<void*> blocks;
  for (int i = 0; i < 2; ++i) {
    void* pinned = nullptr;
    REQUIRE(cuMemHostAlloc(&pinned, 4096, 0) == CUDA_SUCCESS);
    CHECK(blocks.insert(pinned).second);
  }
  const auto one = shadow();
  const auto other = shadow();
  CHECK(blocks.insert(one->memory()).second);
  CHECK(blocks.insert(other->memory()).second);
}
