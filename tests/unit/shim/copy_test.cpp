#include <catch2/catch.hpp>
#include <cstring>
#include <numeric>

#include "fake_executor.hpp"
#include "shim/session.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;
namespace protocol = vgpu::protocol;

namespace {

std::vector<unsigned char> pattern(std::size_t bytes, unsigned seed = 1) {
  std::vector<unsigned char> data(bytes);
  for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<unsigned char>((i * 31 + i / 251 + seed) & 0xff);
  return data;
}

CUdeviceptr allocate(std::size_t bytes) {
  CUdeviceptr pointer = 0;
  REQUIRE(cuMemAlloc(&pointer, bytes) == CUDA_SUCCESS);
  return pointer;
}

}  // namespace

TEST_CASE("pageable copies of odd sizes arrive whole, both ways") {
  Session session;
  const auto bytes =
      GENERATE(as<std::size_t>{}, 1, 7, 4096, protocol::kMaxInlineCopyBytes, protocol::kMaxInlineCopyBytes + 1,
               (1u << 20) - 1, 1u << 20, (1u << 20) + 1, (9u << 20) + 13, (40u << 20) + 5);
  const bool async = GENERATE(false, true);
  CAPTURE(bytes, async);
  const auto data = pattern(bytes);
  const CUdeviceptr device = allocate(bytes + 2);
  session.executor.forget_records();
  if (async) {
    auto source = data;
    REQUIRE(cuMemcpyHtoDAsync(device + 1, source.data(), bytes, nullptr) == CUDA_SUCCESS);
    std::fill(source.begin(), source.end(), 0xee);  // the program may write there at once
    REQUIRE(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
  } else {
    REQUIRE(cuMemcpyHtoD(device + 1, data.data(), bytes) == CUDA_SUCCESS);
  }
  static_cast<void>(session.executor.records());
  CHECK(std::memcmp(session.executor.device_memory(device) + 1, data.data(), bytes) == 0);
  CHECK(session.executor.device_memory(device)[0] == std::byte{0});

  std::vector<unsigned char> back(bytes + 1, 0x55);
  if (async)
    REQUIRE(cuMemcpyDtoHAsync(back.data(), device + 1, bytes, nullptr) == CUDA_SUCCESS);
  else
    REQUIRE(cuMemcpyDtoH(back.data(), device + 1, bytes) == CUDA_SUCCESS);
  CHECK(std::memcmp(back.data(), data.data(), bytes) == 0);
  CHECK(back[bytes] == 0x55);

  // One call is counted once, in however many records it travels.
  unsigned last = 0;
  std::size_t in_tail = 0;
  for (const Record& record : session.executor.records()) {
    if (record.header.call == call::cuStreamSynchronize::number) continue;
    last += (record.header.flags & VGPU_RECORD_MORE) == 0;
    in_tail += record.tail.size();
  }
  CHECK(last == 2);
  CHECK(in_tail == (bytes <= protocol::kMaxInlineCopyBytes ? bytes : 0));
}

TEST_CASE("a copy of nothing succeeds and sends nothing; null is refused") {
  Session session;
  int value = 0;
  const CUdeviceptr device = allocate(4);
  session.executor.forget_records();
  CHECK(cuMemcpyHtoD(device, &value, 0) == CUDA_SUCCESS);
  CHECK(cuMemcpyDtoH(&value, device, 0) == CUDA_SUCCESS);
  CHECK(cuMemcpyDtoD(device, device, 0) == CUDA_SUCCESS);
  CHECK(cuMemcpyHtoD(0, &value, 4) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpyDtoH(nullptr, device, 4) == CUDA_ERROR_INVALID_VALUE);
  CHECK(session.executor.records().empty());
}

TEST_CASE("an error in one chunk is the copy's, and gives every chunk back") {
  Session session;
  const std::size_t bytes = 20u << 20;
  const CUdeviceptr device = allocate(bytes);
  const auto data = pattern(bytes);
  std::atomic<int> seen{0};
  session.executor.on<call::cuMemcpyHtoDAsync>([&](const Record&) {
    return Answer{++seen == 3 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS, {}, false};
  });
  CHECK(cuMemcpyHtoD(device, data.data(), bytes) == CUDA_ERROR_INVALID_VALUE);
  SECTION("an asynchronous copy's error comes with the next wait") {
    seen = 0;
    // The copy itself returns it if the chunk was answered before the last one was sent.
    const CUresult copied = cuMemcpyHtoDAsync(device, data.data(), 5u << 20, nullptr);
    static_cast<void>(session.executor.records());
    const CUresult waited = cuStreamSynchronize(nullptr);
    CHECK((copied == CUDA_SUCCESS) != (waited == CUDA_SUCCESS));
    CHECK((copied == CUDA_ERROR_INVALID_VALUE || waited == CUDA_ERROR_INVALID_VALUE));
  }
  state().staging.reclaim();
  for (unsigned i = 0; i < VGPU_STAGING_CHUNKS; ++i) CHECK(state().staging.try_take() != Staging::kNone);
  CHECK(state().staging.try_take() == Staging::kNone);
}

TEST_CASE("threads share the staging area") {
  Session session;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      if (cuCtxSetCurrent(session.context) != CUDA_SUCCESS) ++wrong;
      const std::size_t bytes = (12u << 20) + t;
      const auto data = pattern(bytes, t);
      std::vector<unsigned char> back(bytes);
      CUdeviceptr device = 0;
      if (cuMemAlloc(&device, bytes) != CUDA_SUCCESS) ++wrong;
      if ((t % 2 ? cuMemcpyHtoD(device, data.data(), bytes) : cuMemcpyHtoDAsync(device, data.data(), bytes, nullptr)) !=
          CUDA_SUCCESS)
        ++wrong;
      if (cuMemcpyDtoH(back.data(), device, bytes) != CUDA_SUCCESS || back != data) ++wrong;
    });
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("pinned memory is named by its place, and copies of it are asynchronous") {
  Session session;
  void* pinned = nullptr;
  const std::size_t bytes = 3u << 20;
  REQUIRE(cuMemHostAlloc(&pinned, bytes, CU_MEMHOSTALLOC_DEVICEMAP) == CUDA_SUCCESS);
  const auto data = pattern(bytes);
  std::memcpy(pinned, data.data(), bytes);
  const CUdeviceptr device = allocate(bytes);
  session.executor.forget_records();
  REQUIRE(cuMemcpyHtoDAsync(device, pinned, bytes, nullptr) == CUDA_SUCCESS);
  const auto there = session.executor.records();
  REQUIRE(there.size() == 1);
  CHECK(there[0].header.slot == VGPU_NO_SLOT);
  CHECK(static_cast<u64>(there[0].as<call::cuMemcpyHtoDAsync>().source) >= VGPU_ARENA_OFFSET);
  std::memset(pinned, 0, bytes);
  REQUIRE(cuMemcpyDtoHAsync(static_cast<char*>(pinned) + 1, device + 1, bytes - 1, nullptr) == CUDA_SUCCESS);
  REQUIRE(cuStreamSynchronize(nullptr) == CUDA_SUCCESS);
  CHECK(std::memcmp(static_cast<char*>(pinned) + 1, data.data() + 1, bytes - 1) == 0);
  CHECK(cuMemcpyHtoD(device, pinned, bytes) == CUDA_SUCCESS);
  CHECK(cuMemcpyDtoH(pinned, device, bytes) == CUDA_SUCCESS);
}

TEST_CASE("a copy by pointer finds out what lies there") {
  Session session;
  const CUdeviceptr first = allocate(64);
  const CUdeviceptr second = allocate(64);
  const auto data = pattern(64);
  std::vector<unsigned char> back(64);
  std::vector<unsigned char> other(64);
  const auto at = [](auto& memory) { return reinterpret_cast<CUdeviceptr>(memory.data()); };
  REQUIRE(cuMemcpy(first, at(data), 64) == CUDA_SUCCESS);
  REQUIRE(cuMemcpy(second, first, 64) == CUDA_SUCCESS);
  REQUIRE(cuMemcpyAsync(at(back), second, 64, nullptr) == CUDA_SUCCESS);
  CHECK(back == data);
  session.executor.forget_records();
  REQUIRE(cuMemcpy(at(other), at(back), 64) == CUDA_SUCCESS);
  CHECK(other == data);
  CHECK(session.executor.records_of<call::cuStreamSynchronize>().size() == 1);
  REQUIRE(cuMemcpyPeer(second, session.context, first + 8, session.context, 8) == CUDA_SUCCESS);
  CHECK(cuMemcpyPeer(second, session.context, first, reinterpret_cast<CUcontext>(8), 8) == CUDA_ERROR_INVALID_CONTEXT);
}

TEST_CASE("rectangles are packed and unpacked row by row") {
  Session session;
  struct Shape {
    std::size_t width, height, host_pitch, device_pitch, x, y;
  };
  const Shape shape =
      GENERATE(Shape{1, 1, 1, 512, 0, 0}, Shape{100, 50, 128, 512, 3, 2}, Shape{700, 4000, 701, 1024, 0, 1},
               Shape{(2u << 20) + 3, 3, (2u << 20) + 64, (2u << 20) + 512, 5, 0});
  const bool async = GENERATE(false, true);
  CAPTURE(shape.width, shape.height, async);
  const std::size_t host_bytes = shape.host_pitch * (shape.height + shape.y) + shape.x;
  auto data = pattern(host_bytes);
  const CUdeviceptr device = allocate(shape.device_pitch * shape.height);
  CUDA_MEMCPY2D there{};
  there.srcMemoryType = CU_MEMORYTYPE_HOST;
  there.srcHost = data.data();
  there.srcPitch = shape.host_pitch;
  there.srcXInBytes = shape.host_pitch > shape.width + shape.x ? shape.x : 0;
  there.srcY = shape.y;
  there.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  there.dstDevice = device;
  there.dstPitch = shape.device_pitch;
  there.WidthInBytes = shape.width;
  there.Height = shape.height;
  REQUIRE((async ? cuMemcpy2DAsync(&there, nullptr) : cuMemcpy2D(&there)) == CUDA_SUCCESS);
  const auto source_row = [&](std::size_t row) {
    return data.data() + (row + shape.y) * shape.host_pitch + there.srcXInBytes;
  };
  for (std::size_t row = 0; row < shape.height; ++row)
    REQUIRE(std::memcmp(session.executor.device_memory(device + row * shape.device_pitch), source_row(row),
                        shape.width) == 0);

  std::vector<unsigned char> back(host_bytes, 0x77);
  CUDA_MEMCPY2D here{};
  here.srcMemoryType = CU_MEMORYTYPE_UNIFIED;
  here.srcDevice = device;
  here.srcPitch = shape.device_pitch;
  here.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  here.dstDevice = reinterpret_cast<CUdeviceptr>(back.data());
  here.dstPitch = shape.host_pitch;
  here.dstXInBytes = there.srcXInBytes;
  here.dstY = shape.y;
  here.WidthInBytes = shape.width;
  here.Height = shape.height;
  REQUIRE((async ? cuMemcpy2DAsync(&here, nullptr) : cuMemcpy2D(&here)) == CUDA_SUCCESS);
  for (std::size_t row = 0; row < shape.height; ++row)
    REQUIRE(std::memcmp(back.data() + (row + shape.y) * shape.host_pitch + there.srcXInBytes, source_row(row),
                        shape.width) == 0);
  if (shape.host_pitch > shape.width + there.srcXInBytes)
    CHECK(back[shape.y * shape.host_pitch + there.srcXInBytes + shape.width] == 0x77);
}

TEST_CASE("rectangles with impossible pitches, arrays and nothing in them") {
  Session session;
  std::vector<unsigned char> host(4096);
  const CUdeviceptr device = allocate(4096);
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = host.data();
  copy.srcPitch = 8;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = device;
  copy.dstPitch = 64;
  copy.WidthInBytes = 16;
  copy.Height = 4;
  CHECK(cuMemcpy2D(&copy) == CUDA_ERROR_INVALID_VALUE);
  copy.srcPitch = 16;
  copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  CHECK(cuMemcpy2D(&copy) == CUDA_ERROR_INVALID_HANDLE);
  copy.Height = 0;
  CHECK(cuMemcpy2D(&copy) == CUDA_SUCCESS);
  CHECK(cuMemcpy2D(nullptr) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("memsets are sent in each width, and refuse what is not aligned") {
  Session session;
  CHECK(cuMemsetD8(0x10001, 0xab, 5) == CUDA_SUCCESS);
  CHECK(cuMemsetD16(0x10002, 0xabcd, 5) == CUDA_SUCCESS);
  CHECK(cuMemsetD16(0x10001, 0xabcd, 5) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemsetD32Async(0x10004, 0xabcdef01, 5, nullptr) == CUDA_SUCCESS);
  CHECK(cuMemsetD32(0x10002, 1, 5) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemsetD2D32(0x10000, 64, 9, 16, 3) == CUDA_SUCCESS);
  CHECK(cuMemsetD2D32(0x10000, 60, 9, 16, 3) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemsetD2D8(0x10000, 7, 9, 7, 3) == CUDA_SUCCESS);
  CHECK(cuMemsetD8(0x10000, 1, 0) == CUDA_SUCCESS);
  const auto d32 = session.executor.records_of<call::cuMemsetD32Async>();
  REQUIRE(d32.size() == 1);
  CHECK(d32[0].as<call::cuMemsetD32Async>().value == 0xabcdef01);
  const auto d2 = session.executor.records_of<call::cuMemsetD2D32Async>();
  REQUIRE(d2.size() == 1);
  CHECK(d2[0].as<call::cuMemsetD2D32Async>().pitch == 64);
}
