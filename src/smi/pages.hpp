#pragma once
#include <set>
#include <string>

#include "smi/facts.hpp"

/// The outputs for people, laid out as nvidia-smi's.
namespace vgpu::smi {

/// The table that is shown without options.
std::string table_page(const Facts& facts);
/// -L: one line for each GPU.
std::string list_page(const Facts& facts);
/// -q: everything, by sections. `only`: names of -d in capitals; empty: all sections.
std::string detail_page(const Facts& facts, const std::set<std::string>& only);
/// What -d may name.
const std::set<std::string>& detail_sections();

}  // namespace vgpu::smi
