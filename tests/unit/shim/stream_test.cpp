#include <catch2/catch.hpp>
#include <set>

#include "fake_executor.hpp"
#include "shim/exports/per_thread.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

TEST_CASE("making a stream or an event costs no answer") {
  Session session;
  CUstream stream = nullptr;
  CUevent event = nullptr;
  REQUIRE(cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING, -100) == CUDA_SUCCESS);
  REQUIRE(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING) == CUDA_SUCCESS);
  for (const Record& record : session.executor.records())
    CHECK((record.header.slot == VGPU_NO_SLOT || record.header.call == call::vgpuDeviceInfo::number));
  unsigned flags = 0;
  int priority = 0;
  CHECK(cuStreamGetFlags(stream, &flags) == CUDA_SUCCESS);
  CHECK(flags == CU_STREAM_NON_BLOCKING);
  CHECK(cuStreamGetPriority(stream, &priority) == CUDA_SUCCESS);
  CHECK(priority == -5);
  CUcontext context = nullptr;
  CHECK(cuStreamGetCtx(stream, &context) == CUDA_SUCCESS);
  CHECK(context == session.context);
  CHECK(cuStreamCreate(&stream, 8) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuStreamCreate(nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuEventCreate(&event, 0x80) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuEventCreate(&event, CU_EVENT_INTERPROCESS) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING) == CUDA_ERROR_NOT_SUPPORTED);
}

TEST_CASE("streams, events and waits carry their handles") {
  Session session;
  CUstream stream = nullptr;
  CUevent start = nullptr;
  CUevent end = nullptr;
  REQUIRE(cuStreamCreate(&stream, 0) == CUDA_SUCCESS);
  REQUIRE(cuEventCreate(&start, 0) == CUDA_SUCCESS);
  REQUIRE(cuEventCreate(&end, 0) == CUDA_SUCCESS);
  CHECK(cuEventRecord(start, stream) == CUDA_SUCCESS);
  CHECK(cuStreamWaitEvent(nullptr, start, 0) == CUDA_SUCCESS);
  CHECK(cuEventRecord(end, nullptr) == CUDA_SUCCESS);
  CHECK(cuEventSynchronize(end) == CUDA_SUCCESS);
  session.executor.on<call::cuEventElapsedTime>([](const Record&) {
    return reply_with(call::cuEventElapsedTime::Reply{vgpu::protocol::FloatBits{0x3fc00000}, 0});
  });
  float time = 0;
  CHECK(cuEventElapsedTime(&time, start, end) == CUDA_SUCCESS);
  CHECK(time == 1.5f);
  const auto waits = session.executor.records_of<call::cuStreamWaitEvent>();
  REQUIRE(waits.size() == 1);
  CHECK(waits[0].as<call::cuStreamWaitEvent>().stream.value == 0);
  CHECK(waits[0].as<call::cuStreamWaitEvent>().event.value == reinterpret_cast<u64>(start));
  session.executor.on<call::cuEventQuery>([](const Record&) { return Answer{CUDA_ERROR_NOT_READY, {}, false}; });
  CHECK(cuEventQuery(end) == CUDA_ERROR_NOT_READY);
}

TEST_CASE("each thread has a default stream of its own, which goes with it") {
  Session session;
  CHECK(cuStreamSynchronize(CU_STREAM_PER_THREAD) == CUDA_SUCCESS);
  CHECK(cuStreamSynchronize(CU_STREAM_PER_THREAD) == CUDA_SUCCESS);
  const auto created = session.executor.records_of<call::cuStreamCreateWithPriority>();
  REQUIRE(created.size() == 1);
  const u64 mine = created[0].as<call::cuStreamCreateWithPriority>().stream.value;
  for (const Record& record : session.executor.records_of<call::cuStreamSynchronize>())
    CHECK(record.as<call::cuStreamSynchronize>().stream.value == mine);
  std::thread([&] {
    REQUIRE(cuCtxSetCurrent(session.context) == CUDA_SUCCESS);
    CHECK(cuStreamSynchronize(CU_STREAM_PER_THREAD) == CUDA_SUCCESS);
  }).join();
  const auto both = session.executor.records_of<call::cuStreamCreateWithPriority>();
  REQUIRE(both.size() == 2);
  const u64 other = both[1].as<call::cuStreamCreateWithPriority>().stream.value;
  CHECK(other != mine);
  const auto destroyed = session.executor.records_of<call::cuStreamDestroy>();
  REQUIRE(destroyed.size() == 1);
  CHECK(destroyed[0].as<call::cuStreamDestroy>().stream.value == other);
  CHECK(cuStreamDestroy(reinterpret_cast<CUstream>(mine)) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("the null stream means the thread's own under a guard, the legacy one stays") {
  Session session;
  {
    const PerThreadDefaultStream guard;
    CHECK(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
    CHECK(cuMemsetD8(0x1000, 1, 1) == CUDA_SUCCESS);
    CHECK(cuStreamSynchronize(CU_STREAM_LEGACY) == CUDA_SUCCESS);
  }
  CHECK(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
  const auto waits = session.executor.records_of<call::cuStreamSynchronize>();
  REQUIRE(waits.size() == 3);
  CHECK(waits[0].as<call::cuStreamSynchronize>().stream.value != 0);
  CHECK(waits[1].as<call::cuStreamSynchronize>().stream.value == 0);
  CHECK(waits[2].as<call::cuStreamSynchronize>().stream.value == 0);
  const auto sets = session.executor.records_of<call::cuMemsetD8Async>();
  REQUIRE(sets.size() == 1);
  CHECK(sets[0].as<call::cuMemsetD8Async>().stream.value == waits[0].as<call::cuStreamSynchronize>().stream.value);
}

TEST_CASE("stream identities are never the same") {
  Session session;
  std::set<unsigned long long> seen;
  for (const CUstream stream : {CUstream{nullptr}, CU_STREAM_PER_THREAD}) {
    unsigned long long id = 0;
    CHECK(cuStreamGetId(stream, &id) == CUDA_SUCCESS);
    CHECK(seen.insert(id).second);
  }
  for (int i = 0; i < 5; ++i) {
    CUstream stream = nullptr;
    unsigned long long id = 0;
    REQUIRE(cuStreamCreate(&stream, 0) == CUDA_SUCCESS);
    CHECK(cuStreamGetId(stream, &id) == CUDA_SUCCESS);
    CHECK(seen.insert(id).second);
    CHECK(cuStreamDestroy(stream) == CUDA_SUCCESS);
  }
}

TEST_CASE("no stream is capturing; the mode is the thread's") {
  Session session;
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_ACTIVE;
  CHECK(cuStreamIsCapturing(nullptr, &status) == CUDA_SUCCESS);
  CHECK(status == CU_STREAM_CAPTURE_STATUS_NONE);
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  CHECK(cuThreadExchangeStreamCaptureMode(&mode) == CUDA_SUCCESS);
  CHECK(mode == CU_STREAM_CAPTURE_MODE_GLOBAL);
  CHECK(cuThreadExchangeStreamCaptureMode(&mode) == CUDA_SUCCESS);
  CHECK(mode == CU_STREAM_CAPTURE_MODE_RELAXED);
}
