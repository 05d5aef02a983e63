#include <thread>

#include "fixture.hpp"

using namespace softgpu_test;

namespace {

CUstream make_stream(unsigned flags = CU_STREAM_NON_BLOCKING) {
  CUstream stream = nullptr;
  REQUIRE_OK(cuStreamCreate(&stream, flags));
  return stream;
}

CUevent make_event() {
  CUevent event = nullptr;
  REQUIRE_OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  return event;
}

void begin(CUstream stream, CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL) {
  REQUIRE_OK(cuStreamBeginCapture(stream, mode));
}

std::size_t node_count(CUgraph graph) {
  std::size_t count = 0;
  REQUIRE_OK(cuGraphGetNodes(graph, nullptr, &count));
  return count;
}

CUstreamCaptureStatus status_of(CUstream stream) {
  CUstreamCaptureStatus status{};
  REQUIRE_OK(cuStreamIsCapturing(stream, &status));
  return status;
}

void run(CUgraph graph, CUstream stream) {
  CUgraphExec exec = nullptr;
  REQUIRE_OK(cuGraphInstantiate(&exec, graph, 0));
  REQUIRE_OK(cuGraphLaunch(exec, stream));
  REQUIRE_OK(cuStreamSynchronize(stream));
}

}  // namespace

TEST_CASE("capture: two streams become one graph, and nothing runs before its launch") {
  Gpu gpu;
  const CUdeviceptr value = upload<unsigned>({0, 0});
  const CUstream a = make_stream();
  const CUstream b = make_stream();
  const CUevent forked = make_event();
  const CUevent joined = make_event();
  begin(a);
  CHECK(status_of(a) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
  CHECK(status_of(b) == CU_STREAM_CAPTURE_STATUS_NONE);
  REQUIRE_OK(cuMemsetD32Async(value, 5, 2, a));
  REQUIRE_OK(cuEventRecord(forked, a));
  REQUIRE_OK(cuStreamWaitEvent(b, forked, 0));
  CHECK(status_of(b) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
  REQUIRE_OK(launch(gpu.function("increment"), 1, 1, b, value, 1u));
  REQUIRE_OK(launch(gpu.function("increment"), 1, 1, a, value + 4, 1u));
  REQUIRE_OK(cuEventRecord(joined, b));
  REQUIRE_OK(cuStreamWaitEvent(a, joined, 0));
  REQUIRE_OK(cuLaunchHostFunc(
      a, [](void*) {}, nullptr));
  CUgraph graph = nullptr;
  REQUIRE_OK(cuStreamEndCapture(a, &graph));
  CHECK(status_of(b) == CU_STREAM_CAPTURE_STATUS_NONE);
  CHECK(node_count(graph) == 4);
  CHECK(download<unsigned>(value, 2) == std::vector<unsigned>{0, 0});
  run(graph, a);
  CHECK(download<unsigned>(value, 2) == std::vector<unsigned>{6, 6});
  CHECK_RESULT(CUDA_ERROR_CAPTURED_EVENT, cuEventQuery(forked));
  CHECK_RESULT(CUDA_ERROR_CAPTURED_EVENT, cuStreamWaitEvent(b, forked, 0));
}

TEST_CASE("capture: its state can be asked for, and its dependencies changed") {
  Gpu gpu;
  const CUdeviceptr value = upload<unsigned>({0});
  const CUstream stream = make_stream();
  CUstreamCaptureStatus status{};
  cuuint64_t id = 0;
  CUgraph graph = nullptr;
  const CUgraphNode* nodes = nullptr;
  std::size_t count = 0;
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_STATE, cuStreamUpdateCaptureDependencies(stream, nullptr, nullptr, 0, 0));
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(stream, &graph));
  begin(stream);
  CHECK_RESULT(CUDA_ERROR_ILLEGAL_STATE, cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  REQUIRE_OK(launch(gpu.function("set"), 1, 1, stream, value, 3u));
  REQUIRE_OK(cuStreamGetCaptureInfo(stream, &status, &id, &graph, &nodes, nullptr, &count));
  CHECK(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
  CHECK(id != 0);
  REQUIRE(count == 1);
  CUgraphNode extra = nullptr;
  REQUIRE_OK(cuGraphAddEmptyNode(&extra, graph, nodes, count));
  REQUIRE_OK(cuStreamUpdateCaptureDependencies(stream, &extra, nullptr, 1, CU_STREAM_SET_CAPTURE_DEPENDENCIES));
  REQUIRE_OK(launch(gpu.function("increment"), 1, 1, stream, value, 1u));
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));
  CUgraph ended = nullptr;
  REQUIRE_OK(cuStreamEndCapture(stream, &ended));
  CHECK(ended == graph);
  CHECK(node_count(ended) == 3);
  run(ended, stream);
  CHECK(download<unsigned>(value, 1)[0] == 4);
}

TEST_CASE("capture: what it can't hold ends it with the error that says why") {
  Gpu gpu;
  const CUstream stream = make_stream(CU_STREAM_DEFAULT);
  const CUstream other = make_stream();
  const CUevent event = make_event();
  CUgraph graph = nullptr;
  CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamBeginCapture(nullptr, CU_STREAM_CAPTURE_MODE_GLOBAL));

  SECTION("waiting for the stream") {
    begin(stream);
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(stream));
    CHECK(status_of(stream) == CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, launch(gpu.function("empty"), 1, 1, stream));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
    CHECK(graph == nullptr);
  }
  SECTION("the legacy stream") {
    begin(stream);
    CUstreamCaptureStatus status{};
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuStreamIsCapturing(nullptr, &status));
    CHECK(status_of(stream) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, launch(gpu.function("empty"), 1, 1, nullptr));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  }
  SECTION("an allocation, by the thread's mode") {
    CUdeviceptr memory = 0;
    begin(stream);
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    REQUIRE_OK(cuThreadExchangeStreamCaptureMode(&mode));
    CHECK(mode == CU_STREAM_CAPTURE_MODE_GLOBAL);
    REQUIRE_OK(cuMemAlloc(&memory, 16));
    REQUIRE_OK(cuThreadExchangeStreamCaptureMode(&mode));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuMemAlloc(&memory, 16));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  }
  SECTION("a fork without a join") {
    begin(stream);
    REQUIRE_OK(cuEventRecord(event, stream));
    REQUIRE_OK(cuStreamWaitEvent(other, event, 0));
    REQUIRE_OK(launch(gpu.function("empty"), 1, 1, other));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, cuStreamEndCapture(other, &graph));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
    begin(stream);
    REQUIRE_OK(cuEventRecord(event, stream));
    REQUIRE_OK(cuStreamWaitEvent(other, event, 0));
    REQUIRE_OK(launch(gpu.function("empty"), 1, 1, other));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, cuStreamEndCapture(stream, &graph));
  }
  SECTION("an event of work that runs") {
    REQUIRE_OK(cuEventRecord(event, other));
    begin(stream);
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, cuStreamWaitEvent(stream, event, 0));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  }
  SECTION("an event of another capture") {
    begin(stream);
    begin(other);
    REQUIRE_OK(cuEventRecord(event, other));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_MERGE, cuStreamWaitEvent(stream, event, 0));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
    CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(other, &graph));
  }
  SECTION("another thread's end") {
    begin(stream);
    std::thread([&] {
      cuCtxSetCurrent(gpu.context);
      CHECK_RESULT(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, cuStreamEndCapture(stream, &graph));
    }).join();
    REQUIRE_OK(cuStreamEndCapture(stream, &graph));
    begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED);
    std::thread([&] {
      cuCtxSetCurrent(gpu.context);
      CHECK_RESULT(CUDA_SUCCESS, cuStreamEndCapture(stream, &graph));
    }).join();
  }
  SECTION("the stream's end") {
    begin(stream);
    REQUIRE_OK(cuStreamDestroy(stream));
    CUdeviceptr memory = 0;
    REQUIRE_OK(cuMemAlloc(&memory, 16));
  }
}

TEST_CASE("capture: external events, memory and launches of graphs become nodes") {
  Gpu gpu;
  const CUstream stream = make_stream();
  const CUevent event = make_event();
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuEventRecordWithFlags(event, stream, CU_EVENT_RECORD_EXTERNAL));
  const CUdeviceptr value = upload<unsigned>({0});
  CUgraph inner = nullptr;
  begin(stream);
  REQUIRE_OK(launch(gpu.function("increment"), 1, 1, stream, value, 1u));
  REQUIRE_OK(cuStreamEndCapture(stream, &inner));
  CUgraphExec exec = nullptr;
  REQUIRE_OK(cuGraphInstantiate(&exec, inner, 0));

  begin(stream);
  CUdeviceptr memory = 0;
  REQUIRE_OK(cuMemAllocAsync(&memory, 64, stream));
  REQUIRE_OK(cuMemsetD32Async(memory, 41, 16, stream));
  REQUIRE_OK(cuMemcpyDtoDAsync(value, memory, 4, stream));
  REQUIRE_OK(cuMemFreeAsync(memory, stream));
  REQUIRE_OK(cuGraphLaunch(exec, stream));
  REQUIRE_OK(cuEventRecordWithFlags(event, stream, CU_EVENT_RECORD_EXTERNAL));
  REQUIRE_OK(cuStreamWaitEvent(stream, event, CU_EVENT_WAIT_EXTERNAL));
  CUgraph graph = nullptr;
  REQUIRE_OK(cuStreamEndCapture(stream, &graph));
  CHECK(node_count(graph) == 7);
  run(graph, stream);
  CHECK(download<unsigned>(value, 1)[0] == 42);
  CHECK_RESULT(CUDA_SUCCESS, cuEventQuery(event));
}

TEST_CASE("capture: into a graph that exists") {
  Gpu gpu;
  const CUdeviceptr value = upload<unsigned>({0});
  CUgraph graph = nullptr;
  REQUIRE_OK(cuGraphCreate(&graph, 0));
  CUgraphNode first = nullptr;
  REQUIRE_OK(cuGraphAddEmptyNode(&first, graph, nullptr, 0));
  const CUstream stream = make_stream();
  REQUIRE_OK(cuStreamBeginCaptureToGraph(stream, graph, &first, nullptr, 1, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  REQUIRE_OK(launch(gpu.function("set"), 1, 1, stream, value, 3u));
  CUgraphExec exec = nullptr;
  CHECK_RESULT(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiate(&exec, graph, 0));
  CUgraph ended = nullptr;
  REQUIRE_OK(cuStreamEndCapture(stream, &ended));
  CHECK(ended == graph);
  CHECK(node_count(graph) == 2);
  run(graph, stream);
  CHECK(download<unsigned>(value, 1)[0] == 3);
}
