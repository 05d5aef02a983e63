#include <catch2/catch.hpp>
#include <cstring>

#include "fake_executor.hpp"

using namespace vgpu::shim::test;

namespace {

CUresult launch(CUfunction function, unsigned threads, void** parameters, void** extra = nullptr, unsigned shared = 0) {
  return cuLaunchKernel(function, 2, 3, 4, threads, 1, 1, shared, nullptr, parameters, extra);
}

}  // namespace

TEST_CASE("a launch is one record without answer, its parameters packed by layout") {
  Session session;
  const CUfunction function = session.function({4, 8, 1, 2, 16});
  int a = 0x11223344;
  double b = 2.5;
  char c = 'c';
  short d = 0x5566;
  struct alignas(16) {
    char bytes[16];
  } e = {"fifteen letters"};
  void* parameters[] = {&a, &b, &c, &d, &e};
  REQUIRE(launch(function, 32, parameters) == CUDA_SUCCESS);  // the first one learns the function's limits
  session.executor.forget_records();
  REQUIRE(launch(function, 64, parameters, nullptr, 100) == CUDA_SUCCESS);
  const auto records = session.executor.records();
  REQUIRE(records.size() == 1);
  const auto& request = records[0].as<call::cuLaunchKernel>();
  CHECK(records[0].header.slot == VGPU_NO_SLOT);
  CHECK(request.function.value == reinterpret_cast<u64>(function));
  CHECK(request.grid_x == 2);
  CHECK(request.grid_z == 4);
  CHECK(request.block_x == 64);
  CHECK(request.shared_bytes == 100);
  REQUIRE(request.parameter_bytes == 48);
  REQUIRE(records[0].tail.size() == 48);
  const std::byte* tail = records[0].tail.data();
  CHECK(std::memcmp(tail, &a, 4) == 0);
  CHECK(std::memcmp(tail + 8, &b, 8) == 0);
  CHECK(std::memcmp(tail + 16, &c, 1) == 0);
  CHECK(std::memcmp(tail + 18, &d, 2) == 0);
  CHECK(std::memcmp(tail + 32, &e, 16) == 0);
  for (const int gap : {4, 7, 17, 20, 31}) CHECK(tail[gap] == std::byte{0});
}

TEST_CASE("a packed buffer goes as it is") {
  Session session;
  const CUfunction function = session.function({8, 4});
  unsigned char buffer[12];
  for (unsigned i = 0; i < sizeof buffer; ++i) buffer[i] = static_cast<unsigned char>(i + 1);
  size_t size = sizeof buffer;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &size, CU_LAUNCH_PARAM_END};
  REQUIRE(launch(function, 32, nullptr, extra) == CUDA_SUCCESS);
  const auto records = session.executor.records_of<call::cuLaunchKernel>();
  REQUIRE(records.size() == 1);
  REQUIRE(records[0].tail.size() == sizeof buffer);
  CHECK(std::memcmp(records[0].tail.data(), buffer, sizeof buffer) == 0);
  void* parameters[] = {buffer, buffer};
  CHECK(launch(function, 32, parameters, extra) == CUDA_ERROR_INVALID_VALUE);
  CHECK(launch(function, 32, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  size = 40000;
  CHECK(launch(function, 32, nullptr, extra) == CUDA_ERROR_INVALID_VALUE);
  void* strange[] = {reinterpret_cast<void*>(9), buffer, CU_LAUNCH_PARAM_END};
  CHECK(launch(function, 32, nullptr, strange) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("more parameters than a reply holds are asked for one by one") {
  Session session;
  session.executor.on<call::cuModuleGetFunction>([](const Record&) {
    call::cuModuleGetFunction::Reply reply{};
    reply.parameter_count = 60;
    reply.parameter_bytes = 240;
    for (u16 i = 0; i < vgpu::protocol::kInlineParameters; ++i)
      reply.parameters.layout[i] = {static_cast<u16>(4 * i), 4};
    return reply_with(reply);
  });
  session.executor.on<call::cuFuncGetParamInfo>([](const Record& record) {
    return reply_with(call::cuFuncGetParamInfo::Reply{4 * record.as<call::cuFuncGetParamInfo>().index, 4});
  });
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  REQUIRE(cuModuleLoadData(&module, fatbin_image()) == CUDA_SUCCESS);
  REQUIRE(cuModuleGetFunction(&function, module, "many") == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuFuncGetParamInfo>().size() == 10);
  std::vector<int> values(60);
  std::vector<void*> parameters;
  for (int i = 0; i < 60; ++i) {
    values[static_cast<size_t>(i)] = i;
    parameters.push_back(&values[static_cast<size_t>(i)]);
  }
  REQUIRE(launch(function, 32, parameters.data()) == CUDA_SUCCESS);
  const auto records = session.executor.records_of<call::cuLaunchKernel>();
  REQUIRE(records.size() == 1);
  CHECK(std::memcmp(records[0].tail.data(), values.data(), 240) == 0);
  size_t offset = 0;
  size_t size = 0;
  CHECK(cuFuncGetParamInfo(function, 59, &offset, &size) == CUDA_SUCCESS);
  CHECK(offset == 236);
  CHECK(cuFuncGetParamInfo(function, 60, &offset, &size) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("a layout that doesn't fit its block is not believed") {
  Session session;
  session.executor.on<call::cuModuleGetFunction>([](const Record&) {
    call::cuModuleGetFunction::Reply reply{};
    reply.parameter_count = 1;
    reply.parameter_bytes = 8;
    reply.parameters.layout[0] = {4, 8};
    return reply_with(reply);
  });
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  REQUIRE(cuModuleLoadData(&module, fatbin_image()) == CUDA_SUCCESS);
  CHECK(cuModuleGetFunction(&function, module, "broken") == CUDA_ERROR_UNKNOWN);
}

TEST_CASE("more threads than the registers allow are told from more than the kernel was compiled for") {
  Session session;
  const CUfunction function = session.function({});
  session.executor.on<call::cuFuncGetAttribute>([](const Record& record) {
    const u32 attribute = record.as<call::cuFuncGetAttribute>().attribute;
    const int value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 512
                      : attribute == CU_FUNC_ATTRIBUTE_NUM_REGS            ? 128
                                                                           : 49152;
    return reply_with(call::cuFuncGetAttribute::Reply{value, 0});
  });
  CHECK(cuLaunchKernel(function, 1, 1, 1, 513, 1, 1, 0, nullptr, nullptr, nullptr) ==
        CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
}

TEST_CASE("impossible shapes are refused at once") {
  Session session;
  const CUfunction function = session.function({});
  CHECK(cuLaunchKernel(function, 0, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuLaunchKernel(function, 1, 65536, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 65, 0, nullptr, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuLaunchKernel(function, 1, 1, 1, 1024, 2, 1, 0, nullptr, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuLaunchKernel(function, 1, 1, 1, 513, 1, 1, 0, nullptr, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuLaunchKernel(function, 1, 1, 1, 512, 1, 1, 49153, nullptr, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(session.executor.records_of<call::cuLaunchKernel>().empty());
  CHECK(cuLaunchKernel(function, 1, 1, 1, 512, 1, 1, 49152, nullptr, nullptr, nullptr) == CUDA_SUCCESS);
  // More shared memory after the attribute says so.
  session.executor.on<call::cuFuncGetAttribute>([](const Record&) {
    return reply_with(call::cuFuncGetAttribute::Reply{100000, 0});
  });
  CHECK(cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100000) == CUDA_SUCCESS);
  CHECK(cuLaunchKernel(function, 1, 1, 1, 512, 1, 1, 100000, nullptr, nullptr, nullptr) == CUDA_SUCCESS);
}

TEST_CASE("launch attributes travel in front of the parameters") {
  Session session;
  const CUfunction function = session.function({4});
  CUevent event = nullptr;
  REQUIRE(cuEventCreate(&event, 0) == CUDA_SUCCESS);
  int value = 42;
  void* parameters[] = {&value};
  CUlaunchAttribute attributes[3] = {};
  attributes[0].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  attributes[0].value.cooperative = 1;
  attributes[1].id = CU_LAUNCH_ATTRIBUTE_IGNORE;
  attributes[2].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT;
  attributes[2].value.programmaticEvent.event = event;
  CUlaunchConfig config{};
  config.gridDimX = config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = 32;
  config.blockDimY = config.blockDimZ = 1;
  config.attrs = attributes;
  config.numAttrs = 3;
  REQUIRE(cuLaunchKernelEx(&config, function, parameters, nullptr) == CUDA_SUCCESS);
  const auto records = session.executor.records_of<call::cuLaunchKernelEx>();
  REQUIRE(records.size() == 1);
  CHECK(records[0].as<call::cuLaunchKernelEx>().attribute_count == 2);
  REQUIRE(records[0].tail.size() == 2 * 72 + 4);
  CHECK(std::memcmp(records[0].tail.data() + 144, &value, 4) == 0);
  attributes[2].value.programmaticEvent.event = reinterpret_cast<CUevent>(&value);
  CHECK(cuLaunchKernelEx(&config, function, parameters, nullptr) == CUDA_ERROR_INVALID_HANDLE);
  attributes[2].id = CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE;
  CHECK(cuLaunchKernelEx(&config, function, parameters, nullptr) == CUDA_ERROR_NOT_SUPPORTED);
  config.numAttrs = 33;
  CHECK(cuLaunchKernelEx(&config, function, parameters, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuLaunchKernelEx(nullptr, function, parameters, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuLaunchCooperativeKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuLaunchCooperativeKernel>().size() == 1);
}

TEST_CASE("a library's kernel is resolved once, launched as it is, and has a function in the context") {
  Session session;
  CUlibrary library = nullptr;
  REQUIRE(cuLibraryLoadData(&library, fatbin_image(), nullptr, nullptr, 0, nullptr, nullptr, 0) == CUDA_SUCCESS);
  CUkernel kernel = nullptr;
  CUkernel again = nullptr;
  REQUIRE(cuLibraryGetKernel(&kernel, library, "k") == CUDA_SUCCESS);
  REQUIRE(cuLibraryGetKernel(&again, library, "k") == CUDA_SUCCESS);
  CHECK(kernel == again);
  CHECK(session.executor.records_of<call::cuLibraryGetKernel>().size() == 1);
  CHECK(launch(reinterpret_cast<CUfunction>(kernel), 32, nullptr) == CUDA_SUCCESS);
  CUfunction function = nullptr;
  CUfunction same = nullptr;
  REQUIRE(cuKernelGetFunction(&function, kernel) == CUDA_SUCCESS);
  REQUIRE(cuKernelGetFunction(&same, kernel) == CUDA_SUCCESS);
  CHECK(function == same);
  CHECK(launch(function, 32, nullptr) == CUDA_SUCCESS);
  const char* name = nullptr;
  CHECK(cuKernelGetName(&name, kernel) == CUDA_SUCCESS);
  CHECK(std::string(name) == "k");
  CUlibrary owner = nullptr;
  CHECK(cuKernelGetLibrary(&owner, kernel) == CUDA_SUCCESS);
  CHECK(owner == library);
  CUmodule module = nullptr;
  CHECK(cuFuncGetModule(&module, function) == CUDA_SUCCESS);
  CHECK(cuModuleUnload(module) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuLibraryUnload(library) == CUDA_SUCCESS);
  CHECK(launch(function, 32, nullptr) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(launch(reinterpret_cast<CUfunction>(kernel), 32, nullptr) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuLibraryGetKernel(&kernel, library, "k") == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("attributes are remembered until one is set") {
  Session session;
  const CUfunction function = session.function({});
  int value = 0;
  for (int i = 0; i < 3; ++i) CHECK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, function) == CUDA_SUCCESS);
  CHECK(value == 3);
  CHECK(session.executor.records_of<call::cuFuncGetAttribute>().size() == 1);
  CHECK(cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 50) == CUDA_SUCCESS);
  CHECK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, function) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuFuncGetAttribute>().size() == 2);
  CHECK(cuFuncGetAttribute(&value, static_cast<CUfunction_attribute>(99), function) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("the best block size is the largest with the most resident threads") {
  Session session;
  const CUfunction function = session.function({});
  session.executor.on<call::cuOccupancyMaxActiveBlocksPerMultiprocessor>([](const Record& record) {
    const auto& r = record.as<call::cuOccupancyMaxActiveBlocksPerMultiprocessor>();
    // 65536 bytes of shared memory for each multiprocessor, 2048 threads.
    const int by_threads = 2048 / r.block_size;
    const int by_shared = r.shared_bytes ? static_cast<int>(65536 / r.shared_bytes) : by_threads;
    return reply_with(call::cuOccupancyMaxActiveBlocksPerMultiprocessor::Reply{std::min(by_threads, by_shared), 0});
  });
  int grid = 0;
  int block = 0;
  CHECK(cuOccupancyMaxPotentialBlockSize(&grid, &block, function, nullptr, 0, 0) == CUDA_SUCCESS);
  CHECK(block == 512);  // the function's own limit
  CHECK(grid == 4 * 4);
  CHECK(cuOccupancyMaxPotentialBlockSize(
            &grid, &block, function, [](int size) -> size_t { return size_t(size) * 128; }, 0, 100) == CUDA_SUCCESS);
  CHECK(block == 64);  // 8 blocks of 64 threads are 512; 5 of 100 are 500, 5 of 96 are 480
  CHECK(grid == 8 * 4);
}

TEST_CASE("an attribute that has the value already is not set again, and what is known is not asked again") {
  Session session;
  const CUfunction function = session.function({});
  constexpr auto kShared = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
  int told = 4096;
  session.executor.on<call::cuFuncGetAttribute>([&](const Record&) {
    return reply_with(call::cuFuncGetAttribute::Reply{told, 0});
  });
  session.executor.on<call::cuOccupancyMaxActiveBlocksPerMultiprocessor>([&](const Record&) {
    return reply_with(call::cuOccupancyMaxActiveBlocksPerMultiprocessor::Reply{told / 1024, 0});
  });
  const auto sets = [&] { return session.executor.records_of<call::cuFuncSetAttribute>().size(); };
  const auto gets = [&] { return session.executor.records_of<call::cuFuncGetAttribute>().size(); };
  const auto occupancies = [&] {
    return session.executor.records_of<call::cuOccupancyMaxActiveBlocksPerMultiprocessor>().size();
  };
  const auto blocks = [&](int size) {
    int count = 0;
    CHECK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&count, function, size, 0) == CUDA_SUCCESS);
    return count;
  };
  int value = 0;
  for (int i = 0; i < 3; ++i) {
    CHECK(cuFuncSetAttribute(function, kShared, 4096) == CUDA_SUCCESS);
    CHECK(cuFuncGetAttribute(&value, kShared, function) == CUDA_SUCCESS);
    CHECK(value == 4096);
    CHECK(blocks(128) == 4);
    CHECK(blocks(256) == 4);
  }
  CHECK(sets() == 1);
  CHECK(gets() == 1);
  CHECK(occupancies() == 2);
  // Another value changes what is known, and so does going back.
  told = 8192;
  CHECK(cuFuncSetAttribute(function, kShared, 8192) == CUDA_SUCCESS);
  CHECK(cuFuncGetAttribute(&value, kShared, function) == CUDA_SUCCESS);
  CHECK(value == 8192);
  CHECK(blocks(128) == 8);
  CHECK(cuFuncSetAttribute(function, kShared, 4096) == CUDA_SUCCESS);
  CHECK(sets() == 3);
  // Two attributes do not make each other forgotten.
  constexpr auto kCarveout = CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT;
  for (int i = 0; i < 3; ++i) {
    CHECK(cuFuncSetAttribute(function, kCarveout, 50) == CUDA_SUCCESS);
    CHECK(cuFuncSetAttribute(function, kShared, 4096) == CUDA_SUCCESS);
  }
  CHECK(sets() == 4);
  // One that was refused is asked again.
  session.executor.on<call::cuFuncSetAttribute>([](const Record&) { return Answer{CUDA_ERROR_INVALID_VALUE, {}}; });
  CHECK(cuFuncSetAttribute(function, kShared, 1 << 30) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuFuncSetAttribute(function, kShared, 4096) == CUDA_ERROR_INVALID_VALUE);
  CHECK(sets() == 6);
}
