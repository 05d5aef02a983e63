#pragma once
#include <string>

#include "actors/config.hpp"
#include "actors/config_table.hpp"

/// The parts of the configuration that have a file of their own. Each notes its mistakes and goes on.
namespace vgpu::daemon {

/// What a GPU may be called.
std::string gpu_help();
/// The key `gpu`, one or a list; nothing if there is none, or a wrong one.
std::optional<std::vector<GpuChoice>> read_gpus(TableReader& reader);

/// [[pool]]: pools that name no GPU get `gpus`; with `forced` all get that.
void read_pools(MistakeList& mistakes, const toml::table& root, const std::vector<GpuChoice>& gpus,
                const std::optional<GpuChoice>& forced, Config& config);
/// [[vm]] and [unregistered]. The pools are read already.
void read_vms(MistakeList& mistakes, const toml::table& root, Config& config);
/// What an operator set of one VM: those keys of [[vm]] that may change while it runs.
void read_vm_settings(MistakeList& mistakes, const toml::table& table, VmConfig& vm);
/// The keys sandbox, sandbox_ids and host_memory of [executor].
SandboxConfig read_sandbox(TableReader& reader);
/// [quarantine].
QuarantineTerms read_quarantine(MistakeList& mistakes, const toml::table& table);
/// [software_gpu].
SoftwareGpuConfig read_software_gpu(MistakeList& mistakes, const toml::table& table);

}  // namespace vgpu::daemon
