#include "actors/gpus.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

namespace vgpu::daemon {
namespace {

/// Sets variables of the daemon's own environment for a while. Only while there is one thread.
class Environment {
 public:
  explicit Environment(const std::vector<std::string>& entries) {
    for (const std::string& entry : entries) {
      const std::string name = entry.substr(0, entry.find('='));
      const char* const before = std::getenv(name.c_str());
      before_.emplace_back(name, before != nullptr ? std::optional<std::string>(before) : std::nullopt);
      ::setenv(name.c_str(), entry.substr(name.size() + 1).c_str(), 1);
    }
  }
  ~Environment() {
    for (const auto& [name, value] : before_)
      value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::vector<std::pair<std::string, std::optional<std::string>>> before_;
};

std::string list_text(const std::vector<Gpu>& gpus) {
  std::string text;
  for (const Gpu& gpu : gpus) text += (text.empty() ? "" : ", ") + std::to_string(gpu.index) + " is " + gpu.uuid;
  return text.empty() ? "none" : text;
}

std::vector<std::string> uuids_of(const std::vector<Gpu>& gpus, std::size_t first, std::size_t count) {
  std::vector<std::string> uuids;
  for (std::size_t i = first; i < gpus.size() && i - first < count; ++i) uuids.push_back(gpus[i].uuid);
  return uuids;
}

/// Ties the place to the GPU that its choice names, by the name that CUDA and NVML share: CUDA numbers GPUs in an order
/// of its own. False: there is no such GPU.
bool name_gpu(const GpuChoice& choice, const std::vector<Gpu>& known, GpuPlace& place, std::string& error) {
  if (known.empty() || choice.kind == GpuChoice::Kind::automatic) {
    place.uuids = uuids_of(known, 0, known.size());
    return true;
  }
  if (choice.uuid.starts_with("MIG-")) return true;  // NVML lists GPUs, not their instances
  const auto found = std::find_if(known.begin(), known.end(), [&](const Gpu& gpu) {
    return choice.kind == GpuChoice::Kind::uuid ? gpu.uuid == choice.uuid : gpu.index == choice.index;
  });
  if (found == known.end()) {
    error = "there is no GPU " + gpu_text(choice) + " on this machine (" + list_text(known) + "); see nvidia-smi -L";
    return false;
  }
  place.driver.visible_devices = found->uuid;
  place.driver.device = 0;
  place.uuids = {found->uuid};
  place.text = found->uuid;
  return true;
}

}  // namespace

bool Gpus::add(const std::filesystem::path& library, bool software, std::string& error) {
  auto nvml = Nvml::load(library, error);
  if (nvml == nullptr) return false;
  watches_.push_back(std::make_unique<GpuWatch>(std::move(nvml), software));
  return true;
}

bool Gpus::add_nvidia(const std::filesystem::path& nvml, std::string& error) { return add(nvml, false, error); }

bool Gpus::add_software(const std::filesystem::path& nvml, std::uint32_t devices, const SoftwareGpuConfig& config,
                        std::string& error) {
  const Environment environment(software_gpu_environment({GpuChoice::Kind::software, 0, {}, devices}, config));
  return add(nvml, true, error);
}

std::vector<Gpu> Gpus::list(bool software) const {
  std::vector<Gpu> all;
  for (const auto& watch : watches_)
    for (const Gpu& gpu : watch->gpus())
      if (gpu.software == software) all.push_back(gpu);
  return all;
}

void Gpus::start(const GpuWatch::OnUnhealthy& on_unhealthy) {
  for (const auto& watch : watches_) watch->start(on_unhealthy);
}

std::vector<GpuState> Gpus::states() const {
  std::vector<GpuState> all;
  for (const auto& watch : watches_)
    for (GpuState& state : watch->states()) all.push_back(std::move(state));
  return all;
}

std::string Gpus::unhealthy(const std::vector<std::string>& uuids) const {
  for (const GpuState& state : states())
    if (!state.unhealthy.empty() && std::find(uuids.begin(), uuids.end(), state.gpu.uuid) != uuids.end())
      return state.gpu.uuid + ": " + state.unhealthy;
  return {};
}

void Gpus::forgive() {
  for (const auto& watch : watches_) watch->forgive();
}

std::vector<GpuPlace> gpu_places(const PoolConfig& pool, const SoftwareGpuConfig& software, const DriverSearch& search,
                                 const Gpus& gpus, std::string& error) {
  std::vector<GpuPlace> places;
  for (const GpuChoice& choice : pool.gpus) {
    auto chosen = choose_driver(choice, search);
    if (auto* text = std::get_if<std::string>(&chosen)) {
      error = std::move(*text);
      return {};
    }
    GpuPlace place{std::get<Driver>(std::move(chosen)), {}, gpu_text(choice)};
    const std::vector<Gpu> known = gpus.list(place.driver.software);
    if (place.driver.software) {
      place.driver.environment = software_gpu_environment(choice, software);
      place.uuids = uuids_of(known, choice.index, std::max(choice.devices, 1u));
      if (choice.kind == GpuChoice::Kind::automatic) place.text = "software";
    } else if (!name_gpu(choice, known, place, error)) {
      return {};
    }
    places.push_back(std::move(place));
  }
  return places;
}

void find_gpus(const Config& config, const DriverSearch& search, Gpus& gpus, std::vector<std::string>& warnings) {
  std::filesystem::path nvidia, software;
  std::uint32_t devices = 0;
  for (const PoolConfig& pool : config.pools) {
    for (const GpuChoice& choice : pool.gpus) {
      const auto chosen = choose_driver(choice, search);
      const Driver* const driver = std::get_if<Driver>(&chosen);
      if (driver == nullptr) continue;
      (driver->software ? software : nvidia) = driver->nvml;
      if (driver->software) devices = std::max(devices, choice.index + std::max(choice.devices, 1u));
    }
  }
  std::string error;
  if (!nvidia.empty() && !gpus.add_nvidia(nvidia, error)) warnings.push_back(std::move(error));
  if (!software.empty() && !gpus.add_software(software, devices, config.software_gpu, error))
    warnings.push_back(std::move(error));
}

}  // namespace vgpu::daemon
