// cuGetProcAddress against what a real driver answered.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "common/cuda_names.hpp"
#include "library.hpp"

namespace {

using Status = CUdriverProcAddressQueryResult;
constexpr auto kNone = static_cast<Status>(3);  // no status, but within the range of the type
void* const kUntouched = reinterpret_cast<void*>(0x77);

struct Answer {
  CUresult result;
  void* address;
  Status status;
};

Answer ask(const char* name, int version, cuuint64_t flags) {
  Answer answer{CUDA_SUCCESS, kUntouched, kNone};
  answer.result = symbol<decltype(cuGetProcAddress_v2)>("cuGetProcAddress_v2")(name, &answer.address, version, flags,
                                                                               &answer.status);
  return answer;
}

Answer ask_v1(const char* name, int version, cuuint64_t flags) {
  Answer answer{CUDA_SUCCESS, kUntouched, kNone};
  answer.result =
      symbol<CUresult(const char*, void**, int, cuuint64_t)>("cuGetProcAddress")(name, &answer.address, version, flags);
  return answer;
}

void* exported(const std::string& name) { return reinterpret_cast<void*>(symbol<void()>(name)); }

void expect(const std::string& name, int version, cuuint64_t flags, const std::string& wanted) {
  INFO(name << " v" << version << " f" << flags << " -> " << wanted);
  const auto answer = ask(name.c_str(), version, flags);
  CHECK(answer.result == CUDA_SUCCESS);
  const auto old = ask_v1(name.c_str(), version, flags);
  if (wanted == "-2") {
    CHECK(answer.address == nullptr);
    CHECK(answer.status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
    CHECK(old.result == CUDA_ERROR_NOT_FOUND);
    CHECK(old.address == kUntouched);
    return;
  }
  REQUIRE(exported(wanted) != nullptr);
  CHECK(answer.address == exported(wanted));
  CHECK(answer.status == CU_GET_PROC_ADDRESS_SUCCESS);
  CHECK(old.result == CUDA_SUCCESS);
  CHECK(old.address == exported(wanted));
}

bool older_toolkit() {
  if (CUDA_VERSION >= 13000) return false;
  WARN("the measured answers are those of CUDA 13.0; this toolkit is older");
  return true;
}

}  // namespace

TEST_CASE("what real clients resolve") {
  if (older_toolkit()) return;
  std::ifstream file(VGPU_TEST_DATA "/client_entry_points.txt");
  unsigned lines = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    char name[128];
    char wanted[128];
    int version = 0;
    unsigned flags = 0;
    INFO(line);
    REQUIRE(std::sscanf(line.c_str(), "%127[A-Za-z0-9_](v%d,f%u)->%127s", name, &version, &flags, wanted) == 4);
    expect(name, version, flags, wanted);
    ++lines;
  }
  CHECK(lines == 456);
}

TEST_CASE("every name, flag and version answers as a real driver does") {
  if (older_toolkit()) return;
  std::ifstream file(VGPU_TEST_DATA "/entry_points.txt");
  std::map<std::string, unsigned> found;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream words(line);
    std::string name;
    std::string flag;
    words >> name >> flag;
    if (name == "export") continue;
    std::vector<std::pair<int, std::string>> answers;
    int version = 0;
    for (std::string wanted; words >> version >> wanted;) answers.emplace_back(version, wanted);
    REQUIRE_FALSE(answers.empty());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const int last = i + 1 < answers.size() ? answers[i + 1].first - 10 : 13000;
      for (const int asked : {answers[i].first, last}) {
        expect(name, asked, flag == "f2" ? 2 : 0, answers[i].second);
        expect(name, asked, flag == "f2" ? 3 : 1, answers[i].second);
      }
    }
    ++found[name];
  }
  CHECK(found.size() == 477);
  for (const auto name : vgpu::cuda_names().first(vgpu::cuda_function_count())) {
    if (found.contains(std::string(name))) continue;
    INFO(name);
    CHECK(ask(name.data(), 13000, 0).status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
  }
}

TEST_CASE("a name that does not exist") {
  for (const char* name : {"cuNoSuch", "", "cuMemAlloc_v2", "cuMemcpy_ptds", "cuGetProcAddress_v2", "cuMemAllo"}) {
    INFO(name);
    const auto answer = ask(name, 12040, 0);
    CHECK(answer.result == CUDA_SUCCESS);
    CHECK(answer.address == nullptr);
    CHECK(answer.status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    const auto old = ask_v1(name, 12040, 0);
    CHECK(old.result == CUDA_ERROR_NOT_FOUND);
    CHECK(old.address == kUntouched);
  }
  // The status is optional.
  void* address = kUntouched;
  CHECK(symbol<decltype(cuGetProcAddress_v2)>("cuGetProcAddress_v2")("cuNoSuch", &address, 12040, 0, nullptr) ==
        CUDA_SUCCESS);
  CHECK(address == nullptr);
}

TEST_CASE("arguments that are refused") {
  const auto refused = [](const Answer& answer) {
    return answer.result == CUDA_ERROR_INVALID_VALUE && answer.address == kUntouched && answer.status == kNone;
  };
  for (const auto call : {ask, ask_v1}) {
    CHECK(refused(call("cuInit", 13001, 0)));
    CHECK(refused(call("cuInit", 99999, 2)));
    CHECK(refused(call("cuNoSuch", 13010, 0)));
    for (const cuuint64_t flags : {cuuint64_t{4}, cuuint64_t{7}, cuuint64_t{8}, cuuint64_t{1} << 40}) {
      CHECK(refused(call("cuInit", 12000, flags)));
    }
    CHECK(refused(call(nullptr, 12000, 0)));
    CHECK(call("cuInit", 13000, 0).result == CUDA_SUCCESS);
    // A negative version counts as a very high one.
    CHECK(call("cuMemAlloc", -1, 0).address == exported("cuMemAlloc_v2"));
  }
  CHECK(symbol<decltype(cuGetProcAddress_v2)>("cuGetProcAddress_v2")("cuInit", nullptr, 12000, 0, nullptr) ==
        CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("the reported version is the highest that may be asked for") {
  doubles().driver_version = 12040;
  CHECK(ask("cuInit", 12040, 0).result == CUDA_SUCCESS);
  CHECK(ask("cuInit", 12050, 0).result == CUDA_ERROR_INVALID_VALUE);
  doubles().driver_version = 13000;
  CHECK(ask("cuInit", 12050, 0).result == CUDA_SUCCESS);
}
