// What a library exports: libcuda's names and nothing else. Run on the test library and on the shim itself.
#include <cuda.h>
#include <elf.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "common/cuda_names.hpp"

namespace {

std::vector<char> contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class T>
T at(const std::vector<char>& data, std::size_t offset) {
  T value;
  REQUIRE(offset + sizeof value <= data.size());
  std::memcpy(&value, data.data() + offset, sizeof value);
  return value;
}

// Names of all defined symbols in the dynamic symbol table of an ELF file.
std::set<std::string> exported(const std::string& path) {
  const auto data = contents(path);
  const auto header = at<Elf64_Ehdr>(data, 0);
  std::set<std::string> names;
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    const auto section = at<Elf64_Shdr>(data, header.e_shoff + i * sizeof(Elf64_Shdr));
    if (section.sh_type != SHT_DYNSYM) continue;
    const auto strings = at<Elf64_Shdr>(data, header.e_shoff + section.sh_link * sizeof(Elf64_Shdr));
    for (std::size_t k = 0; k < section.sh_size / sizeof(Elf64_Sym); ++k) {
      const auto symbol = at<Elf64_Sym>(data, section.sh_offset + k * sizeof(Elf64_Sym));
      if (symbol.st_shndx != SHN_UNDEF) names.insert(data.data() + strings.sh_offset + symbol.st_name);
    }
  }
  return names;
}

}  // namespace

TEST_CASE("the library exports libcuda's names and nothing of C++") {
  const auto names = exported(VGPU_TEST_LIBRARY);
  const auto functions = vgpu::cuda_names().first(vgpu::cuda_function_count());
  const std::set<std::string> expected(functions.begin(), functions.end());
  CHECK(expected.size() == functions.size());
  CHECK(names == expected);
}

TEST_CASE("every name of the toolkit's stub library is exported") {
  const std::string stub = VGPU_CUDA_STUB;
  if (stub.empty()) {
    WARN("this toolkit has no lib64/stubs/libcuda.so to compare with");
    return;
  }
  const auto names = exported(VGPU_TEST_LIBRARY);
  unsigned compared = 0;
  for (const auto& name : exported(stub)) {
    if (!name.starts_with("cu")) continue;
    ++compared;
    INFO(name);
    CHECK(names.contains(name));
  }
  CHECK(compared > 400);
}

TEST_CASE("every name that a real driver exports is exported") {
  if (CUDA_VERSION < 13000) {
    WARN("the measured names are those of CUDA 13.0; this toolkit is older");
    return;
  }
  std::ifstream file(VGPU_TEST_DATA "/entry_points.txt");
  const auto names = exported(VGPU_TEST_LIBRARY);
  unsigned compared = 0;
  for (std::string word, name; file >> word;) {
    if (word != "export") continue;
    file >> name;
    ++compared;
    INFO(name);
    CHECK(names.contains(name));
  }
  CHECK(compared == 674);
}
