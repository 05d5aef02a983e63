// The private tables' shape, and the slots that are carried.
#include "shim/tables/tables.hpp"

#include <cuda.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <string>

#include "common/cuda_names.hpp"
#include "driver_double.hpp"

using vgpu::shim::TableId;

namespace {

// Sizes in words, as a driver that reports CUDA 13.0 has them.
const std::map<std::string, unsigned> kServed{{"6bd5fb6c", 13}, {"a094798c", 7},  {"42d85a81", 3},  {"263e8860", 15},
                                              {"d4082055", 3},  {"21318c60", 93}, {"1734dc26", 17}, {"6e163fbe", 99}};

const std::map<std::string, std::set<unsigned>> kCarried{{"6bd5fb6c", {1, 2, 6, 7, 8, 12}},
                                                         {"a094798c", {2, 4, 6}},
                                                         {"42d85a81", {2}},
                                                         {"263e8860", {2, 3}},
                                                         {"d4082055", {1, 2}},
                                                         {"21318c60", {3, 4, 39, 51}},
                                                         {"1734dc26", {4, 13}},
                                                         {"6e163fbe", {7}}};

}  // namespace

TEST_CASE("each table says its size, and has no null slot") {
  driver_double = {};
  for (const auto& [name, count] : kServed) {
    INFO(name);
    CUresult result = CUDA_ERROR_UNKNOWN;
    const void* const table = get_table(name, &result);
    REQUIRE(result == CUDA_SUCCESS);
    CHECK(words(table)[0] == count * sizeof(void*));
    for (unsigned i = 1; i < count; ++i) CHECK(words(table)[i] != 0);
    CHECK(get_table(name) == table);
  }
  const auto* const storage = words(get_table("c693336e"));
  CHECK(storage[0] != 0);
  CHECK(storage[1] != 0);
  CHECK(storage[2] != 0);
  CHECK(storage[3] == 0);
  CHECK(driver_double.refused_tables.empty());
}

TEST_CASE("a slot that is not carried refuses, and says which it is") {
  for (const auto& [name, count] : kServed) {
    const void* const table = get_table(name);
    for (unsigned i = 1; i < count; ++i) {
      if (kCarried.at(name).contains(i)) continue;
      INFO(name << "[" << i << "]");
      driver_double = {};
      CHECK(slot<CUresult(void*, void*, void*)>(table, i)(nullptr, nullptr, nullptr) == CUDA_ERROR_NOT_SUPPORTED);
      REQUIRE(driver_double.refused_slots.size() == 1);
      CHECK(vgpu::shim::table_name(driver_double.refused_slots[0].first) == name);
      CHECK(driver_double.refused_slots[0].second == i);
    }
  }
}

TEST_CASE("a table that is not served is null, an error, and counted") {
  driver_double = {};
  const std::map<std::string, std::pair<CUresult, TableId>> denied{
      {"da9151d3", {CUDA_ERROR_INVALID_VALUE, TableId::kComputeCache}},
      {"69a28e9f", {CUDA_ERROR_INVALID_VALUE, TableId::kNameless69a28e9f}},
      {"f8cff951", {CUDA_ERROR_NOT_FOUND, TableId::kErrorLog}},
      {"unknown", {CUDA_ERROR_INVALID_VALUE, TableId::kUnknown}}};
  for (const auto& [name, expected] : denied) {
    INFO(name);
    driver_double = {};
    CUresult result = CUDA_SUCCESS;
    CHECK(get_table(name, &result) == nullptr);
    CHECK(result == expected.first);
    CHECK(driver_double.refused_tables == std::vector{expected.second});
  }
}

TEST_CASE("cuGetExportTable without its arguments") {
  const CUuuid uuid{};
  const void* table = &uuid;
  CHECK(cuGetExportTable(nullptr, &uuid) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuGetExportTable(&table, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(table == &uuid);
}

TEST_CASE("the tables' names are those of the counters") {
  const auto names = vgpu::cuda_names();
  REQUIRE(names.size() == vgpu::cuda_function_count() + vgpu::shim::kTableCount);
  for (unsigned i = 0; i < vgpu::shim::kTableCount; ++i) {
    const auto table = static_cast<TableId>(i);
    CHECK(names[vgpu::shim::table_name_index(table)] ==
          "cuGetExportTable:" + std::string(vgpu::shim::table_name(table)));
  }
}

TEST_CASE("6bd5fb6c: primary context, modules") {
  driver_double = {};
  const void* const table = get_table("6bd5fb6c");
  const auto primary = slot<CUresult(CUcontext*, CUdevice)>(table, 2);
  CUcontext context = context_handle(0x55);
  CHECK(primary(&context, 2) == CUDA_ERROR_INVALID_DEVICE);
  CHECK(context == context_handle(0x55));
  CHECK(primary(&context, 1) == CUDA_SUCCESS);
  CHECK(context == primary_handle(1));

  const int image = 0;
  CUmodule module = nullptr;
  CHECK(slot<CUresult(CUmodule*, const void*)>(table, 1)(&module, &image) == CUDA_SUCCESS);
  CHECK(driver_double.loaded == std::vector<const void*>{&image});
  const auto register_module = slot<CUresult(CUmodule*, const void*, void*, void*, unsigned)>(table, 6);
  CHECK(register_module(&module, &image, nullptr, nullptr, 0) == CUDA_SUCCESS);
  CHECK(register_module(&module, &image, nullptr, nullptr, 1) == CUDA_ERROR_NOT_SUPPORTED);
  const auto load_container = slot<CUresult(const void*, CUmodule*, void*, void*, unsigned)>(table, 8);
  CHECK(load_container(&image, &module, nullptr, nullptr, 0) == CUDA_SUCCESS);
  CHECK(load_container(&image, &module, nullptr, nullptr, 3) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(driver_double.loaded.size() == 3);
  CHECK(driver_double.refused_slots.size() == 2);
  CHECK(load_container(nullptr, &module, nullptr, nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
  slot<void(CUmodule)>(table, 7)(module);
  CHECK(driver_double.unloaded == std::vector{module});

  CHECK(slot<CUresult()>(table, 12)() == CUDA_SUCCESS);
  driver_double.ready = CUDA_ERROR_NOT_INITIALIZED;
  CHECK(slot<CUresult()>(table, 12)() == CUDA_ERROR_NOT_INITIALIZED);
  context = nullptr;
  CHECK(primary(&context, 0) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(context == nullptr);
}

TEST_CASE("a094798c: no callback is switched on") {
  driver_double = {};
  driver_double.ready = CUDA_ERROR_NOT_INITIALIZED;  // needs no cuInit
  const void* const table = get_table("a094798c");
  const std::map<unsigned, std::size_t> counts{{2, 1024}, {6, 14}};
  for (const auto& [index, expected] : counts) {
    void* data = nullptr;
    std::size_t count = 0;
    slot<void(void**, std::size_t*)>(table, index)(&data, &count);
    CHECK(count == expected);
    // The number counts 32-bit words.
    for (std::size_t i = 0; i < count; ++i) CHECK(static_cast<const std::uint32_t*>(data)[i] == 0);
  }
  std::uint64_t out = 77;
  const auto look_up = slot<CUresult(const void*, std::uint64_t*)>(table, 4);
  CHECK(look_up(nullptr, &out) == CUDA_SUCCESS);
  CHECK(out == 0);
  CHECK(look_up(nullptr, nullptr) == CUDA_ERROR_UNKNOWN);
}

TEST_CASE("42d85a81: the current context") {
  driver_double = {};
  const auto current = slot<CUresult(CUcontext*)>(get_table("42d85a81"), 2);
  CUcontext context = context_handle(5);
  CHECK(current(&context) == CUDA_SUCCESS);
  CHECK(context == nullptr);
  driver_double.current = context_handle(3);
  CHECK(current(&context) == CUDA_SUCCESS);
  CHECK(context == context_handle(3));
  CHECK(current(nullptr) == CUDA_ERROR_INVALID_VALUE);
  driver_double.ready = CUDA_ERROR_NOT_INITIALIZED;
  context = context_handle(5);
  CHECK(current(&context) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(context == context_handle(5));
}

TEST_CASE("263e8860: a context is an ordinary one, and the third argument stays") {
  driver_double = {};
  const void* const table = get_table("263e8860");
  const auto check = slot<CUresult(CUcontext, unsigned*, void**)>(table, 2);
  unsigned wrapped = 7;
  void* other = &wrapped;
  for (CUcontext context : {static_cast<CUcontext>(nullptr), primary_handle(0)}) {
    wrapped = 7;
    CHECK(check(context, &wrapped, &other) == CUDA_SUCCESS);
    CHECK(wrapped == 0);
    CHECK(other == &wrapped);
  }
  CHECK(slot<unsigned()>(table, 3)() == 0);
  driver_double.ready = CUDA_ERROR_NOT_INITIALIZED;
  wrapped = 7;
  CHECK(check(nullptr, &wrapped, &other) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(wrapped == 7);
}

TEST_CASE("21318c60: identities of contexts") {
  driver_double = {};
  driver_double.contexts = {context_handle(3)};
  const void* const table = get_table("21318c60");
  const auto id_of = slot<CUresult(CUcontext, std::uint64_t*)>(table, 4);
  std::uint64_t id = 77;
  CHECK(id_of(context_handle(3), &id) == CUDA_SUCCESS);
  CHECK(id == 3);
  CHECK(id_of(nullptr, &id) == CUDA_SUCCESS);
  CHECK(id == 0);
  CHECK(id_of(nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  const auto device_of = slot<CUresult(CUcontext, CUdevice*)>(table, 3);
  CUdevice device = 77;
  CHECK(device_of(nullptr, &device) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(device == 77);
  CHECK(device_of(primary_handle(1), &device) == CUDA_SUCCESS);
  CHECK(device == 1);
}

TEST_CASE("21318c60: identities of streams") {
  driver_double = {};
  const CUcontext context = primary_handle(0);
  const void* const table = get_table("21318c60");
  const auto object_of = slot<CUresult(CUcontext, CUstream, void**, unsigned char)>(table, 51);
  const auto id_of = slot<CUresult(CUcontext, void*, std::uint64_t*)>(table, 39);
  const auto stream = reinterpret_cast<CUstream>(0x40);
  // As measured: stream, "null means the thread's", id.
  const std::tuple<CUstream, unsigned char, std::uint64_t> cases[] = {{nullptr, 0, 7},
                                                                      {nullptr, 1, 14},
                                                                      {CU_STREAM_LEGACY, 0, 7},
                                                                      {CU_STREAM_LEGACY, 1, 7},
                                                                      {CU_STREAM_PER_THREAD, 0, 14},
                                                                      {CU_STREAM_PER_THREAD, 1, 14},
                                                                      {stream, 0, 0x40 + 100},
                                                                      {stream, 1, 0x40 + 100}};
  std::map<std::uint64_t, void*> objects;
  for (const auto& [asked, per_thread, expected] : cases) {
    void* object = nullptr;
    REQUIRE(object_of(context, asked, &object, per_thread) == CUDA_SUCCESS);
    CHECK(*static_cast<std::uint64_t*>(object) == 1);
    std::uint64_t id = 0;
    CHECK(id_of(context, object, &id) == CUDA_SUCCESS);
    CHECK(id == expected);
    CHECK(objects.emplace(id, object).first->second == object);
  }
  CHECK(objects.size() == 3);
  void* object = &objects;
  std::uint64_t id = 77;
  CHECK(object_of(nullptr, nullptr, &object, 0) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(object_of(context, reinterpret_cast<CUstream>(-1), &object, 0) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(object == &objects);
  CHECK(object_of(context, nullptr, nullptr, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(id_of(context, &objects, &id) == CUDA_ERROR_INVALID_HANDLE);
  CHECK(id == 77);
}

TEST_CASE("1734dc26: where the processors lie") {
  driver_double = {};
  const void* const table = get_table("1734dc26");
  const auto give = slot<CUresult(unsigned char**, unsigned char**)>(table, 4);
  const auto free_both = slot<CUresult(unsigned char*, unsigned char*)>(table, 13);
  unsigned char* gpc = nullptr;
  unsigned char* place = nullptr;
  REQUIRE(give(&gpc, &place) == CUDA_SUCCESS);
  CHECK(std::vector(gpc, gpc + 8) == std::vector<unsigned char>{0, 1, 2, 0, 1, 2, 0, 0});
  CHECK(std::vector(place, place + 8) == std::vector<unsigned char>{0, 0, 0, 1, 1, 1, 0, 0});
  CHECK(free_both(gpc, place) == CUDA_SUCCESS);
  CHECK(free_both(nullptr, nullptr) == CUDA_SUCCESS);
  driver_double.has_gpc_map = false;
  gpc = nullptr;
  CHECK(give(&gpc, &place) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK(gpc == nullptr);
  CHECK(driver_double.refused_slots.size() == 1);
  CHECK(give(nullptr, &place) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("6e163fbe: the functions of a module, one after the other") {
  driver_double = {};
  const void* const table = get_table("6e163fbe");
  struct Seen {
    std::vector<CUfunction> functions;
    CUmodule owner = nullptr;
  } seen;
  const auto visit = +[](void* user, CUfunction function, CUmodule owner) {
    static_cast<Seen*>(user)->functions.push_back(function);
    static_cast<Seen*>(user)->owner = owner;
  };
  const auto each =
      slot<std::uint64_t(CUcontext, CUmodule, void (*)(void*, CUfunction, CUmodule), void*, const void*, const void*)>(
          table, 7);
  const auto module = reinterpret_cast<CUmodule>(0x5001);
  driver_double.functions[module] = {reinterpret_cast<CUfunction>(0x61), reinterpret_cast<CUfunction>(0x62)};
  CHECK(each(nullptr, module, visit, &seen, module, nullptr) == 2);
  CHECK(seen.functions == driver_double.functions[module]);
  CHECK(seen.owner == module);
  CHECK(each(context_handle(1), reinterpret_cast<CUmodule>(0x5002), visit, &seen, nullptr, nullptr) == 0);
  CHECK(each(nullptr, module, nullptr, nullptr, nullptr, nullptr) == 0);
  driver_double.ready = CUDA_ERROR_NOT_INITIALIZED;
  CHECK(each(nullptr, module, visit, &seen, module, nullptr) == 0);
  CHECK(seen.functions.size() == 2);
}
