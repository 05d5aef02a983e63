// Stream capture and graphs' life by the driver API: modes and what they forbid, replay of host functions and of copies
// of pageable memory, queries, clones, updates, user objects.
#include <cuda.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

static int failures = 0;

static void expect(CUresult result, CUresult wanted, const char* what, int line) {
  if (result == wanted) return;
  std::printf("line %d: %s gave %d, not %d\n", line, what, result, wanted);
  ++failures;
}
static void check(bool good, const char* what, int line) {
  if (good) return;
  std::printf("line %d: not so: %s\n", line, what);
  ++failures;
}
#define OK(call) expect(call, CUDA_SUCCESS, #call, __LINE__)
#define FAILS(error, call) expect(call, error, #call, __LINE__)
#define TRUE(what) check(what, #what, __LINE__)

static std::atomic<int> calls{0};
static std::atomic<int> destroyed{0};
static void count_call(void* counter) { ++*static_cast<std::atomic<int>*>(counter); }

static constexpr size_t kBytes = 100000;

static CUstreamCaptureStatus status_of(CUstream stream) {
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  OK(cuStreamIsCapturing(stream, &status));
  return status;
}

/// What lies in pageable memory at each launch is what is copied, and a host function runs at each launch.
static void replays(CUstream stream, CUstream other) {
  CUdeviceptr memory = 0;
  OK(cuMemAlloc(&memory, 2 * kBytes));
  std::vector<char> source(kBytes, 1), result(kBytes, 0);
  CUevent fork = nullptr, join = nullptr;
  OK(cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
  OK(cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
  OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  TRUE(status_of(stream) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
  TRUE(status_of(other) == CU_STREAM_CAPTURE_STATUS_NONE);
  OK(cuMemcpyHtoDAsync(memory, source.data(), kBytes, stream));
  OK(cuEventRecord(fork, stream));
  OK(cuStreamWaitEvent(other, fork, 0));
  TRUE(status_of(other) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
  OK(cuMemsetD8Async(memory + kBytes, 5, kBytes, other));
  OK(cuEventRecord(join, other));
  OK(cuStreamWaitEvent(stream, join, 0));
  OK(cuLaunchHostFunc(stream, count_call, &calls));
  OK(cuMemcpyDtoHAsync(result.data(), memory, kBytes, stream));
  CUstreamCaptureStatus status;
  cuuint64_t id = 0;
  CUgraph graph = nullptr, ended = nullptr;
  const CUgraphNode* nodes = nullptr;
  const CUgraphEdgeData* edges = nullptr;
  size_t count = 0;
  OK(cuStreamGetCaptureInfo(stream, &status, &id, &graph, &nodes, &edges, &count));
  TRUE(status == CU_STREAM_CAPTURE_STATUS_ACTIVE && id != 0 && graph && count == 1 && nodes && nodes[0]);
  OK(cuStreamEndCapture(stream, &ended));
  TRUE(ended == graph);
  TRUE(status_of(stream) == CU_STREAM_CAPTURE_STATUS_NONE);
  FAILS(CUDA_ERROR_CAPTURED_EVENT, cuEventQuery(join));

  OK(cuGraphGetNodes(graph, nullptr, &count));
  std::vector<CUgraphNode> all(count + 2);
  size_t room = all.size();
  OK(cuGraphGetNodes(graph, all.data(), &room));
  TRUE(room == count && all[count] == nullptr);
  size_t edge_count = 0;
  OK(cuGraphGetEdges(graph, nullptr, nullptr, nullptr, &edge_count));
  TRUE(edge_count == count);  // a fork and a join, then a chain
  size_t host = 0;
  for (size_t i = 0; i < count; ++i) {
    CUgraphNodeType type;
    OK(cuGraphNodeGetType(all[i], &type));
    host += type == CU_GRAPH_NODE_TYPE_HOST;
  }
  TRUE(host >= 1);  // a copy of pageable memory may be a host node and a copy

  CUgraphExec exec = nullptr;
  OK(cuGraphInstantiate(&exec, graph, 0));
  CUgraph clone = nullptr;
  OK(cuGraphClone(&clone, graph));
  CUgraphNode found = nullptr;
  OK(cuGraphNodeFindInClone(&found, all[0], clone));
  TRUE(found != nullptr && found != all[0]);
  OK(cuGraphDestroy(graph));
  FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));
  for (int turn = 1; turn <= 3; ++turn) {
    std::fill(source.begin(), source.end(), static_cast<char>(turn * 10));
    OK(cuGraphLaunch(exec, stream));
    OK(cuStreamSynchronize(stream));
    TRUE(calls == turn);
    TRUE(std::all_of(result.begin(), result.end(), [&](char byte) { return byte == turn * 10; }));
  }
  CUgraphExecUpdateResultInfo info;
  OK(cuGraphExecUpdate(exec, clone, &info));
  TRUE(info.result == CU_GRAPH_EXEC_UPDATE_SUCCESS);
  OK(cuGraphLaunch(exec, stream));
  OK(cuStreamSynchronize(stream));
  TRUE(calls == 4);
  OK(cuGraphDestroyNode(found));
  FAILS(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate(exec, clone, &info));
  TRUE(info.result != CU_GRAPH_EXEC_UPDATE_SUCCESS);
  OK(cuGraphDebugDotPrint(clone, "/dev/null", 0));
  OK(cuGraphDestroy(clone));
  OK(cuGraphExecDestroy(exec));
  FAILS(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, stream));
  OK(cuEventDestroy(fork));
  OK(cuEventDestroy(join));
  OK(cuMemFree(memory));
}

/// A call that may wait for other streams breaks the captures that its thread may not disturb.
static void modes(CUstream stream) {
  CUgraph graph = nullptr;
  CUdeviceptr memory = 0;
  const auto allocate = [&](CUstreamCaptureMode mode) {
    CUresult result = CUDA_SUCCESS;
    CUcontext context = nullptr;
    OK(cuCtxGetCurrent(&context));
    std::thread([&] {
      cuCtxSetCurrent(context);
      cuThreadExchangeStreamCaptureMode(&mode);
      result = cuMemAlloc(&memory, 1024);
      if (result == CUDA_SUCCESS) cuMemFree(memory);
    }).join();
    return result;
  };
  OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  OK(allocate(CU_STREAM_CAPTURE_MODE_RELAXED));
  OK(allocate(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  TRUE(status_of(stream) == CU_STREAM_CAPTURE_STATUS_ACTIVE);
  FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, allocate(CU_STREAM_CAPTURE_MODE_GLOBAL));
  TRUE(status_of(stream) == CU_STREAM_CAPTURE_STATUS_INVALIDATED);
  FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuLaunchHostFunc(stream, count_call, &calls));
  FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  TRUE(graph == nullptr);
  FAILS(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(stream, &graph));

  OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  OK(allocate(CU_STREAM_CAPTURE_MODE_GLOBAL));
  FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(stream));
  FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));

  OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
  FAILS(CUDA_ERROR_ILLEGAL_STATE, cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
  OK(cuMemAlloc(&memory, 1024));
  OK(cuMemFree(memory));
  OK(cuStreamEndCapture(stream, &graph));
  size_t count = 7;
  OK(cuGraphGetNodes(graph, nullptr, &count));
  TRUE(count == 0);
  OK(cuGraphDestroy(graph));

  OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
  FAILS(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuLaunchHostFunc(nullptr, count_call, &calls));
  FAILS(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  FAILS(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamBeginCapture(nullptr, CU_STREAM_CAPTURE_MODE_GLOBAL));
}

/// The destructor of a user object runs when the graph that took it over is gone.
static void user_objects() {
  CUgraph graph = nullptr;
  CUuserObject object = nullptr;
  OK(cuGraphCreate(&graph, 0));
  OK(cuUserObjectCreate(&object, &destroyed, count_call, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
  OK(cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
  TRUE(destroyed == 0);
  OK(cuGraphDestroy(graph));
  while (destroyed == 0) std::this_thread::yield();
  TRUE(destroyed == 1);
}

int main() {
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUstream stream = nullptr, other = nullptr;
  OK(cuInit(0));
  OK(cuDeviceGet(&device, 0));
  OK(cuDevicePrimaryCtxRetain(&context, device));
  OK(cuCtxSetCurrent(context));
  OK(cuStreamCreate(&stream, CU_STREAM_DEFAULT));
  OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
  replays(stream, other);
  modes(stream);
  user_objects();
  cuuint64_t used = 1;
  OK(cuDeviceGetGraphMemAttribute(device, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &used));
  TRUE(used == 0);
  OK(cuStreamDestroy(stream));
  OK(cuStreamDestroy(other));
  OK(cuDevicePrimaryCtxRelease(device));
  std::printf("graph_capture: %s\n", failures == 0 ? "ok" : "failed");
  return failures == 0 ? 0 : 1;
}
