// Which streams may have unfinished work, and who therefore waits for whom.
#include "executor/unfinished.hpp"

#include <catch2/catch.hpp>

#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;
using executor::Contexts;
using executor::Unfinished;

namespace {
CUstream stream(std::uintptr_t number) { return reinterpret_cast<CUstream>(number); }
}  // namespace

TEST_CASE("unfinished: one stream is known by its name until its work is done") {
  Contexts contexts;
  Unfinished unfinished(contexts);
  CHECK(unfinished.none());
  unfinished.touch(1, stream(7));
  unfinished.touch(1, stream(7));
  CHECK_FALSE(unfinished.none());
  CHECK(unfinished.only(1) == stream(7));
  CHECK_FALSE(unfinished.only(2));
  const u64 waited_for = unfinished.serial();
  unfinished.touch(1, stream(7));
  unfinished.finished(1, waited_for);
  CHECK_FALSE(unfinished.none());
  unfinished.finished(1, unfinished.serial());
  CHECK(unfinished.none());
  CHECK_FALSE(unfinished.only(1));
}

TEST_CASE("unfinished: of several streams one tells nothing, the whole context does") {
  Contexts contexts;
  Unfinished unfinished(contexts);
  unfinished.touch(1, stream(7));
  unfinished.touch(1, nullptr);
  CHECK_FALSE(unfinished.only(1));
  unfinished.finished(1, unfinished.serial());
  CHECK_FALSE(unfinished.none());
  unfinished.synchronized(2, unfinished.serial());
  CHECK_FALSE(unfinished.none());
  unfinished.synchronized(1, unfinished.serial());
  unfinished.touch(1, nullptr);
  CHECK_FALSE(unfinished.none());
  unfinished.synchronized(1, unfinished.serial());
  CHECK(unfinished.none());
}

TEST_CASE("unfinished: each context has its own") {
  Contexts contexts;
  Unfinished unfinished(contexts);
  unfinished.touch(1, stream(7));
  unfinished.touch(2, stream(8));
  CHECK(unfinished.only(1) == stream(7));
  CHECK(unfinished.only(2) == stream(8));
  unfinished.synchronized(1, unfinished.serial());
  CHECK_FALSE(unfinished.none());
  unfinished.touch(1, stream(7));
  unfinished.finished(1, unfinished.serial());
  CHECK_FALSE(unfinished.none());
  unfinished.finished(2, unfinished.serial());
  CHECK(unfinished.none());
}

TEST_CASE("unfinished: a stream that is gone is nothing to wait for") {
  Contexts contexts;
  Unfinished unfinished(contexts);
  unfinished.touch(1, stream(7));
  unfinished.forget(stream(8));
  CHECK(unfinished.only(1) == stream(7));
  unfinished.forget(stream(7));
  CHECK_FALSE(unfinished.only(1));
  CHECK_FALSE(unfinished.none());

  Unfinished other(contexts);
  other.touch(1, stream(7));
  const auto handle = ContextHandle::make(1, 1);
  REQUIRE(contexts.put(handle, reinterpret_cast<CUcontext>(1)));
  contexts.take(handle);
  CHECK_FALSE(other.only(1));
}

TEST_CASE("a wait for a context with one busy stream is parked, and allocations beside it come back") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const auto handle = guest.make_stream(1);
  guest.settle();
  const CUstream native = cuda.last_stream();
  cuda.hold(native);
  guest.publish<call::cuMemsetD8Async>({Pointer{device}, 16, handle, 1, 0});
  guest.publish<call::cuCtxSynchronize>({0}, 5);
  const u32 ticket = guest.ticket();
  guest.settle();
  CHECK_FALSE(guest.session->unfinished.none());
  CHECK(guest.allocate(16) != 0);
  CHECK_FALSE(guest.wait(5, ticket, 1ms));
  cuda.release(native);
  REQUIRE(guest.wait(5, ticket));
  CHECK(guest.region.slots()[5].result == CUDA_SUCCESS);
}

TEST_CASE("a stream that is destroyed with its work done does not hurt the wait for its context") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.make_context();
  const u64 device = guest.allocate(4096);
  const auto handle = guest.make_stream(1);
  guest.publish<call::cuMemsetD8Async>({Pointer{device}, 16, handle, 1, 0});
  guest.publish<call::cuStreamDestroy>({handle});
  CHECK(guest.call<call::cuCtxSynchronize>({0}) == CUDA_SUCCESS);
  CHECK(guest.call<call::cuMemFree>({Pointer{device}}) == CUDA_SUCCESS);
}
