// Layout of an export table: a word with the table's size in bytes, itself included, and then one function for each
// slot.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "shim/tables/driver.hpp"

namespace vgpu::shim {

template <TableId kTable, unsigned kSlot>
CUresult refused_slot() noexcept {
  return driver::refuse_slot(kTable, kSlot);
}

/// A table of kWords words, the size included. Every slot refuses until it is set; none is ever null, because a client
/// calls what lies below the size without looking.
template <TableId kTable, std::size_t kWords>
class SlotTable {
 public:
  SlotTable() noexcept {
    words_[0] = kWords * sizeof(std::uintptr_t);
    refuse_all(std::make_index_sequence<kWords - 1>());
  }

  template <class Result, class... Arguments>
  SlotTable& set(std::size_t slot, Result (*function)(Arguments...)) noexcept {
    words_[slot] = reinterpret_cast<std::uintptr_t>(function);
    return *this;
  }

  const void* data() const noexcept { return words_.data(); }

 private:
  template <std::size_t... kIndex>
  void refuse_all(std::index_sequence<kIndex...>) noexcept {
    (set(kIndex + 1, &refused_slot<kTable, kIndex + 1>), ...);
  }

  std::array<std::uintptr_t, kWords> words_;
};

// Each table, made when it is first asked for; the memory is static.
const void* cudart_interface_table() noexcept;
const void* tools_callbacks_table() noexcept;
const void* tools_thread_state_table() noexcept;
const void* context_local_storage_table() noexcept;
const void* context_checks_table() noexcept;
const void* integrity_check_table() noexcept;
const void* tools_context_table() noexcept;
const void* tools_module_table() noexcept;
const void* cluster_table() noexcept;

}  // namespace vgpu::shim
