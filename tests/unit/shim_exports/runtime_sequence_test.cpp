// What the CUDA runtime does with the tables when a program starts (traced on a real driver: seven tables asked for,
// then these slots), and cuBLAS after it.
#include <cuda.h>

#include <catch2/catch.hpp>
#include <ctime>

#include "driver_double.hpp"

TEST_CASE("a client that does what the runtime and cuBLAS do goes through") {
  driver_double = {};
  driver_double.ready = CUDA_ERROR_NOT_INITIALIZED;
  // Before cuInit: all tables. Only the error log may be missing.
  const void* const cudart = get_table("6bd5fb6c");
  const void* const hooks = get_table("a094798c");
  const void* const thread_state = get_table("42d85a81");
  const void* const storage = get_table("c693336e");
  const void* const checks = get_table("263e8860");
  const void* const integrity = get_table("d4082055");
  for (const void* table : {cudart, hooks, thread_state, storage, checks, integrity}) REQUIRE(table != nullptr);
  CUresult denied = CUDA_SUCCESS;
  CHECK(get_table("f8cff951", &denied) == nullptr);
  CHECK(denied == CUDA_ERROR_NOT_FOUND);

  void* switches = nullptr;
  std::size_t count = 0;
  slot<void(void**, std::size_t*)>(hooks, 2)(&switches, &count);
  REQUIRE(switches != nullptr);
  CHECK(static_cast<std::uint32_t*>(switches)[0x111] == 0);  // the switch of cudaFuncSetAttribute
  slot<void(void**, std::size_t*)>(hooks, 6)(&switches, &count);
  REQUIRE(switches != nullptr);

  driver_double.ready = CUDA_SUCCESS;
  const auto now = static_cast<std::uint64_t>(std::time(nullptr));
  for (const unsigned request : {13000U, 13001U, 13002U}) {
    std::uint64_t answer[2] = {};
    CHECK(slot<CUresult(unsigned, std::uint64_t, std::uint64_t*)>(integrity, 1)(request, now, answer) == CUDA_SUCCESS);
    CHECK(answer[0] != 0);
  }
  CUcontext primary = nullptr;
  REQUIRE(slot<CUresult(CUcontext*, CUdevice)>(cudart, 2)(&primary, 0) == CUDA_SUCCESS);
  driver_double.current = primary;

  // The runtime's own state lives with the context.
  const auto get = slot<CUresult(void**, CUcontext, void*)>(storage, 2);
  void* value = nullptr;
  CHECK(get(&value, primary, &switches) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(slot<CUresult(CUcontext, void*, void*, void (*)(CUcontext, void*, void*))>(storage, 0)(
            primary, &switches, &count, nullptr) == CUDA_SUCCESS);
  CHECK(get(&value, nullptr, &switches) == CUDA_SUCCESS);
  CHECK(value == &count);

  std::uint32_t wrapped = 7;
  void* untouched = &wrapped;
  CHECK(slot<CUresult(CUcontext, std::uint32_t*, void**)>(checks, 2)(primary, &wrapped, &untouched) == CUDA_SUCCESS);
  CHECK(slot<std::uint32_t()>(checks, 3)() == 0);

  // cuBLAS: the context's identity, and that of its stream.
  const void* const tools = get_table("21318c60");
  REQUIRE(tools != nullptr);
  CUcontext current = nullptr;
  CHECK(slot<CUresult(CUcontext*)>(thread_state, 2)(&current) == CUDA_SUCCESS);
  CHECK(current == primary);
  std::uint64_t id = 0;
  CHECK(slot<CUresult(CUcontext, std::uint64_t*)>(tools, 4)(current, &id) == CUDA_SUCCESS);
  CHECK(id != 0);
  void* stream = nullptr;
  CHECK(slot<CUresult(CUcontext, CUstream, void**, unsigned char)>(tools, 51)(current, nullptr, &stream, 0) ==
        CUDA_SUCCESS);
  CHECK(slot<CUresult(CUcontext, void*, std::uint64_t*)>(tools, 39)(current, stream, &id) == CUDA_SUCCESS);
  CHECK(id == 7);

  CHECK(driver_double.refused_slots.empty());
  CHECK(driver_double.refused_tables.size() == 1);
  slot<CUresult(CUcontext, void*)>(storage, 1)(primary, &switches);
}
