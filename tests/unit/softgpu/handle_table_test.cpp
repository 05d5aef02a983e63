#include "softgpu/handle_table.hpp"

#include <catch2/catch.hpp>
#include <string>

using vgpu::softgpu::HandleKind;
using vgpu::softgpu::HandleTable;

TEST_CASE("handle table: stale and made-up handles find nothing") {
  HandleTable<std::string, HandleKind::event, void*> table;
  HandleTable<std::string, HandleKind::stream, void*> others;
  void* const first = table.insert(std::make_shared<std::string>("first"));
  void* const other = others.insert(std::make_shared<std::string>("other"));
  REQUIRE(table.find(first) != nullptr);
  CHECK(*table.find(first) == "first");
  CHECK(table.find(other) == nullptr);
  CHECK(table.find(nullptr) == nullptr);
  CHECK(table.find(reinterpret_cast<void*>(-1)) == nullptr);
  CHECK(table.find(reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(first) + 1)) == nullptr);
  CHECK(table.find(reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(first) + (1 << 20))) == nullptr);
  CHECK(table.remove(first) != nullptr);
  CHECK(table.remove(first) == nullptr);
  void* const second = table.insert(std::make_shared<std::string>("second"));
  CHECK(second != first);
  CHECK(table.find(first) == nullptr);
  CHECK(*table.find(second) == "second");
}

TEST_CASE("handle table: many objects, some removed by a predicate") {
  HandleTable<int, HandleKind::event, void*> table;
  std::vector<void*> handles;
  for (int i = 0; i < 5000; ++i) handles.push_back(table.insert(std::make_shared<int>(i)));
  CHECK(table.remove_if([](int value) { return value % 2 == 0; }).size() == 2500);
  CHECK(table.all().size() == 2500);
  CHECK(table.find(handles[10]) == nullptr);
  CHECK(*table.find(handles[11]) == 11);
}
