#include "shim/image.hpp"

#include <elf.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "fake_executor.hpp"

using namespace vgpu::shim;
using namespace vgpu::shim::test;

namespace {

struct Wrapper {
  u32 magic = 0x466243b1;
  u32 version = 1;
  const void* data = fatbin_image();
  const void* const* prelinked = nullptr;
};

constexpr const char* kPtx = "//\n.version 8.0\n.target sm_90\n";

}  // namespace

TEST_CASE("images are measured by what they are") {
  ImageParts parts;
  CHECK(measure_image(fatbin_image(), parts) == CUDA_SUCCESS);
  CHECK(parts.at(0).size() == 24);
  Wrapper wrapper;
  CHECK(measure_image(&wrapper, parts) == CUDA_SUCCESS);
  CHECK(parts.at(0).data() == static_cast<const std::byte*>(fatbin_image()));
  CHECK(parts.at(0).size() == 24);
  wrapper.version = 2;
  CHECK(measure_image(&wrapper, parts) == CUDA_SUCCESS);
  const void* list[] = {fatbin_image(), nullptr};
  wrapper.prelinked = list;
  REQUIRE(measure_image(&wrapper, parts) == CUDA_SUCCESS);
  REQUIRE(parts.size() == 2);
  CHECK(parts[1].data() == static_cast<const std::byte*>(fatbin_image()));
  const std::vector<const void*> many(vgpu::protocol::kMaxImageParts + 1, fatbin_image());
  std::vector<const void*> ended = many;
  ended.push_back(nullptr);
  wrapper.prelinked = ended.data();
  CHECK(measure_image(&wrapper, parts) == CUDA_ERROR_NOT_SUPPORTED);
  wrapper.version = 3;
  CHECK(measure_image(&wrapper, parts) == CUDA_ERROR_INVALID_IMAGE);
  CHECK(measure_image(kPtx, parts) == CUDA_SUCCESS);
  CHECK(parts.at(0).size() == std::strlen(kPtx) + 1);
  CHECK(measure_image("", parts) == CUDA_ERROR_INVALID_IMAGE);
  CHECK(measure_image("x", parts) == CUDA_ERROR_INVALID_IMAGE);
  CHECK(measure_image(nullptr, parts) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("an ELF ends where the last of its parts ends") {
  std::vector<std::byte> file(4096);
  auto* header = reinterpret_cast<Elf64_Ehdr*>(file.data());
  std::memcpy(header->e_ident, ELFMAG, SELFMAG);
  header->e_ident[EI_CLASS] = ELFCLASS64;
  header->e_ident[EI_DATA] = ELFDATA2LSB;
  header->e_shoff = 256;
  header->e_shnum = 2;
  header->e_shentsize = sizeof(Elf64_Shdr);
  auto* sections = reinterpret_cast<Elf64_Shdr*>(file.data() + 256);
  sections[0].sh_type = SHT_PROGBITS;
  sections[0].sh_offset = 64;
  sections[0].sh_size = 100;
  sections[1].sh_type = SHT_NOBITS;
  sections[1].sh_offset = 64;
  sections[1].sh_size = 1u << 20;
  ImageParts parts;
  REQUIRE(measure_image(file.data(), parts) == CUDA_SUCCESS);
  CHECK(parts.at(0).size() == 256 + 2 * sizeof(Elf64_Shdr));
  sections[0].sh_size = 2000;
  REQUIRE(measure_image(file.data(), parts) == CUDA_SUCCESS);
  CHECK(parts.at(0).size() == 2064);
  header->e_phoff = 3000;
  header->e_phnum = 1;
  header->e_phentsize = sizeof(Elf64_Phdr);
  REQUIRE(measure_image(file.data(), parts) == CUDA_SUCCESS);
  CHECK(parts.at(0).size() == 3000 + sizeof(Elf64_Phdr));
  sections[0].sh_size = ~u64{0};
  CHECK(measure_image(file.data(), parts) == CUDA_ERROR_INVALID_IMAGE);
  header->e_ident[EI_CLASS] = ELFCLASS32;
  CHECK(measure_image(file.data(), parts) == CUDA_ERROR_INVALID_IMAGE);
}

TEST_CASE("fatbins that are linked before travel beside the wrapper's own") {
  Session session;
  Wrapper wrapper;
  wrapper.version = 2;
  const void* list[] = {fatbin_image(), nullptr};
  wrapper.prelinked = list;
  CUmodule module = nullptr;
  REQUIRE(cuModuleLoadData(&module, &wrapper) == CUDA_SUCCESS);
  const auto record = session.executor.records_of<call::cuModuleLoadData>().at(0);
  const auto& request = record.as<call::cuModuleLoadData>();
  CHECK(request.part_count == 2);
  CHECK(request.source == vgpu::protocol::kImagePlain);
  CHECK(request.image_bytes == 2 * vgpu::protocol::kImagePartAlign);
  u64 sizes[2] = {};
  REQUIRE(record.tail.size() == sizeof sizes);
  std::memcpy(sizes, record.tail.data(), sizeof sizes);
  CHECK(sizes[0] == 24);
  CHECK(sizes[1] == 24);
}

TEST_CASE("modules are loaded with options, and logs come back") {
  Session session;
  session.executor.on<call::cuModuleLoadData>([&](const Record& record) {
    const auto& r = record.as<call::cuModuleLoadData>();
    CHECK(r.image_bytes == std::strlen(kPtx) + 1);
    CHECK(std::memcmp(session.executor.region() + static_cast<u64>(r.image), kPtx, r.image_bytes) == 0);
    CHECK(r.info_log_bytes == 64);
    CHECK(r.error_log_bytes == 8);
    CHECK(r.option_count == 1);
    std::byte* logs = session.executor.region() + static_cast<u64>(r.logs);
    std::memcpy(logs, "hello", 6);
    std::memcpy(logs + 64, "12345678", 8);
    return reply_with(call::cuModuleLoadData::Reply{5, 8, vgpu::protocol::FloatBits{0x40000000}, 0});
  });
  char info[64] = "old";
  char error[8];
  CUjit_option options[] = {CU_JIT_INFO_LOG_BUFFER,  CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                            CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                            CU_JIT_MAX_REGISTERS,    CU_JIT_WALL_TIME};
  void* values[] = {info,   reinterpret_cast<void*>(64), error, reinterpret_cast<void*>(8), reinterpret_cast<void*>(32),
                    nullptr};
  CUmodule module = nullptr;
  REQUIRE(cuModuleLoadDataEx(&module, kPtx, 6, options, values) == CUDA_SUCCESS);
  CHECK(std::string(info) == "hello");
  CHECK(reinterpret_cast<u64>(values[1]) == 5);
  CHECK(std::memcmp(error, "12345678", 8) == 0);
  float wall = 0;
  std::memcpy(&wall, &values[5], sizeof wall);
  CHECK(wall == 2.0f);
  const auto tail = session.executor.records_of<call::cuModuleLoadData>().at(0).tail;
  REQUIRE(tail.size() == sizeof(vgpu::protocol::JitOption));
  CHECK(reinterpret_cast<const vgpu::protocol::JitOption*>(tail.data())->value == 32);
  options[0] = CU_JIT_GLOBAL_SYMBOL_NAMES;
  CHECK(cuModuleLoadDataEx(&module, kPtx, 6, options, values) == CUDA_ERROR_NOT_SUPPORTED);
  options[0] = static_cast<CUjit_option>(1000);
  CHECK(cuModuleLoadDataEx(&module, kPtx, 6, options, values) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("an image larger than a staging chunk travels through the arena and leaves it whole") {
  Session session;
  std::vector<char> text(5u << 20, '\n');
  std::memcpy(text.data(), kPtx, std::strlen(kPtx));
  text.back() = 0;
  bool right = false;
  session.executor.on<call::cuModuleLoadData>([&](const Record& record) {
    const auto& r = record.as<call::cuModuleLoadData>();
    right = static_cast<u64>(r.image) >= VGPU_ARENA_OFFSET && r.image_bytes == text.size() &&
            std::memcmp(session.executor.region() + static_cast<u64>(r.image), text.data(), text.size()) == 0;
    return reply_with(call::cuModuleLoadData::Reply{});
  });
  CUmodule module = nullptr;
  for (int i = 0; i < 20; ++i) REQUIRE(cuModuleLoadData(&module, text.data()) == CUDA_SUCCESS);
  CHECK(right);
}

TEST_CASE("a failed load leaves no handle behind") {
  Session session;
  session.executor.on<call::cuModuleLoadData>([](const Record&) { return Answer{CUDA_ERROR_INVALID_PTX, {}, false}; });
  CUmodule module = nullptr;
  CHECK(cuModuleLoadData(&module, kPtx) == CUDA_ERROR_INVALID_PTX);
  CHECK(module == nullptr);
  CHECK(cuModuleLoad(&module, "/nonexistent/file.ptx") == CUDA_ERROR_FILE_NOT_FOUND);
}

TEST_CASE("a module's file is read here") {
  Session session;
  char path[] = "/tmp/vgpu-image-XXXXXX";
  const int fd = ::mkstemp(path);
  REQUIRE(fd >= 0);
  REQUIRE(::write(fd, kPtx, std::strlen(kPtx)) == static_cast<ssize_t>(std::strlen(kPtx)));
  CUmodule module = nullptr;
  CHECK(cuModuleLoad(&module, path) == CUDA_SUCCESS);
  CHECK(session.executor.records_of<call::cuModuleLoadData>().size() == 1);
  // A fatbin that says it is longer than its file.
  const u32 cut[4] = {0xba55ed50, 0x00100001, 1000, 0};
  REQUIRE(::pwrite(fd, cut, sizeof cut, 0) == sizeof cut);
  CHECK(cuModuleLoad(&module, path) == CUDA_ERROR_INVALID_IMAGE);
  ::close(fd);
  ::unlink(path);
}

TEST_CASE("functions and variables of a module") {
  Session session;
  CUmodule module = nullptr;
  REQUIRE(cuModuleLoadData(&module, kPtx) == CUDA_SUCCESS);
  session.executor.on<call::cuModuleGetGlobal>([](const Record& record) {
    CHECK(std::string(reinterpret_cast<const char*>(record.tail.data()), record.tail.size()) == "table");
    return reply_with(call::cuModuleGetGlobal::Reply{vgpu::protocol::Pointer{0x7f0000000000}, 256});
  });
  CUdeviceptr pointer = 0;
  size_t bytes = 0;
  CHECK(cuModuleGetGlobal(&pointer, &bytes, module, "table") == CUDA_SUCCESS);
  CHECK(pointer == 0x7f0000000000);
  CHECK(cuModuleGetGlobal(nullptr, &bytes, module, "table") == CUDA_SUCCESS);
  CHECK(bytes == 256);
  unsigned type = 0;
  CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pointer + 5) == CUDA_SUCCESS);
  CHECK(type == CU_MEMORYTYPE_DEVICE);
  session.executor.on<call::cuModuleGetFunction>([](const Record& record) {
    const std::string name(reinterpret_cast<const char*>(record.tail.data()), record.tail.size());
    if (name == "missing") return Answer{CUDA_ERROR_NOT_FOUND, {}, false};
    return reply_with(call::cuModuleGetFunction::Reply{});
  });
  session.executor.on<call::vgpuModuleFunctionNames>([&](const Record& record) {
    const auto& r = record.as<call::vgpuModuleFunctionNames>();
    std::memcpy(session.executor.region() + static_cast<u64>(r.into), "one\0two\0", 8);
    return reply_with(call::vgpuModuleFunctionNames::Reply{2, 8});
  });
  CUfunction function = nullptr;
  CHECK(cuModuleGetFunction(&function, module, "missing") == CUDA_ERROR_NOT_FOUND);
  CHECK(cuModuleGetFunction(&function, module, "") == CUDA_ERROR_INVALID_VALUE);
  unsigned count = 0;
  CHECK(cuModuleGetFunctionCount(&count, module) == CUDA_SUCCESS);
  CHECK(count == 2);
  CUfunction functions[3] = {};
  CHECK(cuModuleEnumerateFunctions(functions, 3, module) == CUDA_SUCCESS);
  CHECK(functions[2] == nullptr);
  const char* name = nullptr;
  CHECK(cuFuncGetName(&name, functions[1]) == CUDA_SUCCESS);
  CHECK(std::string(name) == "two");
  CHECK(cuModuleGetFunction(&function, module, "one") == CUDA_SUCCESS);
  CHECK(function == functions[0]);
  CHECK(cuModuleUnload(module) == CUDA_SUCCESS);
  CHECK(cuFuncGetName(&name, function) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pointer) == CUDA_ERROR_INVALID_VALUE);
}
