// Table c693336e: what libraries keep with a context.
#include <cuda.h>

#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "driver_double.hpp"
#include "shim/tables/tables.hpp"

namespace {

using Destructor = void (*)(CUcontext, void*, void*);

auto put() { return slot<CUresult(CUcontext, void*, void*, Destructor)>(get_table("c693336e"), 0); }
auto remove() { return slot<CUresult(CUcontext, void*)>(get_table("c693336e"), 1); }
auto get() { return slot<CUresult(void**, CUcontext, void*)>(get_table("c693336e"), 2); }

void* number(std::uintptr_t value) { return reinterpret_cast<void*>(value); }

struct Destroyed {
  CUcontext context;
  void* key;
  void* value;
  void* seen;  ///< what get() gave during the destructor
  bool operator==(const Destroyed&) const = default;
};
std::vector<Destroyed> destroyed;

void destructor(CUcontext context, void* key, void* value) {
  void* seen = nullptr;
  (void)get()(&seen, context, key);
  destroyed.push_back({context, key, value, seen});
}

// Stores again what is being destroyed, under another key, and takes its neighbour away.
void restless(CUcontext context, void* key, void* value) {
  destructor(context, key, value);
  (void)put()(context, number(0x999), value, restless);
  (void)remove()(context, number(0x10));
}

const CUcontext kOne = context_handle(1);
const CUcontext kTwo = context_handle(2);

void start() {
  driver_double = {};
  driver_double.contexts = {kOne, kTwo};
  vgpu::shim::run_context_storage_destructors(kOne);
  vgpu::shim::run_context_storage_destructors(kTwo);
  destroyed.clear();
}

}  // namespace

TEST_CASE("values are kept by context and key") {
  start();
  void* value = number(0x55);
  CHECK(get()(&value, kOne, number(8)) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(value == number(0x55));
  CHECK(put()(kOne, number(8), number(80), destructor) == CUDA_SUCCESS);
  CHECK(put()(kTwo, number(8), number(81), nullptr) == CUDA_SUCCESS);
  CHECK(put()(kOne, nullptr, nullptr, nullptr) == CUDA_SUCCESS);
  // A second value for the same key is refused.
  CHECK(put()(kOne, number(8), number(82), destructor) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(get()(&value, kOne, number(8)) == CUDA_SUCCESS);
  CHECK(value == number(80));
  CHECK(get()(&value, kTwo, number(8)) == CUDA_SUCCESS);
  CHECK(value == number(81));
  CHECK(get()(&value, kOne, nullptr) == CUDA_SUCCESS);
  CHECK(value == nullptr);
  CHECK(get()(nullptr, kOne, number(8)) == CUDA_ERROR_INVALID_VALUE);
  CHECK(remove()(kOne, number(8)) == CUDA_SUCCESS);
  CHECK(destroyed.empty());
  CHECK(remove()(kOne, number(8)) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(get()(&value, kOne, number(8)) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(put()(kOne, number(8), number(83), nullptr) == CUDA_SUCCESS);
}

TEST_CASE("null and -1 are the current context") {
  start();
  void* value = nullptr;
  const auto minus_one = reinterpret_cast<CUcontext>(-1);
  for (CUcontext current : {static_cast<CUcontext>(nullptr), minus_one}) {
    CHECK(put()(current, number(1), number(2), nullptr) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(get()(&value, current, number(1)) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(remove()(current, number(1)) == CUDA_ERROR_INVALID_CONTEXT);
  }
  driver_double.current = kTwo;
  CHECK(put()(nullptr, number(1), number(2), nullptr) == CUDA_SUCCESS);
  CHECK(get()(&value, kTwo, number(1)) == CUDA_SUCCESS);
  CHECK(value == number(2));
  CHECK(get()(&value, kOne, number(1)) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(get()(&value, minus_one, number(1)) == CUDA_SUCCESS);
  CHECK(remove()(minus_one, number(1)) == CUDA_SUCCESS);
}

TEST_CASE("before cuInit, and for a context that is no more") {
  start();
  void* value = number(0x55);
  CHECK(put()(context_handle(9), number(1), number(2), nullptr) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(get()(&value, context_handle(9), number(1)) == CUDA_ERROR_INVALID_HANDLE);
  driver_double.ready = CUDA_ERROR_NOT_INITIALIZED;
  CHECK(put()(kOne, number(1), number(2), nullptr) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(get()(&value, kOne, number(1)) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(remove()(kOne, number(1)) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(value == number(0x55));
}

TEST_CASE("destructors run newest first, and still see their value") {
  start();
  CHECK(put()(kOne, number(0x900), number(1), destructor) == CUDA_SUCCESS);
  CHECK(put()(kTwo, number(0x700), number(9), destructor) == CUDA_SUCCESS);
  CHECK(put()(kOne, number(0x100), number(2), destructor) == CUDA_SUCCESS);
  CHECK(put()(kOne, number(0x500), number(3), destructor) == CUDA_SUCCESS);
  CHECK(put()(kOne, number(0), number(4), nullptr) == CUDA_SUCCESS);
  vgpu::shim::run_context_storage_destructors(kOne);
  CHECK(destroyed == std::vector<Destroyed>{{kOne, number(0x500), number(3), number(3)},
                                            {kOne, number(0x100), number(2), number(2)},
                                            {kOne, number(0x900), number(1), number(1)}});
  void* value = nullptr;
  CHECK(get()(&value, kOne, number(0x500)) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(get()(&value, kOne, number(0)) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(get()(&value, kTwo, number(0x700)) == CUDA_SUCCESS);
  vgpu::shim::run_context_storage_destructors(kOne);
  CHECK(destroyed.size() == 3);
}

TEST_CASE("a destructor may store and delete; what it stores is forgotten") {
  start();
  CHECK(put()(kOne, number(0x10), number(1), destructor) == CUDA_SUCCESS);
  CHECK(put()(kOne, number(0x20), number(2), restless) == CUDA_SUCCESS);
  CHECK(put()(kOne, number(0x30), number(3), destructor) == CUDA_SUCCESS);
  vgpu::shim::run_context_storage_destructors(kOne);
  REQUIRE(destroyed.size() == 2);
  CHECK(destroyed[0].key == number(0x30));
  CHECK(destroyed[1].key == number(0x20));
  void* value = nullptr;
  CHECK(get()(&value, kOne, number(0x999)) == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("threads store at the same time") {
  start();
  constexpr std::uintptr_t kEach = 500;
  std::vector<std::thread> threads;
  for (std::uintptr_t t = 1; t <= 4; ++t) {
    threads.emplace_back([t] {
      for (std::uintptr_t i = 0; i < kEach; ++i) {
        (void)put()(kOne, number(t * 0x10000 + i), number(i), destructor);
        void* value = nullptr;
        (void)get()(&value, kOne, number(t * 0x10000 + i));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  vgpu::shim::run_context_storage_destructors(kOne);
  CHECK(destroyed.size() == 4 * kEach);
}
