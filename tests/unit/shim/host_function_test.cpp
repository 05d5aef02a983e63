#include <catch2/catch.hpp>

#include "fake_executor.hpp"
#include "protocol/ring.hpp"
#include "shim/session.hpp"

using namespace vgpu::shim::test;

namespace {

struct Seen {
  std::mutex mutex;
  std::condition_variable changed;
  int calls = 0;
  CUresult status = CUDA_SUCCESS;
  CUstream stream = nullptr;

  void wait(int wanted) {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, std::chrono::seconds(10), [&] { return calls >= wanted; }));
  }
};

void count(void* data) {
  auto* seen = static_cast<Seen*>(data);
  std::lock_guard lock(seen->mutex);
  ++seen->calls;
  seen->changed.notify_all();
}

void called_back(CUstream stream, CUresult status, void* data) {
  auto* seen = static_cast<Seen*>(data);
  std::lock_guard lock(seen->mutex);
  ++seen->calls;
  seen->status = status;
  seen->stream = stream;
  seen->changed.notify_all();
}

/// An executor that lets each host function run as soon as it is enqueued.
struct Runner {
  explicit Runner(Session& session) : session_(session) {
    session.executor.on<call::vgpuServeHostFunctions>([](const Record&) { return Answer{CUDA_SUCCESS, {}, true}; });
  }
  /// Lets it run, and waits until the guest is done with it.
  void run(u64 id, CUresult status) {
    while (session_.executor.records_of<call::vgpuServeHostFunctions>().empty()) std::this_thread::yield();
    Record asker = session_.executor.records_of<call::vgpuServeHostFunctions>().front();
    if (ticket_ == 0) ticket_ = asker.header.ticket;
    asker.header.ticket = ticket_;
    session_.executor.answer(asker, reply_with(call::vgpuServeHostFunctions::Reply{id, status, 0}));
    const auto done = vgpu::protocol::shared(vgpu::shim::state().channel->control().host_functions_done);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (done.load() != ticket_ && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    REQUIRE(done.load() == ticket_);
    ticket_ = vgpu::protocol::next_ticket(ticket_);
  }
  Session& session_;
  u32 ticket_ = 0;
};

}  // namespace

TEST_CASE("host functions run when the executor says so, and it learns that they ran") {
  Session session;
  Runner runner(session);
  Seen seen;
  REQUIRE(cuLaunchHostFunc(nullptr, count, &seen) == CUDA_SUCCESS);
  REQUIRE(cuLaunchHostFunc(nullptr, count, &seen) == CUDA_SUCCESS);
  const auto enqueued = session.executor.records_of<call::cuLaunchHostFunc>();
  REQUIRE(enqueued.size() == 2);
  CHECK(seen.calls == 0);
  const u64 first = enqueued[0].as<call::cuLaunchHostFunc>().id;
  const u64 second = enqueued[1].as<call::cuLaunchHostFunc>().id;
  CHECK(first != second);
  runner.run(first, CUDA_SUCCESS);
  seen.wait(1);
  runner.run(second, CUDA_SUCCESS);
  seen.wait(2);
  CHECK(cuLaunchHostFunc(nullptr, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("a callback gets its stream and the status; a host function of a failed stream doesn't run") {
  Session session;
  Runner runner(session);
  Seen seen;
  Seen never;
  CUstream stream = nullptr;
  REQUIRE(cuStreamCreate(&stream, 0) == CUDA_SUCCESS);
  REQUIRE(cuLaunchHostFunc(stream, count, &never) == CUDA_SUCCESS);
  REQUIRE(cuStreamAddCallback(stream, called_back, &seen, 0) == CUDA_SUCCESS);
  CHECK(cuStreamAddCallback(stream, called_back, &seen, 1) == CUDA_ERROR_INVALID_VALUE);
  runner.run(session.executor.records_of<call::cuLaunchHostFunc>().at(0).as<call::cuLaunchHostFunc>().id,
             CUDA_ERROR_ILLEGAL_ADDRESS);
  runner.run(session.executor.records_of<call::cuStreamAddCallback>().at(0).as<call::cuStreamAddCallback>().id,
             CUDA_ERROR_ILLEGAL_ADDRESS);
  seen.wait(1);
  CHECK(never.calls == 0);
  CHECK(seen.status == CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(seen.stream == stream);
}
