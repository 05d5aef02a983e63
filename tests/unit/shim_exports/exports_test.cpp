// What the exported functions do until something carries them.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <thread>

#include "common/cuda_names.hpp"
#include "library.hpp"

namespace {

bool is_per_thread(std::string_view name) { return name.ends_with("_ptsz") || name.ends_with("_ptds"); }

// Defined by the test library or by the exports themselves.
bool is_carried(std::string_view name) {
  static const std::set<std::string_view> carried{"cuMemcpy", "cuStreamQuery", "cuGetProcAddress",
                                                  "cuGetProcAddress_v2", "cuEGLApiInit"};
  return carried.contains(name);
}

}  // namespace

TEST_CASE("the names are sorted, found, and hashed") {
  const auto names = vgpu::cuda_names();
  const auto count = vgpu::cuda_function_count();
  CHECK(std::is_sorted(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(count)));
  for (unsigned i = 0; i < names.size(); ++i) CHECK(vgpu::cuda_name_index(names[i]) == i);
  CHECK_FALSE(vgpu::cuda_name_index("cuNoSuchName"));
  CHECK_FALSE(vgpu::cuda_name_index(""));
  CHECK(vgpu::cuda_name_index("cuGetExportTable:6bd5fb6c") == count);
  CHECK(vgpu::cuda_name_index("cuGetExportTable:unknown") == names.size() - 1);
  CHECK(vgpu::cuda_names_fingerprint() == vgpu::cuda_names_fingerprint());
  CHECK(vgpu::cuda_names_fingerprint() != 0xcbf29ce484222325U);
}

TEST_CASE("a function that nothing carries refuses, and says which it is") {
  auto& last = doubles().last_refusal;
  const auto names = vgpu::cuda_names();
  unsigned refused = 0;
  for (unsigned i = 0; i < vgpu::cuda_function_count(); ++i) {
    if (is_carried(names[i]) || is_per_thread(names[i])) continue;
    INFO(names[i]);
    auto* const function = symbol<CUresult()>(std::string(names[i]));
    REQUIRE(function != nullptr);
    CHECK(function() == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(last.exchange(-1) == static_cast<int>(i));
    ++refused;
  }
  CHECK(refused > 500);
}

TEST_CASE("a strong definition replaces the refusal") {
  const int before = doubles().carried_calls;
  CHECK(symbol<decltype(cuMemcpy)>("cuMemcpy")(1, 2, 3) == CUDA_SUCCESS);
  CHECK(symbol<decltype(cuStreamQuery)>("cuStreamQuery")(nullptr) == CUDA_SUCCESS);
  CHECK(doubles().carried_calls == before + 2);
  CHECK(doubles().carried_per_thread == false);
}

TEST_CASE("a per-thread variant calls the ordinary form, with the guard set meanwhile") {
  auto& guarded = doubles().carried_per_thread;
  auto* const stream_query = symbol<decltype(cuStreamQuery)>("cuStreamQuery");
  auto* const stream_query_ptsz = symbol<decltype(cuStreamQuery)>("cuStreamQuery_ptsz");
  CHECK(symbol<decltype(cuMemcpy)>("cuMemcpy_ptds")(1, 2, 3) == CUDA_SUCCESS);
  CHECK(guarded == true);
  CHECK(stream_query(nullptr) == CUDA_SUCCESS);
  CHECK(guarded == false);
  CHECK(stream_query_ptsz(nullptr) == CUDA_SUCCESS);
  CHECK(guarded == true);
  // The arguments and the result pass through.
  CHECK(stream_query_ptsz(reinterpret_cast<CUstream>(1)) == CUDA_ERROR_INVALID_HANDLE);
  std::thread([&] { CHECK(stream_query(nullptr) == CUDA_SUCCESS); }).join();
  CHECK(guarded == false);
}

TEST_CASE("a per-thread variant of a refused call refuses under the ordinary name") {
  auto& last = doubles().last_refusal;
  const auto names = vgpu::cuda_names();
  unsigned tried = 0;
  for (const auto name : names.first(vgpu::cuda_function_count())) {
    if (!is_per_thread(name)) continue;
    const auto base = name.substr(0, name.size() - 5);
    if (is_carried(base)) continue;
    INFO(name);
    // Every parameter of these calls is a number, a pointer or a struct of eight bytes: all may be given as zero here.
    using Any = CUresult(void*, void*, void*, void*, void*, void*, void*, void*, void*, void*, void*);
    auto* const function = symbol<Any>(std::string(name));
    REQUIRE(function != nullptr);
    CHECK(function(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr) ==
          CUDA_ERROR_NOT_SUPPORTED);
    CHECK(last.exchange(-1) == static_cast<int>(*vgpu::cuda_name_index(base)));
    ++tried;
  }
  if (CUDA_VERSION >= 13000) CHECK(tried == 97);
}
