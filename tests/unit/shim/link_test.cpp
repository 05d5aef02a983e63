#include <catch2/catch.hpp>
#include <cstring>

#include "fake_executor.hpp"

using namespace vgpu::shim::test;

namespace {

template <typename Reply>
void write_log(Session& session, vgpu::protocol::Offset at, Reply& reply, const char* text) {
  std::strcpy(reinterpret_cast<char*>(session.executor.region() + static_cast<u64>(at)), text);
  reply.info_log_written = static_cast<u32>(std::strlen(text));
}

}  // namespace

TEST_CASE("a link's logs and image come to the program") {
  Session session;
  session.executor.on<call::cuLinkAddData>([&](const Record& record) {
    call::cuLinkAddData::Reply reply{};
    write_log(session, record.as<call::cuLinkAddData>().logs, reply, "added");
    return reply_with(reply);
  });
  session.executor.on<call::cuLinkComplete>([&](const Record& record) {
    call::cuLinkComplete::Reply reply{};
    write_log(session, record.as<call::cuLinkComplete>().logs, reply, "complete");
    reply.image_bytes = 3u << 20;
    return reply_with(reply);
  });
  session.executor.on<call::vgpuLinkImage>([&](const Record& record) {
    const auto& request = record.as<call::vgpuLinkImage>();
    std::memset(session.executor.region() + static_cast<u64>(request.into), 0x5a, request.bytes);
    return Answer{};
  });
  char log[32] = {};
  CUjit_option options[] = {CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, CU_JIT_LOG_VERBOSE};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log), reinterpret_cast<void*>(1)};
  CUlinkState link = nullptr;
  CHECK(cuLinkCreate(3, options, values, nullptr) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuLinkCreate(3, options, values, &link) == CUDA_SUCCESS);
  char text[] = ".version 8.0";
  CHECK(cuLinkAddData(link, CU_JIT_INPUT_PTX, nullptr, 5, "a", 0, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuLinkAddData(link, CU_JIT_INPUT_PTX, text, sizeof text, "a.ptx", 0, nullptr, nullptr) == CUDA_SUCCESS);
  CHECK(std::string(log) == "added");
  CHECK(cuLinkAddFile(link, CU_JIT_INPUT_PTX, "/no/such/file", 0, nullptr, nullptr) == CUDA_ERROR_FILE_NOT_FOUND);
  const auto added = session.executor.records_of<call::cuLinkAddData>();
  REQUIRE(added.size() == 1);
  CHECK(added[0].as<call::cuLinkAddData>().bytes == sizeof text);
  CHECK(added[0].tail.size() == 5);
  void* image = nullptr;
  std::size_t bytes = 0;
  REQUIRE(cuLinkComplete(link, &image, &bytes) == CUDA_SUCCESS);
  CHECK(std::string(log) == "complete");
  REQUIRE(bytes == 3u << 20);
  CHECK(static_cast<unsigned char*>(image)[bytes - 1] == 0x5a);
  CHECK(cuLinkDestroy(link) == CUDA_SUCCESS);
  CHECK(cuLinkDestroy(link) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuLinkAddData(link, CU_JIT_INPUT_PTX, text, sizeof text, "", 0, nullptr, nullptr) == CUDA_ERROR_INVALID_HANDLE);
}
