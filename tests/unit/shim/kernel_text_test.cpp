#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "fake_executor.hpp"

using namespace vgpu::shim::test;

namespace {

/// What f() leaves in stdio's standard output.
template <typename F>
std::string printed(F&& f) {
  std::fflush(stdout);
  std::FILE* const file = std::tmpfile();
  REQUIRE(file != nullptr);
  const int before = ::dup(STDOUT_FILENO);
  REQUIRE(::dup2(::fileno(file), STDOUT_FILENO) >= 0);
  f();
  std::fflush(stdout);
  ::dup2(before, STDOUT_FILENO);
  ::close(before);
  std::string text(1 << 12, '\0');
  const ssize_t length = ::pread(::fileno(file), text.data(), text.size(), 0);
  std::fclose(file);
  text.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
  return text;
}

/// An executor with text for the guest, in two pieces.
void give_text(FakeExecutor& executor, const char* first, const char* second) {
  // Shared: the executor copies its handlers.
  const auto left = std::make_shared<std::vector<std::string>>(std::vector<std::string>{second, first});
  executor.on<call::vgpuKernelText>([&executor, left](const Record& record) {
    call::vgpuKernelText::Reply reply{};
    if (left->empty()) {
      executor.control().text_waiting = 0;
    } else {
      std::memcpy(executor.region() + static_cast<u64>(record.as<call::vgpuKernelText>().into), left->back().data(),
                  left->back().size());
      reply.written = left->back().size();
      left->pop_back();
    }
    return reply_with(reply);
  });
  executor.control().text_waiting = 1;
}

}  // namespace

TEST_CASE("what kernels printed stands in stdio before the call that waited for them returns") {
  Session session;
  give_text(session.executor, "one ", "two\n");
  const auto wait = GENERATE(0, 1, 2);
  CHECK(printed([&] {
          std::printf("before ");
          switch (wait) {
            case 0:
              REQUIRE(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
              break;
            case 1:
              REQUIRE(cuCtxSynchronize() == CUDA_SUCCESS);
              break;
            default: {
              CUdeviceptr device = 0;
              int value = 0;
              REQUIRE(cuMemAlloc(&device, 4) == CUDA_SUCCESS);
              REQUIRE(cuMemcpyDtoH(&value, device, 4) == CUDA_SUCCESS);
            }
          }
          std::printf("after");
        }) == "before one two\nafter");
}

TEST_CASE("without text nothing is asked, and an error that is due is still the call's") {
  Session session;
  REQUIRE(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::vgpuKernelText>().empty());
  give_text(session.executor, "text", "\n");
  session.executor.on<call::cuStreamSynchronize>([&](const Record&) {
    session.executor.set_async_error(CUDA_ERROR_INVALID_VALUE);
    return Answer{};
  });
  CHECK(printed([&] { CHECK(cuStreamSynchronize(nullptr) == CUDA_ERROR_INVALID_VALUE); }) == "text\n");
}
